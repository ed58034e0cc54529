"""Everything that a training run may choose, each with its default: the keys of a training config.

`experiments/configs/base.py` makes a config of these classes; `experiments/runs/plan.py` works out what one means.
Standard library only, so that reading a config loads no JAX.
"""

import dataclasses
from typing import Any

from san_jax.settings import AugmentSettings, LossSettings, ModelSettings, OptimizerSettings

METHODS = ("san_pg", "san", "baseline")
START_KINDS = ("imagenet", "file", "run", "random")
INPUT_KINDS = ("image", "texture")
BATCH_KINDS = ("reid", "pit")
DATA_CACHES = ("auto", "device", "host", "none")

_MAY_CHANGE: dict[str, Any] = {"may_change": True}  # a run may be continued with another value, which changes no result


def _pit_augment() -> AugmentSettings:
    return AugmentSettings(flip_probability=0.0, erase_probability=0.0)


@dataclasses.dataclass(frozen=True)
class Start:
    """What the weights start from.

    Attributes:
        kind: "imagenet" (torchvision's weights of the encoder, looked for in weights/), "file" (a file of such
            weights), "run" (an earlier run) or "random".
        path: With "file" the file, with "run" the folder of the run. If a .pth file holds several networks, append "#"
            and the place of one.
        classifier: With "run": also take its classifier. Needs a run on the same identities.
    """

    kind: str = "imagenet"
    path: str = ""
    classifier: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """What the decoder reconstructs (Table 2 of the paper).

    Attributes:
        kind: "texture" (SAN: the pseudo texture), "true_texture" (an oracle, on pit_reid only), "frontal" (the person
            in the frontal pose), "input" (the image itself) or "folder" (images of your own).
        path: With "folder": the folder of the images, which have the names of the training images.
    """

    kind: str = "texture"
    path: str = dataclasses.field(default="", metadata=_MAY_CHANGE)  # data.json notes a digest of the images


@dataclasses.dataclass(frozen=True)
class Input:
    """What the encoder reads.

    Attributes:
        kind: "image", or "texture": the texture that a SAN-PG regresses from the image.
        path: With "texture": the folder of the SAN-PG run.
    """

    kind: str = "image"
    path: str = dataclasses.field(default="", metadata=_MAY_CHANGE)  # data.json notes a digest of the weights


@dataclasses.dataclass(frozen=True)
class Batch:
    """The sizes of the batches, over all devices.

    Attributes:
        num_identities: Identities in a reID batch.
        images_per_identity: Images of each identity in a reID batch.
        pit_size: Images in a PIT batch.
    """

    num_identities: int = 16
    images_per_identity: int = 4
    pit_size: int = 64


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """A training run.

    An epoch is a pass over the training identities in reID batches, with the PIT batches between them; for SAN-PG, over
    the PIT pairs. Its number of steps follows from the data.

    Attributes:
        method: What is trained: "san_pg", "san" or "baseline".
        seed: Seed of the initial weights, the order of the examples and the augmentation.
        dataset: Benchmark to train on; `python -m experiments.prepare` builds it.
        use_val: Also train on the val split, where the dataset has one (MSMT17).
        pit_dataset: Dataset of the PIT batches; `python -m experiments.pit_render` makes it.
        data_dir: Where TFDS keeps the datasets.
        prepare: "smoke" first makes small data and small runs to start from, where they are missing. "" makes nothing.
        batch_kinds: The kind of batch of each step, "reid" or "pit", repeated to the end of the run.
        image_size: Height and width that images are resized to, pixels.
        num_workers: Processes that read and decode images; 0 does it in the training process.
        data_cache: Where the training set is kept once it is decoded: "device" (accelerator memory), "host", "none"
            (batches are decoded as they are needed), or "auto", by its size. The batches are the same.
        steps_per_dispatch: With the training set in device memory: steps that are done in one call; 0 chooses.
        num_epochs: Length of the run in epochs.
        num_steps: Length of the run in steps; 0 takes num_epochs.
        checkpoint_every_epochs: Epochs between checkpoints.
        eval_every_epochs: Epochs between scores during the training; 0 for none. The checkpoint of the highest mAP is
            kept beside the newest ones.
        eval_dataset: Dataset whose query and gallery are scored then; "" for those of `dataset`, or the held-out ones.
        held_out_identities: Identities of the training set that are not trained on but scored then; 0 for none.
        log_every: Steps between lines of metrics.
        keep_checkpoints: Number of newest checkpoints to keep.
        ema_decay: Decay of a moving average of the weights, such as 0.999, which is then evaluated; 0 for no average.
        batch_norm_images: Pictures of the reID training set on which the running statistics of batch normalisation are
            re-estimated after the last step, without augmentation; 0 keeps those of the last batches.
        test_metric: Distance between embeddings in `evaluate` without --metric: "euclidean" or "cosine".
        augment: For reID images.
        pit_augment: For PIT images. They are not flipped, because the texture of a mirrored person is mirrored (to flip
            them, also set `mirror_textures`), and not erased, because the decoder has to see the whole person.
        optimizer: The optimizer and its learning rate.
    """

    method: str
    seed: int = 0
    dataset: str = "market1501"
    use_val: bool = True
    pit_dataset: str = "pit"
    data_dir: str = dataclasses.field(default="data", metadata=_MAY_CHANGE)
    prepare: str = dataclasses.field(default="", metadata=_MAY_CHANGE)
    batch_kinds: tuple[str, ...] = ("reid", "pit")
    image_size: tuple[int, int] = (256, 128)
    num_workers: int = dataclasses.field(default=4, metadata=_MAY_CHANGE)
    data_cache: str = dataclasses.field(default="auto", metadata=_MAY_CHANGE)
    steps_per_dispatch: int = dataclasses.field(default=0, metadata=_MAY_CHANGE)
    num_epochs: float = 320.0
    num_steps: int = 0
    checkpoint_every_epochs: float = dataclasses.field(default=5.0, metadata=_MAY_CHANGE)
    eval_every_epochs: float = dataclasses.field(default=0.0, metadata=_MAY_CHANGE)
    eval_dataset: str = dataclasses.field(default="", metadata=_MAY_CHANGE)
    held_out_identities: int = 0
    log_every: int = dataclasses.field(default=50, metadata=_MAY_CHANGE)
    keep_checkpoints: int = dataclasses.field(default=2, metadata=_MAY_CHANGE)
    ema_decay: float = 0.0
    batch_norm_images: int = 0
    test_metric: str = dataclasses.field(default="euclidean", metadata=_MAY_CHANGE)
    start: Start = dataclasses.field(default_factory=Start)
    target: Target = dataclasses.field(default_factory=Target)
    input: Input = dataclasses.field(default_factory=Input)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    batch: Batch = dataclasses.field(default_factory=Batch)
    loss: LossSettings = dataclasses.field(default_factory=LossSettings)
    augment: AugmentSettings = dataclasses.field(default_factory=AugmentSettings)
    pit_augment: AugmentSettings = dataclasses.field(default_factory=_pit_augment)
    optimizer: OptimizerSettings = dataclasses.field(default_factory=OptimizerSettings)


def keys_that_may_change(cls: type = RunSettings, prefix: str = "") -> frozenset[str]:
    """Return the dotted keys whose values may change when a run is continued."""
    found: set[str] = set()
    for field in dataclasses.fields(cls):
        if field.metadata.get("may_change"):
            found.add(prefix + field.name)
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            found |= keys_that_may_change(field.type, f"{prefix}{field.name}.")
    return frozenset(found)
