"""What make_step.py and tests/san_jax/parity_step_test.py agree on: the runs that both do, their batches, what is compared."""

import dataclasses
import zlib
from typing import Literal

import numpy as np

SEED = 7  # of the JAX run's triplets
NUM_CLASSES = 5
PIT_SIZE = 6
IMAGE_SIZE = (48, 32)
TEXTURE_SIZE = 20
MARGIN = 0.3
NUM_PROJECTIONS = 4

# Two steps of warm-up with Adam, then AMSGrad, its rate halved after every second step.
STEPS_PER_EPOCH = 2
LEARNING_RATE = 2e-4
WARMUP_RATE = 1e-4
WEIGHT_DECAY = 5e-4
# Adam moves an element by the learning rate however small its gradient, also where that is zero up to rounding. With a
# large eps the change is a smooth function of the gradient.
EPS = 1e-2


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of some steps.

    Attributes:
        turns: The kind of each step's batch.
        labels: Of every reID batch.
        weights: Of the losses.
        label_smoothing: Of L_ID.
        channels: Whether L_TR's distance is summed or averaged over channels.
        triplets: For each reID step the positive and the negative of every image that L_TR takes in the first three
            blocks; None for the released code's triplets in all four.
        feature_size: Of the fully connected layer on the pooled feature; 0 for none.
        released: U-Net skips, and two optimizers in turn.
    """

    turns: tuple[str, ...]
    labels: tuple[int, ...]
    weights: dict[str, float]
    label_smoothing: float
    channels: Literal["sum", "mean"]
    triplets: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] | None
    feature_size: int
    released: bool


RUNS = {
    "paper": Run(
        turns=("reid", "pit", "reid", "pit"),
        labels=(3, 0, 4, 0, 3, 4, 3, 0, 4),
        weights={"identification": 0.5, "triplet": 1.5, "reconstruction": 1.0, "triplet_reid": 1.0},
        label_smoothing=0.0,
        channels="sum",
        # What the JAX step draws from SEED and its number; the test asserts it.
        triplets={
            0: ((4, 3, 8, 7, 0, 8, 4, 3, 5), (1, 5, 4, 5, 5, 7, 5, 4, 1)),
            2: ((6, 3, 5, 1, 6, 2, 4, 3, 2), (3, 5, 6, 5, 8, 0, 5, 4, 6)),
        },
        feature_size=0,
        released=False,
    ),
    "released": Run(
        turns=("reid", "reid", "reid"),
        labels=(3, 3, 3, 3, 0, 0, 0, 0, 4, 4, 4, 4),
        weights={"identification": 1.0, "triplet": 1.0, "reconstruction": 1.0, "triplet_reid": 1.0},
        label_smoothing=0.1,
        channels="mean",
        triplets=None,
        feature_size=24,
        released=True,
    ),
}
# Of the second of the two optimizers. (The released code's rate is 1e-5; here its part shall not be the smaller one.)
RECONSTRUCTION_RATE = 1e-4
RECONSTRUCTION_B1 = 0.5


def batch(run: Run, step: int) -> dict[str, np.ndarray]:
    """The batch of a step: random images, those of a person more alike than others, and random textures."""
    stream = np.random.RandomState(1000 + step)
    reid = run.turns[step] == "reid"
    labels = np.asarray(run.labels, np.int32)
    size = len(labels) if reid else PIT_SIZE
    pixels = stream.uniform(0, 255, (size, *IMAGE_SIZE, 3))
    if reid:
        persons = np.random.RandomState(1).uniform(0, 255, (NUM_CLASSES, *IMAGE_SIZE, 3))
        pixels = 0.2 * pixels + 0.8 * persons[labels]
    arrays = {
        "image": pixels.astype(np.uint8),
        "texture": stream.randint(0, 256, (size, TEXTURE_SIZE, TEXTURE_SIZE, 3)).astype(np.uint8),
    }
    return arrays | ({"label": labels} if reid else {})


def projections(name: str, change: np.ndarray) -> np.ndarray:
    """A few random sums of an array's elements, [NUM_PROJECTIONS] float64, in place of the array itself.

    Each gives the elements its own random signs: arrays that differ all but surely have other sums, which differ by
    about the Euclidean norm of the difference.

    Args:
        name: Draws the signs.
        change: In the JAX model's layout.
    """
    stream = np.random.RandomState(zlib.crc32(name.encode()))
    signs = 2.0 * stream.randint(0, 2, (NUM_PROJECTIONS, change.size)) - 1.0
    return signs @ change.astype(np.float64).ravel()
