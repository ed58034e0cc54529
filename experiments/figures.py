"""Draws Figures 6 and 7 of the paper, or measures how good the textures of SAN-PG runs are.

    python -m experiments.figures --figure=6 --workdir=runs/san --dataset=pit_reid --data_dir=data
    python -m experiments.figures --figure=7 --workdir=runs/san --dataset=partial_reid
    python -m experiments.figures --figure=7 --workdir=runs/san --dataset=market1501 --crops
    python -m experiments.figures --figure=6 --workdir=runs/san_pg,runs/san --images=photos

Figure 6 shows pairs of an image and the texture regressed from it, several pairs of one person in
each row. Figure 7 shows such pairs for partial images: each row has a picture of the dataset's
partial queries (Partial REID, Partial-iLIDS, pit_reid) and a whole one of the same person, or with
--crops a whole picture and parts cut from it. If the dataset holds the true texture, it is at the
end of the row. Without --names, the persons are spread evenly over the test identities, never
picked by how they look. With several runs, each image has a texture from each of them. The figure
is written to OUTPUT/figure_<6|7>_<dataset>.png.

--figure=quality writes a table with a row for each run, OUTPUT/texture_quality.md and .json:

    python -m experiments.pit_render --config=pit.py:seed=1,num_textures=100 \\
        --output_dir=held_out/rendered --data_dir=held_out
    python -m experiments.figures --figure=quality --workdir=runs/san_pg,runs/san_pg_resnet101 \\
        --dataset=pit_reid --held_out=held_out

The first command renders a held-out PIT: a thousand pairs of a hundred other textures. The seed
must be another one than that of the PIT trained on, which would give the same first textures; all
other changes to that PIT's config must be repeated here. With --dataset=pit_reid, the pseudo
textures of its training images, which no SAN-PG has seen, are compared with the true ones.
experiments/scoring/texture_quality.py defines the measures.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check(parser, arguments)
    compilation_cache.enable()
    if arguments.figure == "quality":
        _write_quality(arguments)
    else:
        _write_figure(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.make_parser("experiments.figures", __doc__)
    parser.add_argument("--figure", required=True, choices=("6", "7", "quality"), help="what to draw or measure")
    parser.add_argument(
        "--workdir",
        type=paths.given_list,
        required=True,
        help="folder of a run with a decoder, or several separated by commas",
    )
    command_line.add_checkpoint(parser)
    parser.add_argument("--dataset", help="dataset whose images are taken (default: none, see --images and --held_out)")
    parser.add_argument("--images", type=paths.given, help="folder of pictures to take (default: none, see --dataset)")
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--split",
        help="split of the dataset; for figures FIRST+FURTHER: where persons are chosen, and where further pictures of "
        "them come from (default: query+gallery, query_partial+gallery for Figure 7, or train if there are none; "
        "quality: train)",
    )
    parser.add_argument(
        "--names",
        type=command_line.comma_list,
        default="",
        help="for figures: names of pictures or patterns such as images/0200_*, separated by commas (default: a choice "
        "spread evenly over the persons)",
    )
    parser.add_argument("--crops", action="store_true", help="for Figure 7: show parts cut from whole pictures")
    parser.add_argument(
        "--held_out",
        type=paths.given,
        help="for quality: data_dir of a pit rendered with another seed (default: none)",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=1000,
        help="for quality: largest number of images of each dataset, drawn with a fixed seed",
    )
    parser.add_argument("--output", type=paths.given, default="figures", help="folder to write to")
    return parser


def _check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program if arguments do not go together."""
    measures = arguments.figure == "quality"
    for name, fits in {
        "images": not measures,
        "names": not measures,
        "crops": arguments.figure == "7",
        "held_out": measures,
        "sample": measures,
        "split": arguments.dataset is not None,
    }.items():
        is_given = getattr(arguments, name) not in (parser.get_default(name), [])
        if is_given and not fits:
            parser.error(f"--{name} does not go with --figure={arguments.figure} and the other arguments")
    if not measures and bool(arguments.dataset) == bool(arguments.images):
        parser.error("give either --dataset or --images")


def _write_quality(arguments: argparse.Namespace) -> None:
    from experiments.pages import quality_table  # not before: --help needs no JAX

    try:
        quality_table.write(
            _runs(arguments),
            arguments.output,
            where=arguments.dataset and (arguments.dataset, arguments.split or "train", _data_dir(arguments)),
            held_out=arguments.held_out,
            sample=arguments.sample,
            which=arguments.checkpoint,
        )
    except quality_table.KNOWN_ERRORS as error:
        sys.exit(f"figures: {error}")


def _write_figure(arguments: argparse.Namespace) -> None:
    from experiments.pages import figures  # not before: --help needs no JAX

    figure, choice = arguments.figure, {"names": arguments.names, "crops": arguments.crops}
    unread: list[str] = []
    try:
        if arguments.dataset:
            rows = figures.from_dataset(
                figure, arguments.dataset, _data_dir(arguments), split=arguments.split, **choice
            )
        else:
            rows, unread = figures.from_files(figure, arguments.images, **choice)
        what = arguments.dataset or pathlib.Path(arguments.images).resolve().name
        name = f"figure_{figure}_{what.replace('/', '_')}{'_crops' * arguments.crops}.png"
        figures.write(rows, _runs(arguments), pathlib.Path(arguments.output) / name, arguments.checkpoint)
    except figures.KNOWN_ERRORS as error:
        sys.exit(f"figures: {error}")
    if unread:
        sys.exit("\n".join(["figures: drawn without these pictures, which could not be read:", *unread]))


def _data_dir(arguments: argparse.Namespace) -> str:
    from experiments.runs import data_places  # not before: --help needs no JAX

    return data_places.find(arguments.data_dir, _runs(arguments), arguments.dataset)


def _runs(arguments: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(arguments.workdir.split(",")))


if __name__ == "__main__":
    command_line.run(main)
