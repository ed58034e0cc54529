"""`<benchmark>_textured`: a benchmark's training images with pseudo textures (paper, section 3.1).

It lies beside the benchmark: `msmt17_textured`, and `cuhk03/labeled_textured`, another config of `cuhk03`. Likewise,
`<benchmark>_frontal` has a pseudo frontal view for each image (Table 2).
"""

import hashlib
import io
import json
import os
import pathlib
import types
from typing import Any

import tensorflow_datasets as tfds

from datasets import mirror_map
from datasets.builder import Archive, ArchiveBuilder, newest_version
from datasets.errors import DatasetError, raise_problems
from datasets.examples import PERSON_SIZE, Example, reid_features, texture_feature
from san_jax.counts import count

TRAINING_SPLITS = ("train", "val")
# Feature that a copy adds to its benchmark -> suffix of the copy's name.
SUFFIXES = {"texture": "_textured", "frontal": "_frontal"}
ADVICE = "Make them with `python -m experiments.pseudo_texture`, which regresses one for each training image."


class TexturedBuilder(ArchiveBuilder, skip_registration=True):
    """The benchmark's `train`, and `val` if it has one, in the benchmark's order; see `builder_class`.

    `mirror_map.npy` lies beside the shards if the PIT is known on which the texture network was trained; see
    `datasets.mirror_map`.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = ADVICE
    benchmark: str
    feature: str  # of SUFFIXES
    config_name: str  # "" for a benchmark whose builder has no configs

    def __init__(
        self, *, texture_metadata: dict[str, Any] | None = None, mirror_dir: pathlib.Path | None = None, **kwargs: Any
    ):
        """Make the builder.

        Args:
            texture_metadata: Where the textures come from, JSON values.
            mirror_dir: The folder that holds their `mirror_map.npy`; None if there is none.
            **kwargs: TFDS's own: `data_dir`, ...
        """
        self._texture_metadata = texture_metadata or {}
        self._mirror_dir = mirror_dir
        # Not in BUILDER_CONFIGS, or TFDS would make it the default config, which `cuhk03` alone means.
        config = tfds.core.BuilderConfig(name=self.config_name) if self.config_name else None
        super().__init__(config=config, **kwargs)

    def _create_builder_config(self, builder_config: Any, version: Any) -> Any:
        del version
        return builder_config  # TFDS would warn that it is not in BUILDER_CONFIGS

    def features(self) -> dict[str, Any]:
        if self.feature == "texture":
            return {**reid_features(), "texture": texture_feature()}
        return {
            **reid_features(),
            "frontal": tfds.features.Image(shape=(*PERSON_SIZE, 3), encoding_format="png"),
        }

    def scan(self, manual_dir: str | os.PathLike[str]) -> Archive:
        texture_dir = pathlib.Path(manual_dir)
        sources, benchmark_metadata = _open_training(self.benchmark, self.data_dir_root)
        metadata = {"benchmark": self.benchmark, "textures": self._texture_metadata}
        benchmark_digest = benchmark_metadata.get("source_digest")
        digest = hashlib.sha256(json.dumps([benchmark_digest, metadata], sort_keys=True).encode())
        splits: dict[str, list[Example]] = {split: [] for split in sources}
        problems: list[str] = []
        for split, source in sources.items():
            for example in source:
                name = example["name"].decode()
                texture = texture_dir / pathlib.PurePosixPath(name).with_suffix(".png")
                try:
                    digest.update(hashlib.sha256(texture.read_bytes()).digest())
                except OSError as error:
                    problems.append(f"{texture}: {error.strerror}")
                splits[split].append(
                    {
                        "image": io.BytesIO(example["image"]),
                        "person_id": int(example["person_id"]),
                        "label": int(example["label"]),
                        "camera_id": int(example["camera_id"]),
                        "name": name,
                        self.feature: str(texture),
                    }
                )
        number = sum(map(len, splits.values()))
        raise_problems(
            f"{texture_dir}: {self.feature} images of {len(problems):,} of the {count(number, 'training image')} of "
            f"{self.benchmark} cannot be read",
            problems,
            ADVICE,
        )
        extra_files = mirror_map.read_mirror_file(self._mirror_dir) if self._mirror_dir else {}
        for content in extra_files.values():
            digest.update(content)
        inherited = {
            "license": benchmark_metadata.get("license") or f"That of {self.benchmark}, which does not state one.",
            "partial": bool(benchmark_metadata.get("partial", False)),
        }
        return Archive(texture_dir, splits, digest.hexdigest(), {**metadata, **inherited}, extra_files=extra_files)


def builder_class(benchmark: str, feature: str = "texture") -> type[TexturedBuilder]:
    """Return the builder of `<benchmark>_textured`, or of the copy of a benchmark with another feature."""
    name, _, config = f"{benchmark}{SUFFIXES[feature]}".partition("/")
    names = {
        "name": name,
        "config_name": config,
        "benchmark": benchmark,
        "feature": feature,
        "__module__": __name__,
    }
    return types.new_class(
        "Builder", (TexturedBuilder,), {"skip_registration": True}, lambda namespace: namespace.update(names)
    )


def _open_training(benchmark: str, data_dir: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the benchmark's train and val splits, with images left encoded, and its metadata."""
    folder = pathlib.Path(data_dir) / benchmark
    version = newest_version(folder)
    if version is None:
        raise DatasetError(f"{folder}: no dataset {benchmark!r} there; build it before its textured copy.")
    builder: Any = tfds.builder_from_directory(version)
    missing = sorted(set(reid_features()) - set(builder.info.features))
    if missing or "train" not in builder.info.splits:
        raise DatasetError(
            f"{folder}: expected a reID benchmark with a split 'train'; it has the splits "
            f"{sorted(builder.info.splits)} and lacks the features {missing}."
        )
    skip = {key: tfds.decode.SkipDecoding() for key in ("image", "texture") if key in builder.info.features}
    splits = [split for split in TRAINING_SPLITS if split in builder.info.splits]
    sources = {split: builder.as_data_source(split=split, decoders=skip) for split in splits}
    return sources, dict(builder.info.metadata or {})
