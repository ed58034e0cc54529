"""Figures 6 and 7 of the paper, and how good the textures of a SAN-PG are.

    python -m experiments.figures --figure=6 --workdir=runs/san --dataset=pit_reid --data_dir=data
    python -m experiments.figures --figure=7 --workdir=runs/san --dataset=partial_reid --data_dir=data
    python -m experiments.figures --figure=7 --workdir=runs/san --dataset=market1501 --crops
    python -m experiments.figures --figure=6 --workdir=runs/san_pg,runs/san --images=photos --names="a*.jpg,b/*.png"

Figure 6 shows pairs of an image and the texture regressed from it, several of a person in each row. Figure 7 shows them for
partial images: in each row a picture of a dataset's partial queries (Partial REID, Partial-iLIDS, `pit_reid`) and a whole one
of the same person; with `--crops` a whole picture and parts cut from it. Where the dataset holds the true texture, it stands
at the end of the row. Without `--names` the persons are spread evenly over the test identities, never picked by how they look.
Several runs, by commas, give several textures for each image. Written to OUTPUT/figure_<6|7>_<dataset>.png.

How good the textures are, a row for each run, as Markdown and JSON (OUTPUT/texture_quality.md and .json):

    python -m experiments.pit_render --config=pit.py:seed=1,num_textures=100 --output_dir=held_out/rendered \
        --data_dir=held_out
    python -m experiments.figures --figure=quality --workdir=runs/san_pg,runs/san_pg_resnet101 --dataset=pit_reid \
        --data_dir=data --held_out=held_out

The first command renders a held-out PIT: a thousand pairs of a hundred other textures. Another seed makes it held out: with
the same one its first textures are those of the PIT trained on. What else was changed in that PIT's config must be changed
here too. With `--dataset=pit_reid` the pseudo textures of its training images, which no SAN-PG has seen, are held against the
true ones. What is measured is told by `experiments.scoring.texture_quality`.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.figures", __doc__)
    parser.add_argument("--figure", required=True, choices=("6", "7", "quality"), help="what to draw or measure")
    parser.add_argument(
        "--workdir", type=paths.given_list, required=True, help="folder of a run with a decoder, or several by commas"
    )
    parser.add_argument("--dataset", help="dataset whose images are taken")
    parser.add_argument("--images", type=paths.given, help="instead of --dataset: a folder of pictures")
    parser.add_argument("--data_dir", type=paths.given, default="data", help="where TFDS keeps datasets")
    parser.add_argument(
        "--split",
        help="of the dataset; for figures FIRST+FURTHER: where persons are chosen, and where further pictures of them come "
        "from (default: query+gallery, query_partial+gallery for Figure 7, or train where there are none; quality: train)",
    )
    parser.add_argument("--names", help="for figures: names of pictures or patterns such as images/0200_*, by commas")
    parser.add_argument("--crops", action="store_true", help="for Figure 7: parts cut from whole pictures")
    parser.add_argument(
        "--held_out", type=paths.given, help="for quality: data_dir of a pit rendered with another seed"
    )
    parser.add_argument(
        "--sample",
        type=int,
        help="for quality: largest number of images of each dataset, drawn with a fixed seed (default: 1000)",
    )
    parser.add_argument("--output", type=paths.given, default="figures", help="folder for what is made")
    arguments = parser.parse_args(argv)
    measures = arguments.figure == "quality"
    for name, fits in {
        "images": not measures,
        "names": not measures,
        "crops": arguments.figure == "7",
        "held_out": measures,
        "sample": measures,
        "split": arguments.dataset,
    }.items():
        if getattr(arguments, name) and not fits:
            parser.error(f"--{name} does not go with --figure={arguments.figure} and the other arguments")
    if not measures and bool(arguments.dataset) == bool(arguments.images):
        parser.error("give either --dataset or --images")
    workdirs = list(dict.fromkeys(arguments.workdir.split(",")))

    from experiments.pages import figures  # not before: --help needs no JAX

    unread: list[str] = []
    try:
        if measures:
            figures.write_quality(
                workdirs,
                arguments.output,
                dataset=arguments.dataset,
                split=arguments.split or "train",
                data_dir=arguments.data_dir,
                held_out=arguments.held_out,
                sample=arguments.sample,
            )
        else:
            unread = figures.write_figure(
                arguments.figure,
                workdirs,
                arguments.output,
                dataset=arguments.dataset,
                images=arguments.images,
                data_dir=arguments.data_dir,
                split=arguments.split,
                names=arguments.names.split(",") if arguments.names else (),
                crops=arguments.crops,
            )
    except figures.KNOWN_ERRORS as error:
        sys.exit(f"figures: {error}")
    if unread:
        sys.exit("\n".join(["figures: drawn without these pictures, which could not be read:", *unread]))


if __name__ == "__main__":
    command_line.run(main)
