"""Speed and memory of the scorer, by parts and as a whole, at the sizes of benchmarks.

The embeddings are made up (float32, noise around a point for each identity); the labels have the benchmark's counts.
"ranking" starts from the whole matrix of distances in memory, which ours does not need: "both" is `evaluate_ranking`,
which computes distances by blocks and ranks them as they come.
"""

import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.benchmarks import timing
from experiments.benchmarks.options import RankingOptions
from experiments.benchmarks.sizes import SIZES, Size
from experiments.benchmarks.timing import Turn
from san_jax import ranking

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Scores = tuple[float, float]  # mAP and rank-1
TASKS = ("distances", "ranking", "both")
LARGEST_MATRIX = 2**28  # distances that NumPy and torchreid are given to sort at once: 1 GiB


def make_labels(size: Size, rng: np.random.Generator) -> Labels:
    """Draw query_ids, gallery_ids, query_cameras and gallery_cameras. The identity of distractors is 0."""
    query_ids = rng.integers(1, size.num_identities + 1, size.num_query)
    gallery_ids = rng.integers(1, size.num_identities + 1, size.num_gallery)
    gallery_ids[: size.num_distractors] = 0
    query_cameras, gallery_cameras = (
        rng.integers(0, size.num_cameras, count) for count in (size.num_query, size.num_gallery)
    )
    return query_ids, rng.permutation(gallery_ids), query_cameras, gallery_cameras


def make_embeddings(ids: np.ndarray, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Draw embeddings float32 [N D]: noise around a point for each identity; each distractor has a point of its own."""
    embeddings = np.empty((len(ids), dimensions), np.float32)
    for row, identity in zip(embeddings, ids, strict=True):
        point = int(identity) if identity else int(rng.integers(1, 1 << 30))
        np.random.default_rng(point).standard_normal(dtype=np.float32, out=row)
        row += np.float32(_NOISE) * rng.standard_normal(dimensions, np.float32)
    return embeddings


_NOISE = 2.9  # gives about the mAP of good models


def numpy_distances(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Compute all Euclidean distances at once, float32 [Q G]."""
    squares = np.square(queries).sum(axis=1)[:, None] + np.square(gallery).sum(axis=1) - 2 * queries @ gallery.T
    return np.sqrt(np.maximum(squares, 0))


def numpy_ranking(distances: np.ndarray, labels: Labels) -> Scores:
    """Sort every row, then score query by query."""
    query_ids, gallery_ids, query_cameras, gallery_cameras = labels
    order = np.argsort(distances, axis=1)
    precisions, first = [], []
    for query, row in enumerate(order):
        same = gallery_ids[row] == query_ids[query]
        kept = ~(same & (gallery_cameras[row] == query_cameras[query]))
        hits = same[kept]
        if hits.any():
            precisions.append(np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]))
            first.append(hits[0])
    return float(np.mean(precisions)), float(np.mean(first))


def _scores(result: ranking.RankingResult) -> Scores:
    return result.mean_ap, result.cmc[1]


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is timed.

    Attributes:
        distances: Computes the distances between queries and gallery.
        ranking: Scores a matrix of distances.
        both: Scores embeddings; None if the program does one after the other.
    """

    distances: Callable[[np.ndarray, np.ndarray], Any]
    ranking: Callable[[np.ndarray, Labels], Scores]
    both: Callable[[np.ndarray, np.ndarray, Labels], Scores] | None = None


def san_jax_program() -> Program:
    """Return our scorer."""

    def distances(queries: np.ndarray, gallery: np.ndarray) -> None:
        for _ in ranking.distance_blocks(queries, gallery):
            pass

    return Program(
        distances,
        lambda matrix, labels: _scores(ranking.evaluate_distances(matrix, *labels)),
        lambda queries, gallery, labels: _scores(ranking.evaluate_ranking(queries, gallery, *labels)),
    )


def torchreid_program() -> Program | None:
    """Return torchreid's distances and Cython scorer, None if they are absent. (Releases have them in two places.)"""
    for package in ("torchreid.metrics", "torchreid.reid.metrics"):
        try:
            scorer = importlib.import_module(f"{package}.rank_cylib.rank_cy")
            distance = importlib.import_module(f"{package}.distance")
        except ImportError:
            continue

        def distances(queries: np.ndarray, gallery: np.ndarray, distance: Any = distance) -> np.ndarray:
            tensors = (distance.torch.from_numpy(embeddings) for embeddings in (queries, gallery))
            return distance.compute_distance_matrix(*tensors).numpy()

        def rank(matrix: np.ndarray, labels: Labels, scorer: Any = scorer) -> Scores:
            cmc, mean_ap = scorer.evaluate_cy(matrix, *labels, 50)
            return float(mean_ap), float(cmc[0])

        return Program(distances, rank)
    return None


