"""Sizes of the benchmarks at which the scorer is timed. Standard library only, so that `--help` can list them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """Published counts of a benchmark.

    Attributes:
        num_query: Number of queries.
        num_gallery: Number of gallery images.
        num_identities: Number of test identities.
        num_distractors: Number of gallery images that show none of them.
        num_cameras: Number of cameras.
    """

    num_query: int
    num_gallery: int
    num_identities: int
    num_distractors: int
    num_cameras: int

    def divided(self, scale: int) -> "Size":
        """The same with `scale` times fewer queries, gallery images, identities and distractors."""
        return Size(
            self.num_query // scale,
            self.num_gallery // scale,
            self.num_identities // scale,
            self.num_distractors // scale,
            self.num_cameras,
        )


SIZES = {"market1501": Size(3368, 15913, 750, 2798, 6), "msmt17": Size(11659, 82161, 3060, 0, 15)}
TRAINING_IDENTITIES = {"market1501": 751}
