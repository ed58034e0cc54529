"""Embeds pictures by a trained run's encoder: any number of them, into a file that says what made it.

    python -m experiments.embed --workdir=runs/san --images=photos --output=photos.parquet
    python -m experiments.embed --workdir=runs/san --images=list.txt --output=out.npz --runtime=onnx
    python -m experiments.embed --workdir=runs/san --images=market1501:gallery --output=g.parquet

--images is a folder, searched at any depth; a text file with a picture's path in each line,
relative to its own folder; or DATASET:SPLIT, whose person and camera ids are written too. Pictures
are JPEG, PNG, WebP or BMP by content, of any size. Those that cannot be read are named and left
out.

--output is a .parquet or .npz file; any other path becomes a folder of Parquet parts.
docs/scoring.md says what is in them; san_jax.load_embeddings reads them. After an interruption the
same command goes on, and the bytes are those of a run that was not interrupted.

With --shard=i/n each of n machines embeds its share into a folder beside --output; with --merge
the same command puts them together.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from experiments.runs import shards
from san_jax import runtimes


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.embed", __doc__)
    parser.add_argument(
        "--workdir",
        type=paths.given,
        help="folder of a run or of an export, a file of weights, or rendered-small (default: none, it must be given)",
    )
    command_line.add_checkpoint(parser)
    parser.add_argument(
        "--images",
        type=paths.given,
        help="folder, text file of paths, or DATASET:SPLIT (default: none, it must be given)",
    )
    parser.add_argument("--output", type=paths.given, required=True, help="FILE.parquet, FILE.npz or a folder")
    command_line.add_data_dir(parser)
    parser.add_argument(
        "--runtime", choices=runtimes.RUNTIMES, default=runtimes.JAX, help="jax, or onnx for onnxruntime on the CPU"
    )
    parser.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="numbers in the file")
    parser.add_argument(
        "--batch_size", type=command_line.at_least(1), default=64, help="number of pictures computed at a time"
    )
    parser.add_argument("--flip", action="store_true", help="average with the embeddings of the mirrored pictures")
    parser.add_argument("--strict", action="store_true", help="refuse pictures that cannot be read")
    parser.add_argument("--overwrite", action="store_true", help="replace other embeddings in --output")
    shards.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.merge is None and not (arguments.workdir and arguments.images):
        parser.error("give --workdir and --images, or --merge")
    compilation_cache.enable()

    from experiments.runs import embedding_run  # not before: --help needs no JAX

    output = arguments.output if arguments.shard is None else shards.folder(arguments.output, arguments.shard)
    try:
        if arguments.merge is not None:
            summary = embedding_run.merge(arguments.output, arguments.merge, overwrite=arguments.overwrite)
        else:
            fields = ("workdir", "images", "checkpoint", "data_dir", "batch_size", "runtime", "flip", "dtype", "strict")
            summary = embedding_run.run(
                embedding_run.Request(**{name: getattr(arguments, name) for name in fields}),
                arguments.output,
                shard=arguments.shard,
                overwrite=arguments.overwrite,
            )
    except embedding_run.KNOWN_ERRORS as error:
        sys.exit(f"embed: {error}")
    print(embedding_run.describe(summary, output))


if __name__ == "__main__":
    command_line.run(main)
