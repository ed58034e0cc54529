"""How a gallery is ranked: the choices that `san_jax.ranking` offers. Standard library only, so that `--help` can list them."""

import dataclasses

METRICS = ("euclidean", "cosine")
AVERAGE_PRECISIONS = ("standard", "trapezoidal")
# Gallery images of a query's identity and camera: "drop" them (the Market-1501 rule), "keep" them as correct matches, or
# "auto": drop them unless all images are of one camera.
SAME_CAMERA = ("auto", "drop", "keep")


@dataclasses.dataclass(frozen=True)
class KReciprocal:
    """Settings of the re-ranking; the defaults are the authors' for Market-1501 and DukeMTMC-reID.

    Attributes:
        k1: Size of a ranking's head in which neighbours must have each other, >= 1. With fewer than k1 + 1 points
            all of them are in it.
        k2: Number of points, itself included, whose encodings are averaged, >= 1; 1 for none.
        lambda_value: Weight of the original distance in [0, 1].

    Raises:
        ValueError: A setting is outside its range.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self):
        for name, value in (("k1", self.k1), ("k2", self.k2)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it counts neighbours and must be at least 1.")
        if not 0 <= self.lambda_value <= 1:
            raise ValueError(
                f"lambda_value is {self.lambda_value}; it must lie in [0, 1]: 0 leaves only the Jaccard distance, "
                "1 only the original one."
            )
