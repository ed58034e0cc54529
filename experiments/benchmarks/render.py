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

PHASES = ("posing", "painting", "drawing", "background", "occluders", "photograph", "encoding")
WARM_UP = 20  # pairs that are drawn before the clock starts


@dataclasses.dataclass(frozen=True)
class Times:
    """What one process measured.

    Attributes:
        opengl: The OpenGL that it drew with.
        setup: Processor seconds before the first pair, for body, OpenGL and scenery.
        wall: Wall-clock seconds per pair.
        processor: Processor seconds per pair.
        phases: Processor seconds per pair of each of `PHASES` and of "other" (mostly planning records).
    """

    opengl: str
    setup: float
    wall: float
    processor: float
    phases: dict[str, float]


def run(recipe: build.Recipe, num_pairs: int, *, first: int = 0, barrier: Barrier | None = None) -> Times:
    """Draw the pairs from number `first` on.

    Args:
        recipe: The recipe whose pairs are drawn.
        num_pairs: Number of pairs that are timed.
        first: Number of the first pair.
        barrier: Barrier to wait at before the clock starts, so that several processes draw at the same time.
    """
    start = time.process_time()
    studio = recipe.studio()
    studio.clock = time.process_time
    load_scenery()
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
    phases = {phase: studio.seconds.pop(phase, 0.0) / num_pairs for phase in PHASES}
    phases |= {phase: seconds / num_pairs for phase, seconds in studio.seconds.items()}
    phases["other"] = processor / num_pairs - sum(phases.values())
    return Times(rasterizer.describe(), setup, wall / num_pairs, processor / num_pairs, phases)


def load_scenery() -> None:
    """Make what a process makes once: painted grounds and walls, pictures of things."""
    for paint, kinds in ((surfaces.ground, surfaces.GROUNDS), (surfaces.wall, surfaces.WALLS)):
        for kind in kinds:
            for variant in range(surfaces.VARIANTS):
                paint(kind, variant)
    for kind, variants in impostor_library.KINDS.items():
        for variant in range(variants):
            impostor_library.height(kind, variant)  # loads its pictures


def _work(recipe: build.Recipe, num_pairs: int, number: int, barrier: Any, results: Any) -> None:
    """Run in a process of its own: on the GPU that a worker of pit_render would take, with pairs of its own."""
    try:
        rasterizer.choose_device(number)
        results.put(run(recipe, num_pairs, first=number * num_pairs, barrier=barrier))
    except BaseException:
        barrier.abort()
        results.put(None)
        raise


def run_processes(recipe: build.Recipe, num_pairs: int, num_processes: int) -> list[Times]:
    """Apply `run` in several processes at the same time, each with pairs of its own.

    Raises:
        RuntimeError: A process failed. It has printed why.
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
        raise RuntimeError("A process of the benchmark failed; its error is printed above.")
    return times


def report(name: str, pictures: int, one: list[Times], several: list[Times]) -> str:
    """Return the text of the benchmark for a recipe.

    Args:
        name: Name of the recipe.
        pictures: Number of pictures in a pair.
        one: Times of one process alone.
        several: Times of several processes.
    """
    (alone,) = one
    lines = [f"{name}: a pair is a texture and {pictures} picture{'s' * (pictures > 1)}; {alone.opengl}"]
    for times in (one, several):
        by_wall = sum(1.0 / each.wall for each in times)
        by_processor = sum(1.0 / each.processor for each in times)
        processors = sum(each.processor / each.wall for each in times) / len(times)
        lines.append(
            f"  {len(times)} process{'es' * (len(times) > 1)}: {by_processor:5.1f} pairs/s by processor time, "
            f"{by_wall:5.1f} by wall-clock time ({processors:.2f} processors per process)"
        )
    growth = sum(1.0 / each.wall for each in several) * alone.wall
    lines.append(f"  growth from 1 to {len(several)} processes, by wall-clock time: {growth:.2f} times")
    lines.append(f"  one process, {1e3 * alone.processor:.1f} ms of processor time per pair:")
    lines += [f"    {phase:12s} {1e3 * seconds:7.1f} ms" for phase, seconds in alone.phases.items()]
    lines.append(f"  before the first pair, once per process: {alone.setup:.1f} s of processor time")
    return "\n".join(lines)


def compare(recipes: Sequence[str], num_pairs: int, num_processes: int) -> None:
    """Time one process and several with each recipe, and print the text of the benchmark."""
    for name in recipes:
        recipe = build.RECIPES[name]()
        one = run_processes(recipe, num_pairs, 1)
        several = run_processes(recipe, num_pairs, num_processes)
        print(report(name, 2 if name == "pit" else 1, one, several), flush=True)
