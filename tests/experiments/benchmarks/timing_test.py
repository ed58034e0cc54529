"""Programs take turns, and ratios are medians over the turns."""

import contextlib
import dataclasses
import multiprocessing
from typing import Any

import pytest

from experiments.benchmarks import timing
from experiments.benchmarks.timing import Program, Turn


class Clock:
    """Time that passes only where a program says so; processor time is a quarter of it."""

    def __init__(self):
        self.now = 0.0

    @contextlib.contextmanager
    def watch(self):
        turn, start = Turn(), self.now
        yield turn
        turn.wall, turn.processor = self.now - start, (self.now - start) / 4


def programs(clock: Clock, calls: list[tuple[str, int]], seconds: dict[str, list[float]]) -> dict[str, Program]:
    """Programs that take `seconds` a repeat, call by call, over and over."""

    def make(name: str) -> Program:
        def run(repeats: int) -> None:
            calls.append((name, repeats))
            clock.now += repeats * seconds[name][sum(called == name for called, _ in calls) % len(seconds[name])]

        return Program(run, items=8, reference="first")

    return {name: make(name) for name in seconds}


def test_programs_take_turns_for_about_as_long_as_asked():
    clock, calls = Clock(), []
    rows = timing.compare(programs(clock, calls, {"first": [0.5], "second": [4.0]}), seconds=10.0, watch=clock.watch)
    assert calls[:4] == [("first", 1), ("first", 1), ("second", 1), ("second", 1)]  # warm-up
    assert calls[4:] == [("first", 4), ("second", 1)] * timing.TURNS  # 10 s / 5 turns / 0.5 s; at least once
    assert (rows["first"]["repeats"], rows["second"]["repeats"]) == (4, 1)
    assert rows["first"]["wall"] == {"median": 0.5, "min": 0.5, "max": 0.5}
    assert rows["first"]["items_per_second"] == 16.0
    assert (rows["first"]["ratio"], rows["second"]["ratio"]) == (1.0, 8.0)
    assert rows["second"]["processor"]["median"] == 1.0


def test_a_program_that_does_its_work_several_times_at_once_is_asked_for_multiples():
    clock, calls = Clock(), []
    found = programs(clock, calls, {"first": [0.5], "second": [0.25]})
    found["second"] = dataclasses.replace(found["second"], at_once=3)
    rows = timing.compare(found, seconds=4.0, turns=2, watch=clock.watch)
    assert calls == [
        *[("first", 1)] * 2,
        *[("second", 3)] * 2,
        *[("first", 4), ("second", 9)] * 2,  # 2 s a turn: 4 times 0.5 s, 3 times 0.75 s
    ]
    assert (rows["second"]["repeats"], rows["second"]["turns"]) == (9, 2)
    assert rows["second"]["ratio"] == 0.5
    assert rows["second"]["items_per_second"] == 32.0
    assert rows["second"]["items_per_processor_second"] == 128.0  # its processor time is a quarter


def test_a_ratio_is_the_median_of_the_turns_ratios():
    turns = {
        "ours": [Turn(1.0, 1.0), Turn(2.0, 1.0), Turn(1.0, 2.0)],
        "other": [Turn(3.0, 1.0), Turn(4.0, 3.0), Turn(8.0, 2.0)],
    }
    rows = timing.summarize(turns, dict.fromkeys(turns, "ours"))
    assert rows["other"]["ratio"] == 3.0  # of 3, 2 and 8: not 4 / 1, the ratio of the medians
    assert rows["other"]["processor_ratio"] == 1.0  # of 1, 3 and 1
    assert rows["other"]["wall"] == {"median": 4.0, "min": 3.0, "max": 8.0}
    assert (rows["ours"]["ratio"], rows["ours"]["turns"]) == (1.0, 3)


def test_the_table_names_the_reference_of_each_ratio():
    turns = {"ours": [Turn(0.25, 0.5)], "other": [Turn(0.5, 0.25)]}
    head, _, ours, other = timing.table("a step", timing.summarize(turns, dict.fromkeys(turns, "ours")))
    assert head.startswith("| a step | seconds: median (min to max) | ratio |")
    assert ours == "| ours | 0.25 (0.25 to 0.25) | 1 | 0.5 | 1 | itself |"
    assert other == "| other | 0.5 (0.5 to 0.5) | 2.00 | 0.25 | 0.50 | ours |"


def test_the_table_can_tell_images_a_second_of_a_core():
    clock = Clock()
    rows = timing.compare(programs(clock, [], {"first": [0.5]}), seconds=0.0, watch=clock.watch)
    head, _, line = timing.table("feeding", rows, a_core=True)
    assert head.startswith("| feeding | seconds: median (min to max) | images/s | images/s a core |")
    assert line.startswith("| first | 0.5 (0.5 to 0.5) | 16 | 64 |")
    rows["first"]["items_per_processor_second"] = None
    assert "| 16 | too fast to tell |" in timing.table("feeding", rows, a_core=True)[2]


def _work(ready: Any, done: Any) -> None:
    sum(range(20_000_000))  # far more than a tick of the kernel's clock
    ready.set()
    done.wait(timeout=600)


def test_processor_time_counts_workers(monkeypatch: pytest.MonkeyPatch):
    before = timing.processor_seconds()
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()

    process = context.Process(target=_work, args=(ready, done))
    process.start()
    ready.wait(timeout=600)
    with_worker = timing.processor_seconds()
    monkeypatch.setattr(timing.multiprocessing, "active_children", list)
    without = timing.processor_seconds()
    done.set()
    process.join()
    assert with_worker > without >= before
