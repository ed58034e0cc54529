"""Speed and memory of the scorer: what `python -m experiments.benchmark_ranking` measures."""

import dataclasses
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.sizes import SIZES, Size
from san_jax import ranking

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Scores = tuple[float, float]  # mAP and rank-1


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


def measure(programs: Mapping[str, Program], size: Size, dimensions: int, repeats: int) -> dict[str, Any]:
    """Time the tasks "distances", "ranking" and "both" of each program, turn after turn.

    Returns:
        "seconds": program -> task -> seconds of each turn; "first_seconds": task -> seconds of our first turn,
        compilation included; "scores": program -> mAP and rank-1.

    Raises:
        ValueError: The programs disagree in mAP or rank-1.
    """
    rng = np.random.default_rng(0)
    labels = make_labels(size, rng)
    queries, gallery = (make_embeddings(ids, dimensions, rng) for ids in labels[:2])
    matrix = ranking.pairwise_distances(queries, gallery)
    seconds: dict[str, dict[str, list[float]]] = {}
    scores: dict[str, Scores] = {}
    for _ in range(repeats + 1):  # the first turn compiles, and its results are compared
        for name, program in programs.items():
            times, scores[name] = _turn(program, queries, gallery, matrix, labels)
            for task, value in times.items():
                seconds.setdefault(name, {}).setdefault(task, []).append(value)
        for name in programs:
            _check_scores(name, scores[name], scores["san_jax"])
    first = {name: {task: values.pop(0) for task, values in tasks.items()} for name, tasks in seconds.items()}
    return {"seconds": seconds, "first_seconds": first["san_jax"], "scores": scores}


def _turn(
    program: Program, queries: np.ndarray, gallery: np.ndarray, matrix: np.ndarray, labels: Labels
) -> tuple[dict[str, float], Scores]:
    """Return the seconds of each task of a program, and its scores."""
    seconds = {}
    start = time.perf_counter()
    program.distances(queries, gallery)
    seconds["distances"] = time.perf_counter() - start
    start = time.perf_counter()
    scores = program.ranking(matrix, labels)
    seconds["ranking"] = time.perf_counter() - start
    if program.both is None:
        seconds["both"] = seconds["distances"] + seconds["ranking"]
    else:
        start = time.perf_counter()
        whole = program.both(queries, gallery, labels)
        seconds["both"] = time.perf_counter() - start
        _check_scores("evaluate_ranking", whole, scores)
    return seconds, scores


def _check_scores(name: str, found: Scores, expected: Scores) -> None:
    # torchreid sums precisions in float32, and leaves the order of equal distances to a sorting algorithm.
    if not np.allclose(found, expected, rtol=0, atol=1e-5):
        raise ValueError(f"{name} gives mAP, rank-1 {found}, not {expected}: the programs must agree.")


def peak_memory(size_name: str, dimensions: int) -> dict[str, float]:
    """Measure `evaluate_ranking` in a separate process, as `print_memory` prints it."""
    command = [sys.executable, "-m", "experiments.benchmark_ranking", "--memory_only", f"--size={size_name}"]
    result = subprocess.run([*command, f"--dimensions={dimensions}"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def _status(key: str) -> int:
    """Read a field of this process's status (Linux), in KiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(f"{key}:"))


def table(seconds: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Return least and median seconds of each task, and how many times as long as ours it takes."""
    tasks = ("distances", "ranking", "both")
    lines = [f"{'seconds: least, median, ratio':<30}" + "".join(f"{task:>28}" for task in tasks)]
    for name, values in seconds.items():
        cells = []
        for task in tasks:
            least, median = min(values[task]), statistics.median(values[task])
            cells.append(f"{least:12.3f} {median:7.3f} {ratio(seconds, name, task):6.1f}x")
        lines.append(f"{name:<30}" + "".join(cells))
    return "\n".join(lines)


def ratio(seconds: Mapping[str, Mapping[str, Sequence[float]]], name: str, task: str) -> float:
    """Return the median over the turns of a program's time over ours."""
    pairs = zip(seconds[name][task], seconds["san_jax"][task], strict=True)
    return statistics.median(theirs / own for theirs, own in pairs)


def print_memory(size: Size, dimensions: int, *, rerank: bool) -> None:
    """Print time, peak memory and scores of `evaluate_ranking` in this process, as JSON."""
    rng = np.random.default_rng(0)
    labels = make_labels(size, rng)
    queries, gallery = (make_embeddings(ids, dimensions, rng) for ids in labels[:2])
    before = _status("VmRSS")
    start = time.perf_counter()
    result = ranking.evaluate_ranking(queries, gallery, *labels, rerank=ranking.KReciprocal() if rerank else None)
    measured = {
        "embeddings_gib": (queries.nbytes + gallery.nbytes) / 2**30,
        "peak_beyond_gib": (_status("VmHWM") - before) / 2**20,
        "seconds": time.perf_counter() - start,
        "mean_ap": result.mean_ap,
        "rank_1": result.cmc[1],
    }
    print(json.dumps(measured))


def run(size_name: str, dimensions: int, repeats: int) -> None:
    """Time all programs in turns, and print a table and a JSON object.

    Args:
        size_name: Name of a benchmark in `SIZES`.
        dimensions: Length of an embedding.
        repeats: Number of turns.
    """
    size = SIZES[size_name]
    programs = {"san_jax": san_jax_program()}
    notes = []
    if size_name == "market1501":
        programs["numpy"] = Program(numpy_distances, numpy_ranking)
        torchreid = torchreid_program()
        if torchreid is None:
            notes.append("torchreid with its Cython scorer compiled is not installed: not compared.")
        else:
            programs["torchreid (Cython)"] = torchreid
    else:
        notes.append("NumPy and torchreid sort whole matrices, over 16 GB at this size: not compared.")
    memory = peak_memory(size_name, dimensions)
    result = measure(programs, size, dimensions, repeats)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}, {os.cpu_count()} cores"
    print(f"{size_name}: {size.num_query} x {size.num_gallery}, {dimensions}-d; {device}, JAX {jax.__version__}")
    print(table(result["seconds"]))
    print("\n".join(f"{name:<30}mAP {ap:.6f}, rank-1 {first:.6f}" for name, (ap, first) in result["scores"].items()))
    print(f"first call of evaluate_ranking in a new process, compilation included: {memory['seconds']:.2f} s")
    print(
        f"peak memory beyond the embeddings ({memory['embeddings_gib']:.2f} GiB): {memory['peak_beyond_gib']:.2f} GiB"
    )
    print("\n".join(notes))
    ratios = {
        name: {task: ratio(result["seconds"], name, task) for task in values}
        for name, values in result["seconds"].items()
    }
    summary = {"size": size_name, "dimensions": dimensions, "device": device, "memory": memory, "ratios": ratios}
    print(json.dumps({**summary, **result}))
