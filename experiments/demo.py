"""The whole method, small: render, SAN-PG, pseudo textures, baseline and SAN, scores and a report.

    python -m experiments.demo --output=demo        (what `make demo` runs)

Every part is the real program with a smaller config; nothing is rendered, trained or scored in a
second way here. After an interruption the same command continues. The report is
OUTPUT/report/index.html.

Baseline and SAN start from the same SAN-PG encoder and see the same identity-labelled batches in
the same order: from other weights, the comparison would measure pre-training. The report says what
is equal and what is not.
"""

import sys
import time
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.demo", __doc__)
    parser.add_argument("--output", type=paths.given, default="demo", help="folder for data, runs and report")
    arguments = parser.parse_args(argv)
    compilation_cache.enable()

    from experiments.runs import demonstration  # not before: --help needs no JAX
    from san_jax import folder_lock

    start = time.monotonic()
    try:
        good = demonstration.run(arguments.output)
    except KeyboardInterrupt:
        sys.exit("demo: interrupted. The same command continues from there.")
    except folder_lock.FolderError as error:  # its message says what to do; the folder may be another demo's
        sys.exit(f"demo: {error}")
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"demo: {error}\nThe same command continues from there; to start afresh, remove {arguments.output}.")
    print(f"this call took {(time.monotonic() - start) / 60:.1f} minutes")
    if not good:
        sys.exit(
            f"demo: rank-1 of a model is below {demonstration.TIMES_CHANCE} times chance: something is wrong, see the "
            "report."
        )


if __name__ == "__main__":
    command_line.run(main)
