"""The Market-1501 rule on labels: for a query, which gallery images are correct and which are dropped.

Correct: the same identity from another camera. Dropped: the same identity from the query's camera. All others are
wrong, whatever their camera.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from san_jax.counts import count
from san_jax.typing import Array

MAX_CAMERAS = 8  # camera numbers in a message
Numbers = Array | Sequence[Any]  # integers [N]: `Sides.checked` checks it


class Sides(NamedTuple):
    """One kind of label of the query images and of the gallery images.

    Attributes:
        query: Integers [Q].
        gallery: Integers [G].
    """

    query: Numbers
    gallery: Numbers

    def checked(self, name: str, counts: tuple[int, int]) -> Int[np.ndarray, " image"]:
        """Return the labels of all images, queries first.

        Args:
            name: What they are, for the errors: "ids" or "cameras".
            counts: Q and G.

        Raises:
            ValueError: The numbers of labels are not Q and G, or a label is not an integer.
        """
        query = _integers(f"query_{name}", self.query, counts[0])
        return np.concatenate([query, _integers(f"gallery_{name}", self.gallery, counts[1])])


@dataclasses.dataclass(frozen=True)
class Labels:
    """Checked labels of Q queries and G gallery images, sorted so that a query's images are ranges.

    Attributes:
        order: Gallery indices by identity, then camera, then index: int64 [G].
        first: Start in `order` of the images of each query's identity, int64 [Q].
        last: End of these images, likewise.
        camera_first: Start of those of them that are from the query's own camera, int64 [Q].
        camera_last: End of these images, likewise.
    """

    order: Int[np.ndarray, " gallery"]
    first: Int[np.ndarray, " query"]
    last: Int[np.ndarray, " query"]
    camera_first: Int[np.ndarray, " query"]
    camera_last: Int[np.ndarray, " query"]

    @classmethod
    def create(cls, counts: tuple[int, int], identities: Sides, cameras: Sides, *, ranks: Sequence[int]) -> "Labels":
        """Check and sort labels.

        Args:
            counts: Number of query images and of gallery images.
            identities: Identities of both.
            cameras: Cameras of both.
            ranks: The ranks that are to be scored, which are checked too.

        Raises:
            ValueError: Lengths differ, a label is not an integer, there are no queries or no gallery, a rank is outside
                1..G, or no query has a correct match.
        """
        num_query, num_gallery = counts
        all_identities, all_cameras = identities.checked("ids", counts), cameras.checked("cameras", counts)
        if not num_query or not num_gallery:
            raise ValueError(
                f"Nothing to rank: {count(num_query, 'query image')} and {count(num_gallery, 'gallery image')}."
            )
        if not ranks or min(ranks) < 1 or max(ranks) > num_gallery:
            raise ValueError(
                f"ranks {tuple(ranks)} must be at least one number in 1..{num_gallery}, the size of the gallery."
            )
        # Identity and camera in one number, in the order of (identity, camera).
        _, ids = np.unique(all_identities, return_inverse=True)
        numbers, views = np.unique(all_cameras, return_inverse=True)
        keys = ids * len(numbers) + views
        order = np.argsort(keys[num_query:], kind="stable")
        ordered = keys[num_query:][order]
        identity_start = ids[:num_query] * len(numbers)
        labels = cls(
            order=order,
            first=np.searchsorted(ordered, identity_start),
            last=np.searchsorted(ordered, identity_start + len(numbers)),
            camera_first=np.searchsorted(ordered, keys[:num_query]),
            camera_last=np.searchsorted(ordered, keys[:num_query], side="right"),
        )
        if not labels.num_matches.any():
            raise ValueError(_no_match(num_query, int(np.count_nonzero(labels.num_dropped)), numbers))
        return labels

    @property
    def num_dropped(self) -> Int[np.ndarray, " query"]:
        """Images that take no part in each query's ranking."""
        return self.camera_last - self.camera_first

    @property
    def num_matches(self) -> Int[np.ndarray, " query"]:
        """Correct images of each query."""
        return self.last - self.first - self.num_dropped

    def matches(
        self, query: Int[np.ndarray, " entry"], position: Int[np.ndarray, " entry"]
    ) -> Int[np.ndarray, " entry"]:
        """Gallery indices of correct images: number `position` (from 0) of query `query`, entry by entry."""
        place = self.first[query] + position
        return self.order[place + np.where(place >= self.camera_first[query], self.num_dropped[query], 0)]


def _no_match(num_query: int, num_dropped: int, cameras: Int[np.ndarray, " cameras"]) -> str:
    """Why no query has a correct match, and what to do.

    Args:
        num_query: Number of queries.
        num_dropped: How many of them have images of their identity in the gallery, from their own camera only.
        cameras: All camera numbers.
    """
    none = "The only query has no" if num_query == 1 else f"None of the {num_query:,} queries has a"
    if not num_dropped:
        return (
            f"{none} gallery image of its identity: query and "
            "gallery share no person_id. They must hold images of the same persons, with the same numbers in both."
        )
    shown = ", ".join(map(str, cameras[:MAX_CAMERAS])) + (", ..." if len(cameras) > MAX_CAMERAS else "")
    return (
        f"{none} gallery image of its identity from another camera: "
        f"{num_dropped:,} {'has' if num_dropped == 1 else 'have'} such images from their own camera only, which the "
        f"Market-1501 rule drops from the ranking. Cameras of query and gallery: {shown}. If these numbers are wrong, "
        "correct camera_id. If there is only one camera, or none is known, number visits, days or tracks as cameras, "
        "or give all query images one number and all gallery images another, as `experiments.evaluate "
        "--same_camera=keep` does; then nothing is dropped, and scores are higher than across cameras."
    )


def _integers(name: str, values: Numbers, count: int) -> Int[np.ndarray, " count"]:
    """int64 [count]; `name` is the argument's, for the errors."""
    array = np.asarray(values)
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({count},), one entry an embedding.")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} has dtype {array.dtype}; expected integers.")
    return array.astype(np.int64, copy=False)