def compare(programs: Mapping[str, Program], size: Size, dimensions: int, turns: int) -> dict[str, Any]:
    """Time the tasks "distances", "ranking" and "both" of each program, turn after turn.

    Returns:
        `tasks`: task -> program -> see `timing.summarize`, with "san_jax" as reference; `first_seconds`: task ->
        seconds of our first turn, compilation included; `scores`: program -> mAP and rank-1.

    Raises:
        ValueError: The programs disagree in mAP or rank-1.
    """
    rng = np.random.default_rng(0)
    labels = make_labels(size, rng)
    queries, gallery = (make_embeddings(ids, dimensions, rng) for ids in labels[:2])
    matrix = ranking.pairwise_distances(queries, gallery)
    taken: dict[str, dict[str, list[Turn]]] = {task: {name: [] for name in programs} for task in TASKS}
    scores: dict[str, Scores] = {}
    for _ in range(turns + 1):  # the first turn compiles, and its results are compared
        for name, program in programs.items():
            found, scores[name] = _turn(program, queries, gallery, matrix, labels)
            for task, turn in found.items():
                taken[task][name].append(turn)
        for name in programs:
            _check_scores(name, scores[name], scores["san_jax"])
    references = dict.fromkeys(programs, "san_jax")
    first = {task: _drop_first(programs) for task, programs in taken.items()}
    tasks = {task: timing.summarize(turns, references) for task, turns in taken.items()}
    return {"tasks": tasks, "first_seconds": first, "scores": scores}


def _drop_first(turns: Mapping[str, list[Turn]]) -> float:
    """Drop the first turn of each program; return the seconds of ours."""
    dropped = {name: taken.pop(0) for name, taken in turns.items()}
    return dropped["san_jax"].wall


def _turn(
    program: Program, queries: np.ndarray, gallery: np.ndarray, matrix: np.ndarray, labels: Labels
) -> tuple[dict[str, Turn], Scores]:
    """Return what each task of a program took, and its scores."""
    with timing.stopwatch() as distances:
        program.distances(queries, gallery)
    with timing.stopwatch() as rank:
        scores = program.ranking(matrix, labels)
    if program.both is None:
        both = Turn(distances.wall + rank.wall, distances.processor + rank.processor)
    else:
        with timing.stopwatch() as both:
            whole = program.both(queries, gallery, labels)
        _check_scores("evaluate_ranking", whole, scores)
    return dict(zip(TASKS, (distances, rank, both), strict=True)), scores


def _check_scores(name: str, found: Scores, expected: Scores) -> None:
    # torchreid sums precisions in float32, and leaves the order of equal distances to a sorting algorithm.
    if not np.allclose(found, expected, rtol=0, atol=1e-5):
        raise ValueError(f"{name} gives mAP, rank-1 {found}, not {expected}: the programs must agree.")


