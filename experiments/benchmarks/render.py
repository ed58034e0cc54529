"""Speed of the renderer: pairs per second of one process and of several, milliseconds by phase.

Consecutive pairs of a recipe are drawn with its default parameters, from the plan of a record to the bytes of its files
(texture as PNG, picture and, for pit, frontal view as JPEG); files are not written. A texture is painted once for all
pairs that share it, so that each of them bears its part of the painting and of the PNG. Every process is set up as a
worker of experiments.pit_render, on one core. What it makes once (body, OpenGL, painted grounds and walls, pictures of
things) is made before the clock starts and given separately.

Phases are given in processor time: on a busy machine it shows what a free core would do, except that busy neighbours
share caches and the core's other thread. Several processes can be compared with one by wall-clock time only. With a
GPU, processor time leaves out the time spent waiting for the GPU: read wall-clock time.
"""

import dataclasses
import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from typing import Any

from experiments.benchmarks.options import RenderingOptions
from experiments.runs import render_workers
from render.optics import rasterizer
from render.recipes import build
from render.scene import impostor_library, surfaces
from san_jax.counts import count

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
    with render_workers.one_core():
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
    lines = [f"{name}: a pair is a texture and {count(pictures, 'picture')}; {alone.opengl}"]
    for times in (one, several):
        by_wall = sum(1.0 / each.wall for each in times)
        by_processor = sum(1.0 / each.processor for each in times)
        processors = sum(each.processor / each.wall for each in times) / len(times)
        lines.append(
            f"  {count(len(times), 'process', 'processes')}: {by_processor:5.1f} pairs/s by processor time, "
            f"{by_wall:5.1f} by wall-clock time ({processors:.2f} processors per process)"
        )
    times_as_many = growth(one, several)
    lines.append(f"  growth from 1 to {len(several)} processes, by wall-clock time: {times_as_many:.2f} times")
    lines.append(f"  one process, {1e3 * alone.processor:.1f} ms of processor time per pair:")
    lines += [f"    {phase:12s} {1e3 * seconds:7.1f} ms" for phase, seconds in alone.phases.items()]
    lines.append(f"  before the first pair, once per process: {alone.setup:.1f} s of processor time")
    return "\n".join(lines)


def measure(options: RenderingOptions) -> dict[str, Any]:
    """Time one process and several with each recipe.

    Returns:
        JSON values: `num_pairs` (of each process) and `recipes`: name -> `pictures` (of a pair), `one` and `several`
        (lists of `Times`, an object for each process), and `growth` (pairs per second of several processes over one's,
        by wall-clock time).
    """
    recipes = {}
    for name in options.recipes:
        recipe = build.RECIPES[name]()
        one = run_processes(recipe, options.num_pairs, 1)
        several = run_processes(recipe, options.num_pairs, options.num_processes)
        recipes[name] = {
            "pictures": 2 if name == "pit" else 1,
            "one": [dataclasses.asdict(times) for times in one],
            "several": [dataclasses.asdict(times) for times in several],
            "growth": growth(one, several),
        }
    return {"num_pairs": options.num_pairs, "recipes": recipes}


def growth(one: list[Times], several: list[Times]) -> float:
    """Return the pairs per second of several processes over those of one, by wall-clock time."""
    (alone,) = one
    return sum(1.0 / each.wall for each in several) * alone.wall


def table(result: Mapping[str, Any]) -> str:
    """Return the text of what `measure` returned."""
    texts = []
    for name, found in result["recipes"].items():
        one, several = ([Times(**times) for times in found[key]] for key in ("one", "several"))
        texts.append(report(name, found["pictures"], one, several))
    return "\n".join(texts)
