"""Measures the UV mirror map: a picture of the mirrored texture on the mirrored pose against the flipped picture.

    python -m experiments.mirror_error [--count=60] [--seed=0]

Draws persons of all garments and hair styles from the `pit` distributions, each before a camera in front of it, at its
side, behind it or above it. What they carry is left out: it is no part of the texture. Each is drawn twice, flipped; and
mirrored: pose, camera, light and texture. The difference is told apart by place: inside the common silhouette (2 pixels
away from its border), and in the band of 2 pixels along it, where the picture is rasterised on another grid. "smooth" is
a texture without details, where a texel more or less makes no difference; "painted" the person's own; "lit" adds
light and shadow.
"""

from collections.abc import Sequence

from experiments import command_line


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.mirror_error", __doc__)
    parser.add_argument("--count", type=command_line.at_least(1), default=60, help="number of persons")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of persons")
    arguments = parser.parse_args(argv)

    from experiments.benchmarks import mirror_error  # not before: --help needs neither NumPy nor trimesh

    mirror_error.run(arguments.count, arguments.seed)


if __name__ == "__main__":
    command_line.run(main)
