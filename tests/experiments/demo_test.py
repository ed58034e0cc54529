"""The demo program: its exit status, and how to continue."""

import pytest

from experiments import demo
from experiments.runs import demonstration
from experiments.runs.errors import RunError
from tests.san_jax.folder_lock_test import holder


@pytest.mark.parametrize(("result", "code"), [(True, None), (False, "rank-1 of a model is below 10 times chance")])
def test_exit_status(monkeypatch, tmp_path, result, code):
    monkeypatch.setattr(demonstration, "run", lambda output: result)
    if code is None:
        demo.main([f"--output={tmp_path}"])
    else:
        with pytest.raises(SystemExit, match=code):
            demo.main([f"--output={tmp_path}"])


def test_failure_says_how_to_continue(monkeypatch, tmp_path):
    def fail(output):
        raise RunError("config differs")

    monkeypatch.setattr(demonstration, "run", fail)
    with pytest.raises(
        SystemExit, match="config differs\nThe same command continues from there; to start afresh, remove"
    ):
        demo.main([f"--output={tmp_path}"])


def test_who_is_refused_is_not_told_to_remove_the_folder_of_the_other_demo(tmp_path):
    with holder(tmp_path) as (process, _), pytest.raises(SystemExit) as end:
        demo.main([f"--output={tmp_path}"])
    (line,) = str(end.value).splitlines()
    assert line.startswith(f"demo: {tmp_path} is being written by another process: ")
    assert f"process {process.pid} on" in line
