"""Measures the UV mirror map: mirrored textures on mirrored poses against flipped pictures.

    python -m experiments.mirror_error --count=60 --seed=0

Draws persons with all garments and hair styles from the distributions of pit, each before a camera
in front of the person, beside, behind or above. What they carry is left out, as it is no part of
the texture. Each person is drawn twice: as it is, and the picture flipped; and with mirrored pose,
camera, light and texture. The difference is given separately for the inside of the common
silhouette (2 pixels away from its border) and for the band of 2 pixels along the border, where the
two are rasterised on different grids. "smooth" is a texture without details, for which a shift by a
texel makes no difference; "painted" is the person's own texture; "lit" adds light and shadow.
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
