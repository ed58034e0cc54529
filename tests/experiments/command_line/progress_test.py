"""Progress: a bar on a terminal, few plain lines in a file."""

import io
import itertools
import sys

import pytest

from experiments.command_line import progress as module
from experiments.command_line.progress import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_line_every_half_minute(monkeypatch, capsys):
    clock = itertools.count()  # a second passes each time that it is read
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    with progress("pit", total=300, done=100, unit="pair") as update:
        for _ in range(200):
            update()
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert 200 // 31 <= len(lines) <= 200 // 29 + 1
    assert "\r" not in text
    assert lines[0].startswith("pit: 130 of 300 pairs (43 %), 1.0 pairs/s, 3 minutes left")
    assert lines[-1].startswith("pit: 300 of 300 pairs (100 %)")
    assert "left" not in lines[-1]


def test_a_file_is_told_where_an_interrupted_run_stopped(capsys):
    def work() -> None:
        with progress("pit", total=9, done=4, unit="pair") as update:
            update()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err.startswith("pit: 5 of 9 pairs (55 %)")


def test_units_agree_with_their_numbers(monkeypatch, capsys):
    clock = itertools.count()
    monkeypatch.setattr(module.time, "monotonic", lambda: 60.0 * next(clock))  # a line for each
    with progress("scoring", total=2, done=0, unit="batch", units="batches") as update:
        update()
        update()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("scoring: 1 of 2 batches (50 %), 0.0 batches/s, ")
    assert lines[0].endswith(", 2 minutes left")
    monkeypatch.setattr(module.time, "monotonic", lambda: 30.0 * next(clock))
    with progress("scoring", total=2, done=0, unit="batch", units="batches") as update:
        update()
    assert ", 1 minute left" in capsys.readouterr().err
    with progress("scoring", total=1, done=0, unit="batch", units="batches") as update:
        update()
    assert "scoring: 1 of 1 batch (100 %)" in capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("pit", total=3, done=1, unit="pair") as update:
        update()
        update()
    assert "\r" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
