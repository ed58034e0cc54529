"""The rendering program: its errors are short and leave nothing behind."""

import os
import pathlib
import subprocess
import sys


def test_a_preview_without_opengl_says_what_to_do(tmp_path: pathlib.Path):
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.pit_render",
            "--preview",
            "--config=pit.py:smoke",
            f"--output_dir={tmp_path}/p",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYOPENGL_PLATFORM": "glx"},
        timeout=600,
    )
    assert result.returncode == 1
    assert "pit_render: PYOPENGL_PLATFORM=glx is set in the environment" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_command_line_errors_are_short(tmp_path: pathlib.Path):
    command = [sys.executable, "-m", "experiments.pit_render", f"--output_dir={tmp_path / 'x'}"]
    found = subprocess.run(
        [*command, "--config=pit_reid.py:num_cameras=2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 1
    assert "num_cameras must be at least 6, found 2" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "x").exists()
