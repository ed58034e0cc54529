"""Times the renderer: pairs a second of one process and of several, and milliseconds a pair by stage.

    python -m experiments.benchmark_render [--recipe=pit --recipe=pit_reid] [--num_pairs=60] [--num_processes=2]

What is measured: consecutive pairs of the recipe with its default parameters, from the plan of a record to the bytes of
its files (texture PNG, picture and, for `pit`, frontal view as JPEG); files are not written. A texture is painted once
for all pairs that share it, so its painting and its PNG count for their part of the pairs. Every process is set up as a
worker of `experiments.pit_render`, on one core. What it makes once (body, OpenGL, painted grounds and walls, pictures of things) is made
before the clock starts, and given apart.

Stages are in processor time: on a busy machine it tells what a free core would do, within the share that busy
neighbours take of caches and of a core's other thread. Pairs a second are given by processor time too, and by the wall's
clock, by which alone several processes can be compared with one; `processors` is how much of a core each process got.
With a GPU the processor does not count the time it sleeps while it waits for the GPU: read the wall's clock.
"""

import os

# As the workers of experiments.pit_render, before NumPy and OpenGL are loaded; spawned processes inherit it.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", LP_NUM_THREADS="0")

import dataclasses
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from absl import app, flags

from render import impostors, pit, rasterizer, scenery

STAGES = ("posing", "painting", "drawing", "background", "occluders", "photograph", "encoding")
WARM_UP = 20  # pairs


@dataclasses.dataclass(frozen=True)
class Times:
    """What one process measured.

    Attributes:
        opengl: With what it drew.
        setup: Seconds of the processor before the first pair: body, OpenGL, scenery.
        wall: Seconds a pair.
        processor: Seconds of the processor a pair.
        stages: Seconds of the processor a pair, by `STAGES` and "other" (planning records, above all).
    """

    opengl: str
    setup: float
    wall: float
    processor: float
    stages: dict[str, float]


def run(recipe: pit.Pit | pit.PitReid, num_pairs: int, *, first: int = 0, barrier: Barrier | None = None) -> Times:
    """Draws the pairs from number `first` on.

    Args:
        recipe: Its pairs.
        num_pairs: How many are timed.
        first: Number of the first one.
        barrier: Waited for before the clock starts, so that several processes draw at the same time.
    """
    start = time.process_time()
    studio = recipe.studio()
    studio.clock = time.process_time
    _load_scenery()
    setup = time.process_time() - start
    for index in range(WARM_UP):
        studio.draw(recipe.plan((first + num_pairs + index) % recipe.num_pairs))
    studio.seconds.clear()
    if barrier is not None:
        barrier.wait()
    wall, processor = time.perf_counter(), time.process_time()
    for index in range(num_pairs):
        studio.draw(recipe.plan((first + index) % recipe.num_pairs))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    stages = {stage: studio.seconds.pop(stage, 0.0) / num_pairs for stage in STAGES}
    stages |= {stage: seconds / num_pairs for stage, seconds in studio.seconds.items()}
    stages["other"] = processor / num_pairs - sum(stages.values())
    return Times(rasterizer.describe(), setup, wall / num_pairs, processor / num_pairs, stages)


def _load_scenery() -> None:
    for paint, kinds in ((scenery.ground, scenery.GROUNDS), (scenery.wall, scenery.WALLS)):
        for kind in kinds:
            for variant in range(scenery.VARIANTS):
                paint(kind, variant)
    for kind, variants in impostors.KINDS.items():
        for variant in range(variants):
            impostors.height(kind, variant)  # loads its pictures


def _work(recipe: pit.Pit | pit.PitReid, num_pairs: int, number: int, barrier: Any, results: Any) -> None:
    """A process: takes its GPU as a worker of pit_render does, and its own pairs."""
    try:
        rasterizer.choose_device(number)
        results.put(run(recipe, num_pairs, first=number * num_pairs, barrier=barrier))
    except BaseException:
        barrier.abort()
        results.put(None)
        raise


def run_processes(recipe: pit.Pit | pit.PitReid, num_pairs: int, num_processes: int) -> list[Times]:
    """`run` in several processes at the same time, each with pairs of its own.

    Raises:
        RuntimeError: A process failed; it has written why.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(num_processes), context.Queue()
    processes = [
        context.Process(target=_work, args=(recipe, num_pairs, number, barrier, results), daemon=True)
        for number in range(num_processes)
    ]
    for process in processes:
        process.start()
    times = [results.get() for _ in processes]
    for process in processes:
        process.join()
    if None in times:
        raise RuntimeError("A process of the benchmark failed; its error stands above.")
    return times


def report(name: str, pictures: int, one: list[Times], several: list[Times]) -> str:
    """The benchmark's text for a recipe.

    Args:
        name: The recipe's.
        pictures: Pictures in a pair.
        one: Times of one process.
        several: Times of several.
    """
    (alone,) = one
    lines = [f"{name}: a pair is a texture and {pictures} picture{'s' * (pictures > 1)}; {alone.opengl}"]
    for times in (one, several):
        by_wall = sum(1.0 / each.wall for each in times)
        by_processor = sum(1.0 / each.processor for each in times)
        processors = sum(each.processor / each.wall for each in times) / len(times)
        lines.append(
            f"  {len(times)} process{'es' * (len(times) > 1)}: {by_processor:5.1f} pairs/s by processor time, "
            f"{by_wall:5.1f} by the wall's clock ({processors:.2f} processors a process)"
        )
    growth = sum(1.0 / each.wall for each in several) * alone.wall
    lines.append(f"  growth from 1 to {len(several)} processes, by the wall's clock: {growth:.2f} times")
    lines.append(f"  one process, {1e3 * alone.processor:.1f} ms of the processor a pair:")
    lines += [f"    {stage:12s} {1e3 * seconds:7.1f} ms" for stage, seconds in alone.stages.items()]
    lines.append(f"  before the first pair, once a process: {alone.setup:.1f} s of the processor")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    for name in _RECIPE.value:
        recipe = pit.RECIPES[name]()
        one = run_processes(recipe, _NUM_PAIRS.value, 1)
        several = run_processes(recipe, _NUM_PAIRS.value, _NUM_PROCESSES.value)
        print(report(name, 2 if name == "pit" else 1, one, several), flush=True)


if __name__ == "__main__":
    _RECIPE = flags.DEFINE_multi_enum("recipe", ["pit", "pit_reid"], ["pit", "pit_reid"], "What to draw.")
    _NUM_PAIRS = flags.DEFINE_integer("num_pairs", 60, "Number of pairs of each process.", lower_bound=1)
    _NUM_PROCESSES = flags.DEFINE_integer("num_processes", 2, "Number of processes to compare with one.", lower_bound=2)
    app.run(main)
