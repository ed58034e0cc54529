"""Renders paired person images and UV textures: the PIT dataset of the paper, and a re-identification benchmark.

    python -m experiments.pit_render --config=pit.py --output_dir=DIR [--data_dir=DIR] [--num_workers=N] [--shard=i/n]
    python -m experiments.pit_render --preview [--config=...] [--output_dir=preview]      contact sheets, no dataset

    --config=pit.py            929 textures x 10 meshes, as in the paper
    --config=pit_reid.py       identities seen by several cameras
    --config=pit.py:paper      the paper's own recipe from licensed files, see `render/recipes/paper.py`; --check verifies them
    --config=pit.py:smoke      a few pairs
    --config=pit.py:num_textures=20,meshes_per_texture=5

The output folder is described in `render/manifest.py`. A pair depends only on the recipe, its seed and parameters, and
the pair's index, whatever the number of workers. Interrupted at any moment and started again, the same command draws
what is missing and ends with the same bytes: `records/` marks the pairs that are done, and is written last for each.
With `--shard=i/n` only the i-th of n parts is drawn (i from 0), for several machines on one file system; the one that
completes the folder also writes `manifest.jsonl`. With `--data_dir` a complete folder becomes a TFDS dataset there.

About 28 pictures a second and core with software OpenGL: `pit`, two pictures a pair, takes about 6 minutes on 2 cores.
"""

import time

from absl import app, flags, logging

from experiments import command_line
from experiments.command_line import config_files, paths


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")

    from experiments.runs import rendering  # not before: --help needs no renderer

    start = time.monotonic()
    try:
        if _PREVIEW.value:
            rendering.show_preview(_CONFIG.value, _OUTPUT_DIR.value or "preview")
            return
        if _CHECK.value:
            print(rendering.check(rendering.make_recipe(_CONFIG.value)))
            return
        if _OUTPUT_DIR.value is None:
            raise app.UsageError("--output_dir is missing: the folder to render into.")
        rendering.run(
            _CONFIG.value,
            output_dir=_OUTPUT_DIR.value,
            data_dir=_DATA_DIR.value,
            num_workers=_NUM_WORKERS.value,
            shard=rendering.parse_shard(_SHARD.value),
        )
    except (rendering.RenderError, ValueError, OSError) as error:  # bad parameters, folders, datasets: ValueErrors
        raise SystemExit(f"pit_render: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("Interrupted. What is finished is kept: the same command goes on from there.") from None
    logging.info("%.0f s", time.monotonic() - start)


if __name__ == "__main__":
    _CONFIG = config_files.define_flag(default="pit.py", required_key="recipe")
    _OUTPUT_DIR = paths.define_flag("output_dir", None, "The rendered folder; of --preview that of its pictures.")
    _PREVIEW = flags.DEFINE_bool("preview", False, "Draw contact sheets into --output_dir (else preview/), no dataset.")
    _CHECK = flags.DEFINE_bool("check", False, "Only verify the files that the recipe needs; list all that is wrong.")
    _DATA_DIR = paths.define_flag("data_dir", None, "Where TFDS keeps datasets; without it none is built.")
    _NUM_WORKERS = flags.DEFINE_integer("num_workers", 0, "Number of processes; 0: one a core.", lower_bound=0)
    _SHARD = flags.DEFINE_string("shard", "0/1", "i/n: draw only the i-th of n parts, i from 0.")
    command_line.run(lambda: app.run(main, flags_parser=config_files.parse_flags))
