"""Models by config, and trained models by the folder of their run."""

import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.configs import baseline, san, san_pg
from experiments.runs import targets
from san_jax import checkpoint
from san_jax.models import SAN, merge_model, split_model

CONFIG_FILE = "config.json"
DATA_FILE = "data.json"
STARTED_FROM, PRETRAINED = "started_from", "pretrained"  # in DATA_FILE
CHECKPOINT_FOLDER = "checkpoints"
TRAINING_MODULES = ("decoder", "classifier")  # which inference needs not
# Keys that configs did not always have, and the value that does what a run did before: such a run is read, and gone on
# with, as one that has them.
ADDED_KEYS: dict[str, Any] = {
    "use_val": True,
    "init_classifier": False,
    "pretrained": "",
    "target": "texture",
    "target_dir": "",
    "input": "image",
    "generator": "",
    "test_metric": "euclidean",
    "augment.crop_probability": 0.0,
    "augment.crop_height": (0.4, 1.0),
    "augment.crop_width": (0.5, 1.0),
    "model.encoder": "resnet50",
    "model.skips": False,
    "model.feature_size": 0,
    "model.pooling": "average",
    "model.bnneck": False,
    "ema_decay": 0.0,
    "augment.erase_fill": (0.0, 0.0, 0.0),
    "augment.mirror_textures": False,
    "pit_augment.mirror_textures": False,
    "loss.triplet_reid_blocks": (1, 2, 3),
    "loss.triplet_reid_sampling": "random",
    "optimizer.alternating": False,
    "optimizer.reconstruction_learning_rate": 1e-5,
    "optimizer.reconstruction_b1": 0.5,
}
_CONFIGS = {"pg": san_pg, "san": san, "baseline": baseline}  # whose keys a run of a stage has
COMPUTE_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def load_run(workdir: str | os.PathLike[str], *, encoder_only: bool = False) -> tuple[SAN, Config]:
    """The model of a run with the weights of its newest checkpoint, on the first local device.

    Args:
        workdir: The run's folder, see `experiments.train`.
        encoder_only: Leave decoder and classifier out, as at inference.

    Returns:
        The model, and the config that it was trained with.

    Raises:
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet, or it or its config cannot be read.
    """
    config = read_config(workdir)
    _, params, batch_stats = checkpoint.load_weights(pathlib.Path(workdir) / CHECKPOINT_FOLDER)
    if encoder_only:
        params, batch_stats = (
            {name: module for name, module in tree.items() if name not in TRAINING_MODULES}
            for tree in (params, batch_stats)
        )
    num_classes = params["classifier"]["kernel"].shape[-1] if "classifier" in params else 0
    skeleton = nnx.eval_shape(lambda: build_model(config, num_classes, decoder="decoder" in params, seed=0))
    graphdef, _, _ = split_model(skeleton)
    return merge_model(graphdef, params, batch_stats), config


def find_run(noted: str, workdir: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a run that another run's config names, also after both were moved or copied together.

    A config keeps the path as it was given at the time, often relative to the folder where the program ran. Where it
    leads nowhere now, the folder of that name beside the other run's is taken.

    Args:
        noted: The path in the config, such as `generator`.
        workdir: Folder of the run with that config.

    Raises:
        FileNotFoundError: Neither is the folder of a run.
    """
    beside = pathlib.Path(workdir).absolute().parent / pathlib.PurePath(noted).name
    for folder in (pathlib.Path(noted), beside):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise FileNotFoundError(
        f"{pathlib.Path(workdir) / CONFIG_FILE} names the run {noted}, which is not there now (looked from "
        f"{pathlib.Path.cwd()}), and neither is {beside}. Put that run, or a link to it, in one of the two places."
    )


def read_config(workdir: str | os.PathLike[str]) -> Config:
    """The config of a run; keys that its stage had not yet come from `ADDED_KEYS`.

    Raises:
        FileNotFoundError: The folder holds no config.json.
        san_jax.checkpoint.CheckpointError: config.json is damaged, or is no config of a run.
    """
    path = pathlib.Path(workdir) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected the folder of a run, as --workdir of `python -m experiments.train`."
        )
    fields = read_json(path)
    if fields.get("stage") not in tuple(_CONFIGS) or not isinstance(fields.get("model"), dict):
        raise checkpoint.CheckpointError(f"{path} is no config of a run, as `python -m experiments.train` writes it.")
    config = config_files.from_fields(fields).unlock()
    present = set(config_files.keys(config))
    if "model.encoder" not in present and config.model.stage_sizes == (3, 4, 6, 3):
        config.model.stage_sizes = ()  # today's way to say ResNet-50, which was the only encoder
    for key in config_files.keys(_CONFIGS[config.stage].get_config()):
        if key in ADDED_KEYS and key not in present:
            group, _, leaf = key.rpartition(".")
            (config[group] if group else config)[leaf] = ADDED_KEYS[key]
    return config.lock()


def read_data(workdir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What a run was trained on, as `experiments.train` noted it; None for a run from before it did.

    Returns:
        `dataset` (a benchmark's name, without `_textured`; the PIT dataset for SAN-PG), `splits` (a list), `images`,
        `identities` (None for SAN-PG), `partial` (whether the benchmark was built from a partial copy),
        `source_digest` (of what was read: of the textured copy for SAN), `pit` (`dataset` and `images` of the PIT
        batches between those of the benchmark, or None), `target` (absent where the decoder reconstructs textures or there
        is none), `targets_digest` (only with the target `folder`: of its images), `generator_sha256` (only with
        input=texture: of the generator's parameters), `pretrained` (only of a run that began
        with the weights of a file: `file`, `sha256` and, where the encoder was within something, its `place`) and `started_from` (all of this but itself of the runs that the
        weights come from, newest first, by their folders; None for one that did not note it).
    """
    path = pathlib.Path(workdir) / DATA_FILE
    return read_json(path) if path.is_file() else None


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The content of a JSON file that a program wrote into a folder of its own.

    Raises:
        san_jax.checkpoint.CheckpointError: It is damaged, such as empty after a crash of the machine.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, found {type(content).__name__}")
    except ValueError as error:  # UnicodeDecodeError is one
        raise checkpoint.CheckpointError(
            f"{path} is damaged ({error}): put back a good copy, or start again in another folder."
        ) from None
    return content


def build_model(config: Config, num_classes: int, *, decoder: bool, seed: Any) -> SAN:
    """A fresh model of a config's `model` group.

    Args:
        config: A training config.
        num_classes: Identities of the classifier, 0 for none.
        decoder: Whether to build SA-Dec, for textures or images as `target` says.
        seed: Of the initial weights: an integer or a JAX key.

    Raises:
        ValueError: `model.compute_dtype` or `target` is not known, or see `SAN`.
    """
    name = config.model.compute_dtype
    if name not in COMPUTE_DTYPES:
        raise ValueError(f"model.compute_dtype must be one of {', '.join(COMPUTE_DTYPES)}, found {name!r}.")
    settings = config.model
    options: dict[str, Any] = {}
    if decoder:
        is_texture = targets.find(config).is_texture
        options |= {"texture_size": settings.texture_size if is_texture else config.image_size, "skips": settings.skips}
    if config.stage != "pg":
        options |= {key: settings[key] for key in ("feature_size", "pooling", "bnneck")}
    return SAN(
        num_classes,
        encoder=settings.encoder,
        width=settings.width,
        stage_sizes=settings.stage_sizes,
        decoder=decoder,
        **options,
        compute_dtype=COMPUTE_DTYPES[name],
        rngs=nnx.Rngs(params=seed if not isinstance(seed, int) else jax.random.key(seed)),
    )
