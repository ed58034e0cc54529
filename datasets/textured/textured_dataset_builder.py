"""`<benchmark>_textured`: a benchmark's train split with a pseudo texture for each image (paper, section 3.2)."""

import hashlib
import io
import json
import os
import pathlib
import types
from typing import Any

import tensorflow_datasets as tfds

from datasets import reid

ADVICE = "Make them with `python -m experiments.pseudo_texture`, which regresses a texture for each training image."


class TexturedBuilder(reid.ArchiveBuilder, skip_registration=True):
    """One split `train`, in the benchmark's order; see `builder_class`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = ADVICE
    benchmark: str

    def __init__(self, *, texture_metadata: dict[str, Any] | None = None, **kwargs: Any):
        self._texture_metadata = texture_metadata or {}
        super().__init__(**kwargs)

    def features(self) -> dict[str, Any]:
        return {**reid.reid_features(), "texture": reid.texture_feature()}

    def scan(self, manual_dir: str | os.PathLike[str]) -> reid.Archive:
        texture_dir = pathlib.Path(manual_dir)
        source, benchmark_digest = _open_train(self.benchmark, self.data_dir_root)
        metadata = {"benchmark": self.benchmark, "textures": self._texture_metadata}
        digest = hashlib.sha256(json.dumps([benchmark_digest, metadata], sort_keys=True).encode())
        examples: list[reid.Example] = []
        problems: list[str] = []
        for example in source:
            name = example["name"].decode()
            texture = texture_dir / pathlib.PurePosixPath(name).with_suffix(".png")
            try:
                digest.update(hashlib.sha256(texture.read_bytes()).digest())
            except OSError as error:
                problems.append(f"{texture}: {error.strerror}")
            examples.append(
                {
                    "image": io.BytesIO(example["image"]),
                    "person_id": int(example["person_id"]),
                    "label": int(example["label"]),
                    "camera_id": int(example["camera_id"]),
                    "name": name,
                    "texture": str(texture),
                }
            )
        reid.raise_problems(
            f"{texture_dir}: textures of {len(problems):,} of the {len(examples):,} training images of "
            f"{self.benchmark} cannot be read",
            problems,
            ADVICE,
        )
        return reid.Archive(texture_dir, {"train": examples}, digest.hexdigest(), metadata)


def builder_class(benchmark: str) -> type[TexturedBuilder]:
    """The builder of `<benchmark>_textured`."""
    names = {"name": f"{benchmark}_textured", "benchmark": benchmark, "__module__": __name__}
    return types.new_class(
        "Builder", (TexturedBuilder,), {"skip_registration": True}, lambda namespace: namespace.update(names)
    )


def _open_train(benchmark: str, data_dir: os.PathLike[str]) -> tuple[Any, str | None]:
    """The benchmark's train split with images left encoded, and the digest of what the benchmark was built from."""
    folder = pathlib.Path(data_dir) / benchmark
    version = reid.newest_version(folder)
    if version is None:
        raise reid.DatasetError(f"{folder}: no dataset {benchmark!r} there; build it before its textured copy.")
    builder: Any = tfds.builder_from_directory(version)
    missing = sorted(set(reid.reid_features()) - set(builder.info.features))
    if missing or "train" not in builder.info.splits:
        raise reid.DatasetError(
            f"{folder}: expected a reID benchmark with a split 'train'; it has the splits {sorted(builder.info.splits)} "
            f"and lacks the features {missing}."
        )
    skip = {key: tfds.decode.SkipDecoding() for key in ("image", "texture") if key in builder.info.features}
    digest = dict(builder.info.metadata or {}).get("source_digest")
    return builder.as_data_source(split="train", decoders=skip), digest
