"""Speed of the renderer: what `python -m experiments.benchmark_render` measures."""

import dataclasses
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

from render.optics import rasterizer
from render.recipes import build
from render.scene import impostor_library, surfaces

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


def run(recipe: build.Recipe, num_pairs: int, *, first: int = 0, barrier: Barrier | None = None) -> Times:
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
    for paint, kinds in ((surfaces.ground, surfaces.GROUNDS), (surfaces.wall, surfaces.WALLS)):
        for kind in kinds:
            for variant in range(surfaces.VARIANTS):
                paint(kind, variant)
    for kind, variants in impostor_library.KINDS.items():
        for variant in range(variants):
            impostor_library.height(kind, variant)  # loads its pictures


def _work(recipe: build.Recipe, num_pairs: int, number: int, barrier: Any, results: Any) -> None:
    """A process: takes its GPU as a worker of pit_render does, and its own pairs."""
    try:
        rasterizer.choose_device(number)
        results.put(run(recipe, num_pairs, first=number * num_pairs, barrier=barrier))
    except BaseException:
        barrier.abort()
        results.put(None)
        raise


def run_processes(recipe: build.Recipe, num_pairs: int, num_processes: int) -> list[Times]:
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


def compare(recipes: Sequence[str], num_pairs: int, num_processes: int) -> None:
    """Times one process and several with each recipe, and prints the benchmark's text."""
    for name in recipes:
        recipe = build.RECIPES[name]()
        one = run_processes(recipe, num_pairs, 1)
        several = run_processes(recipe, num_pairs, num_processes)
        print(report(name, 2 if name == "pit" else 1, one, several), flush=True)
