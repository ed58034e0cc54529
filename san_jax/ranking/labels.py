"""The Market-1501 rule on labels: for a query, which gallery images are correct and which are dropped.

Correct: the same identity from another camera. Dropped: the same identity from the query's camera. All others are
wrong, whatever their camera.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from san_jax.typing import Array

MAX_CAMERAS = 8  # camera numbers in a message
Numbers = Array | Sequence[Any]  # integers [N]: `Labels.create` checks it


@dataclasses.dataclass(frozen=True)
class Labels:
    """Checked labels of Q queries and G gallery images, sorted so that a query's images are ranges.

    Attributes:
        order: Gallery indices by identity, then camera, then index: int64 [G].
        first, last: Bounds in `order` of the images of each query's identity, int64 [Q].
        camera_first, camera_last: Bounds of those from its own camera, inside the former, int64 [Q].
    """

    order: Int[np.ndarray, " gallery"]
    first: Int[np.ndarray, " query"]
    last: Int[np.ndarray, " query"]
    camera_first: Int[np.ndarray, " query"]
    camera_last: Int[np.ndarray, " query"]

    @classmethod
    def create(
        cls,
        num_query: int,
        num_gallery: int,
        query_ids: Numbers,
        gallery_ids: Numbers,
        query_cameras: Numbers,
        gallery_cameras: Numbers,
        ranks: Sequence[int],
    ) -> "Labels":
        """Sorts labels.

        Raises:
            ValueError: Lengths differ, a label is not an integer, there are no queries or no gallery, a rank is outside
                1..G, or no query has a correct match.
        """
        query_identities = _integers("query_ids", query_ids, num_query)
        gallery_identities = _integers("gallery_ids", gallery_ids, num_gallery)
        query_views = _integers("query_cameras", query_cameras, num_query)
        gallery_views = _integers("gallery_cameras", gallery_cameras, num_gallery)
        if not num_query or not num_gallery:
            raise ValueError(f"Nothing to rank: {num_query} query images and {num_gallery} gallery images.")
        if not ranks or min(ranks) < 1 or max(ranks) > num_gallery:
            raise ValueError(
                f"ranks {tuple(ranks)} must be at least one number in 1..{num_gallery}, the size of the gallery."
            )
        # Identity and camera in one number, in the order of (identity, camera).
        _, ids = np.unique(np.concatenate([query_identities, gallery_identities]), return_inverse=True)
        numbers, cameras = np.unique(np.concatenate([query_views, gallery_views]), return_inverse=True)
        keys = ids * len(numbers) + cameras
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
    if not num_dropped:
        return (
            f"None of the {num_query} queries has a gallery image of its identity: query and gallery share no person_id. "
            "They must hold images of the same persons, with the same numbers in both."
        )
    shown = ", ".join(map(str, cameras[:MAX_CAMERAS])) + (", ..." if len(cameras) > MAX_CAMERAS else "")
    return (
        f"None of the {num_query} queries has a gallery image of its identity from another camera: {num_dropped} have "
        "such images from their own camera only, which the Market-1501 rule drops from the ranking. Cameras of query "
        f"and gallery: {shown}. If these numbers are wrong, correct camera_id. If there is only one camera, or none is "
        "known, number visits, days or tracks as cameras, or give all query images one number and all gallery images "
        "another; then nothing is dropped, and scores are higher than across cameras."
    )


def _integers(name: str, values: Numbers, count: int) -> Int[np.ndarray, " count"]:
    """int64 [count]; `name` is the argument's, for the errors."""
    array = np.asarray(values)
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {array.shape}; expected ({count},), one entry an embedding.")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} has dtype {array.dtype}; expected integers.")
    return array.astype(np.int64, copy=False)
