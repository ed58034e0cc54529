"""Times the scorer at the size of a benchmark, by parts and as a whole, and measures its peak memory.

    python -m experiments.benchmark_ranking                  # 3,368 queries, 15,913 gallery images
    python -m experiments.benchmark_ranking --size=msmt17    # 11,659 and 82,161
    python -m experiments.benchmark_ranking --size=msmt17 --rerank    # with re-ranking

The embeddings are made up (2048 numbers each, float32, noise around a point for each identity); the
labels have the benchmark's counts. At the size of Market-1501 a plain NumPy program does the same,
and so does torchreid if it is installed with its Cython scorer compiled. All of them take turns
within one run, on all cores, and a ratio is the median over the turns. They are first checked to
agree in mAP and rank-1.

"ranking" starts from the whole matrix of distances in memory, which ours does not need: "both" is
evaluate_ranking, which computes distances by blocks and ranks them as they come. Peak memory is
measured in a separate process: the largest resident size while evaluate_ranking runs, less the
resident size once JAX is imported and the embeddings are made.
"""

from collections.abc import Sequence

from experiments import command_line
from experiments.benchmarks import sizes


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.benchmark_ranking", __doc__)
    parser.add_argument(
        "--size", choices=tuple(sizes.SIZES), default="market1501", help="benchmark whose counts to use"
    )
    parser.add_argument("--dimensions", type=command_line.at_least(1), default=2048, help="length of an embedding")
    parser.add_argument("--repeats", type=command_line.at_least(1), default=5, help="number of turns of each program")
    only = "print time, peak memory and scores of this process as JSON, nothing else"
    parser.add_argument("--rerank", action="store_true", help=f"with k-reciprocal re-ranking: {only}")
    parser.add_argument("--memory_only", action="store_true", help=only)
    arguments = parser.parse_args(argv)

    from experiments.benchmarks import ranking  # not before: --help needs no JAX

    if arguments.memory_only or arguments.rerank:
        ranking.print_memory(sizes.SIZES[arguments.size], arguments.dimensions, rerank=arguments.rerank)
    else:
        ranking.run(arguments.size, arguments.dimensions, arguments.repeats)


if __name__ == "__main__":
    command_line.run(main)
