"""Computes pseudo ground-truth textures of real images by a trained SAN-PG (section 3.1 of the paper).

    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=market1501 --data_dir=data
    python -m experiments.pseudo_texture --workdir=runs/san_pg --images=photos --output=textures
    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=msmt17 --shard=0/4
    python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=msmt17 --merge

With --dataset, the TFDS dataset <dataset>_textured is written beside the benchmark, for the joint
training. It holds a texture for each image of the split train, and of val if the benchmark has one
(MSMT17); cuhk03/labeled gives cuhk03/labeled_textured.

With --images, a texture PNG is written for every picture under a folder (JPEG, PNG, WebP or BMP by
content, of any size, grey, 16-bit or turned by EXIF). Files that are not named like pictures are
skipped and listed.

Textures are 256x256 RGB, the decoder's [-1, 1] clipped and mapped to 0..255. After an interruption
the same command computes only what is missing. A SAN-PG trained to reconstruct frontal views gives
these instead, 256x128 (Table 2); the dataset is then called <dataset>_frontal.

--shard=i/n computes the i-th of n parts (from 0) into a folder of its own, beside --output or, with
--dataset, in the folder pseudo_textures of the run. --merge, with the same arguments, takes the
textures of all shards and does the rest: it computes what they lack, and writes the dataset.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from experiments.runs import shards
from san_jax.counts import count


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.pseudo_texture", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a SAN-PG run")
    command_line.add_checkpoint(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", help="benchmark to write the textured copy of")
    what.add_argument("--images", type=paths.given, help="folder of pictures")
    command_line.add_data_dir(parser, "with --dataset: ")
    parser.add_argument(
        "--output",
        type=paths.given,
        help="with --images: folder for the texture PNGs (default: none, it must be given)",
    )
    parser.add_argument(
        "--batch_size", type=command_line.at_least(1), default=32, help="number of images computed at a time"
    )
    shards.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if bool(arguments.images) != bool(arguments.output) or (arguments.images and arguments.data_dir):
        parser.error("give either --dataset with --data_dir, or --images with --output")
    compilation_cache.enable()

    from experiments.runs import data_places, pseudo_textures  # not before: --help needs no JAX

    failed: list[str] = []
    division = pseudo_textures.Division(arguments.shard, arguments.merge)
    try:
        if arguments.dataset:
            folder = pseudo_textures.run_dataset(
                arguments.workdir,
                arguments.dataset,
                data_places.find(arguments.data_dir, [arguments.workdir], arguments.dataset),
                batch_size=arguments.batch_size,
                division=division,
                which=arguments.checkpoint,
            )
            print(folder)
        else:
            failed = pseudo_textures.run_folder(
                arguments.workdir,
                arguments.images,
                arguments.output,
                batch_size=arguments.batch_size,
                division=division,
                which=arguments.checkpoint,
            )
    except pseudo_textures.KNOWN_ERRORS as error:
        sys.exit(f"pseudo_texture: {error}")
    if failed:
        sys.exit(f"pseudo_texture: {count(len(failed), 'picture')} could not be read, see above; the others are done.")


if __name__ == "__main__":
    command_line.run(main)
