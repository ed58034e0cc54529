"""The suite ends: no test waits for a process without a limit, and every file named as slow is there."""

import ast

import pytest

from tests import conftest


def unlimited(source: str) -> list[int]:
    """Lines that wait for a process for ever: `subprocess.run(...)`, `process.communicate()`, `process.wait()`."""
    lines = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        owner, method = ast.unparse(call.func.value), call.func.attr
        waits = (
            (owner == "subprocess" and method in ("run", "check_output", "check_call", "call"))
            or method == "communicate"
            or (method == "wait" and not call.args and not call.keywords)
        )
        if waits and not any(keyword.arg == "timeout" for keyword in call.keywords):
            lines.append(call.lineno)
    return lines


def test_every_process_is_waited_for_with_a_limit():
    tests = conftest.REPOSITORY / "tests"
    found = {str(path): unlimited(path.read_text()) for path in tests.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("subprocess.run(command, timeout=300)", []),
        ("training.run(config)", []),
        ("subprocess.run(command)", [1]),
        ("process = subprocess.Popen(command)\nprocess.communicate()", [2]),
        ("process.wait(timeout=5)\nother.wait()", [2]),
    ],
)
def test_a_wait_without_a_limit_is_found(source, lines):
    assert unlimited(source) == lines


def test_slow_files_are_there():
    names = conftest.SLOWEST_FIRST.read_text().split()
    assert [name for name in names if not (conftest.REPOSITORY / name).is_file()] == []
    assert len(set(names)) == len(names)
