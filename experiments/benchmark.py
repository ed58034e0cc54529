"""Measures speed and memory here: training steps and their input, embedding, ranking and rendering.

    python -m experiments.benchmark --output=bench.json     # everything at full size
    python -m experiments.benchmark --small                 # what `make bench` runs
    python -m experiments.benchmark --parts=step --batch_sizes=64,256 --bound=h100_64.json
    python -m experiments.benchmark --parts=ranking --size=msmt17 --rerank

Programs that do the same take turns within one run, so that a ratio (the median over the turns)
holds on a busy machine, where seconds do not. Processor time stands beside wall-clock time; it
counts decoding workers, and leaves out waiting for a GPU. What is not installed is named and left
out. --output writes everything as JSON, with machine and versions.

Parts:
  step       rounds of one step of each kind of batch, of --config and of the baseline: on a fixed
             batch that stays on the device, from the pipeline, and from a training set in device
             memory; PyTorch's model beside ours
  input      images a second of a core: records, decoding, resizing, batches, to the device; then
             all of it by no worker, by one and by two. Data, batch size as for step
  embedding  full-size images by JAX, onnxruntime, PyTorch and OpenVINO
  ranking    the scorer at the size of Market-1501 and of MSMT17, NumPy and torchreid beside it
             where a whole matrix of distances fits; peak memory in a process of its own
  rendering  pairs a second of one process and of several, milliseconds by phase

--small: networks and batches of san.py:smoke, ranking at an eighth of the sizes, fewer pairs, turns
and images to embed at once; a few minutes on two cores.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import command_line
from experiments.benchmarks import options, sizes
from experiments.command_line import config_argument, paths
from san_jax.dataset_names import RENDERED
from san_jax.settings import COMPUTE_DTYPES

# Defaults of the arguments; --small has others.
FULL = {
    "config": "san.py",
    "seconds": 10.0,
    "scale": 1,
    "turns": 5,
    "num_pairs": 60,
    "dtypes": ",".join(COMPUTE_DTYPES),
    "embedding_batch_sizes": "1,16,64",
}
SMALL = {
    "config": "san.py:smoke",
    "seconds": 3.0,
    "scale": 8,
    "turns": 3,
    "num_pairs": 20,
    "dtypes": "float32",
    "embedding_batch_sizes": "1,8",
}


def main(argv: Sequence[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    defaults = SMALL if "--small" in argv else FULL
    parser = command_line.make_parser("experiments.benchmark", __doc__)
    _add_shared(parser, defaults)
    _add_of_training(parser, defaults)
    _add_of_others(parser, defaults)
    arguments = config_argument.parse(parser, argv, required_key="optimizer")

    # Where PyTorch is measured beside JAX, both need memory of the GPU. Read when JAX is imported.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if arguments.memory_only:
        from experiments.benchmarks import ranking

        ranking.print_memory(_ranking(arguments))
        return
    from experiments.benchmarks import suite  # not before: --help needs no JAX
    from experiments.runs.errors import KNOWN_ERRORS

    try:
        suite.run(arguments.config, _options(arguments), output=arguments.output)
    except (*KNOWN_ERRORS, ValueError) as error:
        sys.exit(str(error))


def _add_shared(parser: argparse.ArgumentParser, defaults: Mapping[str, Any]) -> None:
    config_argument.add(parser, default=defaults["config"])
    parts = command_line.comma_list_of(options.PARTS)
    parser.add_argument("--parts", type=parts, default=",".join(options.PARTS), help="what to measure, a comma list")
    parser.add_argument("--small", action="store_true", help="take the small sizes above as defaults")
    parser.add_argument("--output", type=paths.given, default="", help="JSON file to write (default: none)")
    parser.add_argument("--seconds", type=float, default=defaults["seconds"], help="how long each program works")
    parser.add_argument(
        "--turns", type=command_line.at_least(1), default=defaults["turns"], help="turns of embedding and ranking"
    )


def _add_of_training(parser: argparse.ArgumentParser, defaults: Mapping[str, Any]) -> None:
    step = parser.add_argument_group("step")
    dtypes = command_line.comma_list_of(COMPUTE_DTYPES)
    step.add_argument(
        "--dtypes",
        type=dtypes,
        default=defaults["dtypes"],
        help="compute dtypes, the first is the others' reference",
    )
    step.add_argument(
        "--batch_sizes",
        type=command_line.comma_list_of_integers(1),
        default="",
        help="images in a batch of each kind (default: those of --config)",
    )
    step.add_argument(
        "--data_dir",
        type=paths.given,
        default="",
        help="where the datasets of --config are (default: a few pictures are rendered into data/benchmark)",
    )
    step.add_argument(
        "--bound",
        type=paths.given,
        action="append",
        default=[],
        help="JSON of experiments.train_compile to hold the steps against; may be repeated (default: none)",
    )
    feeding = parser.add_argument_group("input")
    feeding.add_argument(
        "--num_workers",
        type=command_line.comma_list_of_integers(0),
        default="0,1,2",
        help="decoding processes, a comma list; 0 decodes in a thread",
    )


def _add_of_others(parser: argparse.ArgumentParser, defaults: Mapping[str, Any]) -> None:
    embedding = parser.add_argument_group("embedding")
    embedding.add_argument(
        "--embedding_batch_sizes",
        type=command_line.comma_list_of_integers(1),
        default=defaults["embedding_batch_sizes"],
        help="images that are embedded at once",
    )
    ranking = parser.add_argument_group("ranking")
    size = command_line.comma_list_of(tuple(sizes.SIZES))
    ranking.add_argument("--size", type=size, default=",".join(sizes.SIZES), help="benchmarks whose counts to use")
    ranking.add_argument(
        "--scale", type=command_line.at_least(1), default=defaults["scale"], help="divisor of these counts"
    )
    ranking.add_argument("--dimensions", type=command_line.at_least(1), default=2048, help="length of an embedding")
    ranking.add_argument("--rerank", action="store_true", help="measure k-reciprocal re-ranking too")
    only = "print time, peak memory and scores of this process at the first --size as JSON, nothing else"
    ranking.add_argument("--memory_only", action="store_true", help=only)
    rendering = parser.add_argument_group("rendering")
    rendering.add_argument(
        "--recipe", type=command_line.comma_list_of(RENDERED), default=",".join(RENDERED), help="what to draw"
    )
    rendering.add_argument(
        "--num_pairs",
        type=command_line.at_least(1),
        default=defaults["num_pairs"],
        help="pairs that each process draws",
    )
    rendering.add_argument(
        "--num_processes", type=command_line.at_least(2), default=2, help="processes to compare with one"
    )


def _options(arguments: argparse.Namespace) -> options.Options:
    return options.Options(
        parts=arguments.parts,
        step=options.StepOptions(
            arguments.dtypes, arguments.batch_sizes, arguments.data_dir, tuple(arguments.bound), arguments.seconds
        ),
        input=options.InputOptions(arguments.num_workers, arguments.seconds),
        embedding=options.EmbeddingOptions(arguments.embedding_batch_sizes, arguments.turns, arguments.seconds),
        ranking=_ranking(arguments),
        rendering=options.RenderingOptions(arguments.recipe, arguments.num_pairs, arguments.num_processes),
    )


def _ranking(arguments: argparse.Namespace) -> options.RankingOptions:
    return options.RankingOptions(
        arguments.size, arguments.scale, arguments.dimensions, arguments.turns, arguments.rerank
    )


if __name__ == "__main__":
    command_line.run(main)
