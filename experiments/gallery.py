"""Keeps a gallery that grows and shrinks: adds embeddings to it, or removes some by their names.

    python -m experiments.gallery --gallery=people --add=monday.parquet
    python -m experiments.gallery --gallery=people --add=tuesday.parquet
    python -m experiments.gallery --gallery=people --remove=monday/17.jpg
    python -m experiments.search --gallery=people --workdir=runs/san --query=a.jpg --output=found

A gallery is a folder with a LanceDB table (pip install 'lancedb>=0.40'); no server runs. It takes
embeddings of one run only, each name once. A change is made whole or not at all, and searches may
go on meanwhile. For a gallery that stays as it is, search the file of experiments.embed.

Without --add and --remove it says what the gallery holds.
"""

import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.gallery", __doc__)
    parser.add_argument("--gallery", type=paths.given, required=True, help="folder of the gallery, made if absent")
    parser.add_argument("--add", type=paths.given, help="embeddings to add (default: none)")
    parser.add_argument("--remove", type=command_line.comma_list, help="names to remove (default: none)")
    parser.add_argument(
        "--remove_list", type=paths.given, help="text file with a name to remove in each line (default: none)"
    )
    arguments = parser.parse_args(argv)
    if sum(value is not None for value in (arguments.add, arguments.remove, arguments.remove_list)) > 1:
        parser.error("give one of --add, --remove and --remove_list")

    from experiments.searching import changes  # not before: --help needs no PyArrow

    try:
        if arguments.add is not None:
            done = changes.add(arguments.gallery, arguments.add)
        elif arguments.remove_list is not None:
            done = changes.remove(arguments.gallery, changes.read_names(arguments.remove_list))
        elif arguments.remove is not None:
            done = changes.remove(arguments.gallery, arguments.remove)
        else:
            done = changes.describe(arguments.gallery)
    except changes.KNOWN_ERRORS as error:
        sys.exit(f"gallery: {error}")
    print(done)


if __name__ == "__main__":
    command_line.run(main)
