"""Times programs in turn within one run: medians, spread, and ratios to a reference in the same turn.

Whatever else the machine does falls on all programs alike, so a ratio holds on a busy machine where seconds do not.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

TURNS = 5


@dataclasses.dataclass
class Turn:
    """What one turn of a program took.

    Attributes:
        wall: Wall-clock seconds.
        processor: Processor seconds of this process and its workers.
    """

    wall: float = 0.0
    processor: float = 0.0


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that takes turns with others.

    Attributes:
        run: Does its work so many times, and waits for the result.
        items: Number of images that it works on each time.
        reference: Name of the program that its time is divided by; its own where it is itself a reference.
        at_once: How many times it can only do its work at once; it is asked for multiples of it.
    """

    run: Callable[[int], None]
    items: int
    reference: str
    at_once: int = 1


@contextlib.contextmanager
def stopwatch() -> Iterator[Turn]:
    """Measure the body of a `with`; the yielded turn is filled in when it ends."""
    turn = Turn()
    wall, processor = time.perf_counter(), processor_seconds()
    yield turn
    turn.wall, turn.processor = time.perf_counter() - wall, processor_seconds() - processor


def processor_seconds() -> float:
    """Processor time of this process and of its multiprocessing workers that run now (Linux)."""
    ticks = 0
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError):  # it has just ended
            status = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(status[11]) + int(status[12])  # utime and stime
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def compare(
    programs: Mapping[str, Program],
    *,
    seconds: float,
    turns: int = TURNS,
    watch: Callable[[], Any] = stopwatch,
) -> dict[str, dict[str, Any]]:
    """Run all programs in turn, several times, after a first turn that warms them up.

    Args:
        programs: What is compared, by name.
        seconds: How long each program shall work in all; each does its work at least once a turn.
        turns: Turns of each program.
        watch: Measures a turn; tests pass one that needs no time.

    Returns:
        For each program what `summarize` returns, of a single repeat, and `repeats` (in a turn), `items_per_second` and
        `items_per_processor_second` (None where no processor time was seen).
    """
    repeats = {}
    for name, program in programs.items():
        program.run(program.at_once)
        with watch() as turn:
            program.run(program.at_once)
        repeats[name] = program.at_once * max(1, round(seconds / turns / max(turn.wall, 1e-9)))
    taken: dict[str, list[Turn]] = {name: [] for name in programs}
    for _ in range(turns):
        for name, program in programs.items():
            with watch() as turn:
                program.run(repeats[name])
            taken[name].append(Turn(turn.wall / repeats[name], turn.processor / repeats[name]))
    rows = summarize(taken, {name: program.reference for name, program in programs.items()})
    for name, row in rows.items():
        items, processor = programs[name].items, row["processor"]["median"]
        row["repeats"] = repeats[name]
        row["items_per_second"] = items / row["wall"]["median"]
        row["items_per_processor_second"] = items / processor if processor > 0 else None
    return rows


def summarize(turns: Mapping[str, Sequence[Turn]], references: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return medians, spread and ratios of programs that took turns.

    Args:
        turns: What each turn of each program took; all have as many.
        references: The program that each one's time is divided by.

    Returns:
        For each program JSON values: `turns` (their number), `wall` and `processor` (seconds: `median`, `min`, `max`),
        `reference`, `ratio` and `processor_ratio`. A ratio is the median over the turns of the program's time over its
        reference's.
    """
    rows = {}
    for name, taken in turns.items():
        pairs = list(zip(taken, turns[references[name]], strict=True))
        rows[name] = {
            "turns": len(taken),
            "wall": _spread([turn.wall for turn in taken]),
            "processor": _spread([turn.processor for turn in taken]),
            "reference": references[name],
            "ratio": statistics.median(own.wall / other.wall for own, other in pairs),
            "processor_ratio": statistics.median(own.processor / max(other.processor, 1e-9) for own, other in pairs),
        }
    return rows


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def table(title: str, rows: Mapping[str, Mapping[str, Any]], *, a_core: bool = False) -> list[str]:
    """Return a Markdown table: a line for each program.

    Args:
        title: Heading of the programs' names.
        rows: What `compare` or `summarize` returned.
        a_core: Add images a second of processor time, which is what one core does where it waits for nothing.
    """
    with_rate = any("items_per_second" in row for row in rows.values())
    head = [title, "seconds: median (min to max)", *(["images/s"] if with_rate else [])]
    head += ["images/s a core"] if a_core else []
    head += ["ratio", "processor seconds", "its ratio", "ratios are to"]
    lines = [_line(head), "|" + "---|" * len(head)]
    for name, row in rows.items():
        wall = row["wall"]
        cells = [name, f"{_digits(wall['median'])} ({_digits(wall['min'])} to {_digits(wall['max'])})"]
        if with_rate:
            cells.append(_digits(row["items_per_second"]))
        if a_core:
            rate = row["items_per_processor_second"]
            cells.append("too fast to tell" if rate is None else _digits(rate))
        own = row["reference"] == name
        cells += ["1" if own else f"{row['ratio']:.2f}", _digits(row["processor"]["median"])]
        cells += ["1" if own else f"{row['processor_ratio']:.2f}", "itself" if own else row["reference"]]
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _digits(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.5f}"
