"""Times the renderer: pairs a second of one core, and milliseconds a pair by stage.

    python -m experiments.benchmark_render [--recipe=pit] [--num_pairs=60]

The first pairs are drawn before the clock starts, so that loading and the library of backgrounds do not count. Processor
time is given beside the wall's: on a busy machine it tells what a free core would do.
"""

import os

# As the workers of experiments.pit_render, before NumPy and OpenGL are loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", LP_NUM_THREADS="0")

import time

from absl import app, flags

from render import pit, rasterizer

WARM_UP = 20


def run(recipe: pit.Recipe, num_pairs: int) -> dict[str, float]:
    """Draws consecutive pairs; returns seconds a pair by stage, and in all under "wall" and "processor"."""
    studio = pit.Studio()
    for index in range(num_pairs, num_pairs + WARM_UP):
        studio.draw(recipe.plan(index))
    studio.seconds.clear()
    wall, processor = time.perf_counter(), time.process_time()
    for index in range(num_pairs):
        studio.draw(recipe.plan(index))
    times = {**studio.seconds, "wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    return {stage: value / num_pairs for stage, value in times.items()}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    seconds = run(pit.RECIPES[_RECIPE.value](), _NUM_PAIRS.value)
    wall, processor = seconds.pop("wall"), seconds.pop("processor")
    pictures = 2 if _RECIPE.value == "pit" else 1
    for clock, value in (("wall", wall), ("processor", processor)):
        print(
            f"{_RECIPE.value}, {clock} time: {1 / value:.1f} pairs a second, {pictures / value:.1f} pictures a second"
        )
    print(f"OpenGL: {rasterizer.describe()}")
    for stage, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"  {stage:12s} {1e3 * value:7.1f} ms a pair")
    print(f"  {'other':12s} {1e3 * (wall - sum(seconds.values())):7.1f} ms a pair")


if __name__ == "__main__":
    _RECIPE = flags.DEFINE_enum("recipe", "pit", sorted(pit.RECIPES), "What to draw.")
    _NUM_PAIRS = flags.DEFINE_integer("num_pairs", 60, "Number of pairs.", lower_bound=1)
    app.run(main)
