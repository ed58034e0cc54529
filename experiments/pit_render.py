"""Renders paired person images and UV textures: the PIT dataset of the paper, and a reID benchmark.

    python -m experiments.pit_render --config=pit.py --output_dir=DIR --data_dir=DATA
    python -m experiments.pit_render --config=pit_reid.py --output_dir=DIR --shard=0/4
    python -m experiments.pit_render --config=pit_reid.py --output_dir=DIR --data_dir=DATA --merge
    python -m experiments.pit_render --config=pit.py:num_textures=20 --preview

    pit.py             929 textures x 10 meshes, as in the paper
    pit_reid.py        identities seen by several cameras
    pit_reid.py:large  8,000 identities before 24 cameras, 1.8 million pictures
    pit.py:paper       the paper's own recipe from licensed files, see render/recipes/paper.py
    pit.py:smoke       a few pairs

render/manifest.py describes the output folder. A pair depends on its index, the recipe, the seed
and the parameters only, whatever the number of workers. The same command, started again after an
interruption, draws what is missing and ends with the same bytes: a pair is done once its file in
records/ is there.

--truths=mask,depth (or mask,parts,uv,depth,joints, or all) writes what is known of every picture
besides its texture; docs/renderer.md says what is in the files.

--shard=i/n draws the i-th of n parts (from 0) into a folder of its own beside the output folder,
such as DIR.shard-00000-of-00004, so that machines need not share a file system. --merge puts the
folders of all shards together: for every n the files that one machine would have drawn. The dataset
of --data_dir is built from the merged folder.

Software OpenGL draws 20 to 26 pictures a second and core: pit, with two pictures a pair, takes some
6 minutes on 2 cores.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import config_argument, paths
from experiments.runs import shards
from render import manifest


def _truths(text: str) -> tuple[str, ...]:
    """Read the value of --truths; an argparse `type`."""
    kinds = tuple(manifest.TRUTHS) if text == "all" else tuple(text.split(",")) if text else ()
    unknown = [kind for kind in kinds if kind not in manifest.TRUTHS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown {', '.join(map(repr, unknown))}; expected some of {','.join(manifest.TRUTHS)}, or all."
        )
    return kinds


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, and refuse options that do not go together."""
    parser = command_line.make_parser("experiments.pit_render", __doc__)
    config_argument.add(parser, default="pit.py")
    parser.add_argument(
        "--output_dir",
        type=paths.given,
        help="folder to render into; with --preview, folder for the contact sheets (default: preview)",
    )
    parser.add_argument("--preview", action="store_true", help="draw contact sheets only, no dataset")
    parser.add_argument("--check", action="store_true", help="only verify the files that the recipe needs")
    parser.add_argument("--data_dir", type=paths.given, help="where TFDS keeps datasets (default: build none)")
    parser.add_argument(
        "--num_workers", type=command_line.at_least(0), default=0, help="number of processes; 0 is one per core"
    )
    parser.add_argument(
        "--truths",
        type=_truths,
        default=(),
        help=f"also write these truths of every picture: some of {','.join(manifest.TRUTHS)}, or all (default: none)",
    )
    shards.add_arguments(parser)
    arguments = config_argument.parse(parser, argv, required_key="recipe")
    if not (arguments.output_dir or arguments.preview or arguments.check):
        parser.error("--output_dir is missing: the folder to render into")
    if (arguments.preview or arguments.check) and (arguments.shard is not None or arguments.merge is not None):
        parser.error("--preview and --check are for the whole recipe: leave out --shard and --merge")
    if (arguments.preview or arguments.check) and arguments.truths:
        parser.error("--preview and --check write no truths: leave out --truths")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parse(argv)

    from experiments.runs import render_merge, rendering  # not before: --help needs no renderer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("absl").setLevel(logging.INFO)  # the renderer and TFDS report there
    start = time.monotonic()
    try:
        if arguments.preview:
            rendering.show_preview(arguments.config, arguments.output_dir or "preview")
            return
        if arguments.check:
            print(rendering.check(rendering.make_recipe(arguments.config)))
            return
        if arguments.merge is not None:
            recipe = rendering.make_recipe(arguments.config) if arguments.config_given else None
            render_merge.merge(
                arguments.output_dir,
                arguments.merge,
                recipe=recipe,
                truths=arguments.truths,
                data_dir=arguments.data_dir,
            )
        elif arguments.shard is not None:
            rendering.run_shard(
                arguments.config,
                arguments.shard,
                output_dir=arguments.output_dir,
                num_workers=arguments.num_workers,
                truths=arguments.truths,
            )
        else:
            rendering.run(
                arguments.config,
                output_dir=arguments.output_dir,
                data_dir=arguments.data_dir,
                num_workers=arguments.num_workers,
                truths=arguments.truths,
            )
        logging.info("%.0f s", time.monotonic() - start)
    except (rendering.RenderError, ValueError, OSError) as error:  # wrong parameters, folders or datasets
        sys.exit(f"pit_render: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. What is finished is kept; the same command continues from there.")


if __name__ == "__main__":
    command_line.run(main)
