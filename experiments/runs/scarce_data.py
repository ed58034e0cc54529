"""Says what batches of identities do where there are few identities, or few images of them."""

import numpy as np
from jaxtyping import Int

from experiments.runs.errors import RunError
from experiments.runs.plan import ReidBatches
from san_jax.counts import count


def check_identities(name: str, num_classes: int) -> None:
    """Raise a RunError where there is nobody to tell a person from."""
    if num_classes < 2:
        raise RunError(
            f"{name} has {num_classes} identity to train on, and the triplet loss compares images of different ones: "
            "train on more persons, or set loss.triplet=0."
        )


def check_cameras(name: str, labels: Int[np.ndarray, " examples"], cameras: Int[np.ndarray, " examples"]) -> None:
    """Raise a RunError where no identity was seen by two cameras, so that L_TR across cameras has no positive."""
    seen = np.unique(np.stack([labels, cameras]), axis=1)
    if len(np.unique(seen[0])) == seen.shape[1]:
        raise RunError(
            f"loss.triplet_reid_cross_camera=True needs identities that two cameras saw, and {name} has none: set it to "
            "False."
        )


def batch_words(labels: Int[np.ndarray, " examples"], batches: ReidBatches) -> list[str]:
    """Return a line for each way in which the batches repeat identities or images.

    Args:
        labels: Class of each training image, from 0 without gaps.
        batches: The sizes of a batch.
    """
    images = np.bincount(labels)
    places, images_each = batches.num_identities, batches.images_per_identity
    lines = []
    if len(images) < places:
        least, most = places // len(images), -(-places // len(images))
        times = f"{least} times" if least == most else f"{least} or {most} times"
        lines.append(
            f"{count(len(images), 'identity is', 'identities are')} fewer than "
            f"batch.num_identities={places}: a batch shows each of them {times}, with other images where it has them"
        )
    single, few = int(np.count_nonzero(images == 1)), int(np.count_nonzero(images < images_each))
    if few:
        lines.append(
            f"{few:,} of {count(len(images), 'identity', 'identities')} {'has' if few == 1 else 'have'} fewer than "
            f"batch.images_per_identity={images_each} images: a batch repeats the images of these"
        )
    if single == len(images):
        lines.append(
            "every identity has one image: the triplet losses have no other image of a person to draw near, and push "
            "persons apart only; more images of each person are what helps"
        )
    elif single:
        persons = "another person" if single == 1 else "other persons"
        lines.append(
            f"{count(single, 'identity has', 'identities have')} one image: the triplet losses learn from "
            f"{'it' if single == 1 else 'them'} as {persons} only"
        )
    return lines