def peak_memory(size_name: str, options: RankingOptions, *, rerank: bool = False) -> dict[str, float]:
    """Measure `evaluate_ranking` in a separate process, as `print_memory` prints it."""
    command = [sys.executable, "-m", "experiments.benchmark", "--memory_only", f"--size={size_name}"]
    command += [f"--scale={options.scale}", f"--dimensions={options.dimensions}", *(["--rerank"] if rerank else [])]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def _status(key: str) -> int:
    """Read a field of this process's status (Linux), in KiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{key}:"))


def print_memory(options: RankingOptions) -> None:
    """Print time, peak memory and scores of `evaluate_ranking` at the first size, in this process, as JSON.

    Peak memory is the largest resident size while it runs, less the resident size once JAX is imported and the
    embeddings are made.
    """
    size = SIZES[options.sizes[0]].divided(options.scale)
    rng = np.random.default_rng(0)
    labels = make_labels(size, rng)
    queries, gallery = (make_embeddings(ids, options.dimensions, rng) for ids in labels[:2])
    before = _status("VmRSS")
    start = time.perf_counter()
    result = ranking.evaluate_ranking(
        queries, gallery, *labels, rerank=ranking.KReciprocal() if options.rerank else None
    )
    measured = {
        "embeddings_gib": (queries.nbytes + gallery.nbytes) / 2**30,
        "peak_beyond_gib": (_status("VmHWM") - before) / 2**20,
        "seconds": time.perf_counter() - start,
        "mean_ap": result.mean_ap,
        "rank_1": result.cmc[1],
    }
    print(json.dumps(measured))


def measure(options: RankingOptions) -> dict[str, Any]:
    """Time all programs at each size.

    Returns:
        JSON values: `dimensions`, `scale`, and `sizes`: name -> `num_query`, `num_gallery`, what `compare` returns,
        `memory` (what `print_memory` prints), `rerank` (the same with re-ranking; absent unless asked for) and
        `left_out` (program -> reason).
    """
    torchreid = torchreid_program()
    sizes: dict[str, Any] = {}
    for name in options.sizes:
        size = SIZES[name].divided(options.scale)
        programs, left_out = {"san_jax": san_jax_program()}, {}
        if size.num_query * size.num_gallery > LARGEST_MATRIX:
            left_out["NumPy and torchreid"] = "they sort whole matrices, over 16 GB at this size, left out"
        else:
            programs["numpy"] = Program(numpy_distances, numpy_ranking)
            if torchreid is None:
                left_out["torchreid"] = "not installed with its Cython scorer compiled, left out"
            else:
                programs["torchreid (Cython)"] = torchreid
        sizes[name] = {
            "num_query": size.num_query,
            "num_gallery": size.num_gallery,
            "memory": peak_memory(name, options),
            **({"rerank": peak_memory(name, options, rerank=True)} if options.rerank else {}),
            **compare(programs, size, options.dimensions, options.turns),
            "left_out": left_out,
        }
    return {"dimensions": options.dimensions, "scale": options.scale, "sizes": sizes}


def table(result: Mapping[str, Any]) -> str:
    """Return the text of what `measure` returned."""
    lines = []
    scale = f" / {result['scale']}" if result["scale"] > 1 else ""
    for name, found in result["sizes"].items():
        size = f"{name}{scale}: {found['num_query']:,} x {found['num_gallery']:,}, {result['dimensions']}-d"
        for task, rows in found["tasks"].items():
            lines += timing.table(f"{size}: {task}", rows)
        lines += [f"{program}: mAP {ap:.6f}, rank-1 {first:.6f}" for program, (ap, first) in found["scores"].items()]
        for how in ("memory", "rerank"):
            if how in found:
                memory = found[how]
                lines.append(
                    f"{size}, a new process{' with re-ranking' if how == 'rerank' else ''}: {memory['seconds']:.2f} s with "
                    f"compilation, {memory['peak_beyond_gib']:.2f} GiB at most beyond the embeddings' "
                    f"{memory['embeddings_gib']:.2f} GiB"
                )
        lines += [f"{program}: {reason}" for program, reason in found["left_out"].items()]
    return "\n".join(lines)
