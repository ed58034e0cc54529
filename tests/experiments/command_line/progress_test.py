"""Progress: a bar on a terminal, few plain lines in a file."""

import io

import pytest

from experiments.command_line.progress import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Clock:
    """Moves on by a second each time it is asked."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds


def test_a_file_gets_a_line_every_half_minute():
    file = io.StringIO()
    with progress("pit", total=300, done=100, unit="pair", stream=file, clock=_Clock()) as update:
        for _ in range(200):
            update()
    lines = file.getvalue().splitlines()
    assert 200 // 31 <= len(lines) <= 200 // 29 + 1
    assert "\r" not in file.getvalue()
    assert lines[0].startswith("pit: 130 of 300 pairs (43 %), 1.0 pairs/s, 3 minutes left")
    assert lines[-1].startswith("pit: 300 of 300 pairs (100 %)")
    assert "left" not in lines[-1]


def test_a_file_is_told_where_an_interrupted_run_stopped():
    file = io.StringIO()

    def work() -> None:
        with progress("pit", total=9, done=4, unit="pair", stream=file) as update:
            update()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert file.getvalue().startswith("pit: 5 of 9 pairs (55 %)")


def test_a_terminal_gets_a_bar():
    terminal = _Terminal()
    with progress("pit", total=3, done=1, unit="pair", stream=terminal) as update:
        update()
        update()
    assert "\r" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
