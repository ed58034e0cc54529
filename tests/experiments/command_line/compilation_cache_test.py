"""The folder of compiled steps: where it is, who may choose another or none, and what a program does without it."""

import os
import pathlib
import subprocess
import sys

import pytest

from experiments.command_line import compilation_cache

PROGRAM = """
from experiments.command_line import compilation_cache
compilation_cache.enable()
import jax
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
values = jax.jit(lambda x: jax.numpy.sin(x) @ x.T)(jax.random.normal(jax.random.key(0), (8, 8)))
print([value.hex() for value in values.ravel().tolist()])
print("hit" if "/jax/compilation_cache/cache_hits" in events else "miss")
"""


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """The environment without a choice, with a cache folder of the test's own."""
    for name in (compilation_cache.SWITCH, "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, "")  # so that what `enable` sets goes again
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return monkeypatch


def run_program() -> list[str]:
    environment = {**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=600,
    )
    return result.stdout.splitlines()


def test_the_second_start_finds_what_the_first_compiled_and_computes_the_same(environment, tmp_path):
    cold, warm = run_program(), run_program()
    environment.setenv(compilation_cache.SWITCH, "off")
    without = run_program()
    assert [cold[1], warm[1], without[1]] == ["miss", "hit", "miss"]
    assert cold[0] == warm[0] == without[0]
    assert list(tmp_path.glob("san_jax/xla/*/*-cache"))


def test_jaxs_own_folder_and_the_switch_come_first(environment, tmp_path):
    environment.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    assert compilation_cache.enable() is None
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"
    environment.delenv("JAX_COMPILATION_CACHE_DIR")
    environment.setenv(compilation_cache.SWITCH, "off")
    assert compilation_cache.enable() is None
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_a_relative_cache_home_is_not_taken(environment):
    environment.setenv("XDG_CACHE_HOME", "relative")
    environment.setenv("HOME", "/home/somebody")
    assert compilation_cache.user_folder().parent == pathlib.Path("/home/somebody/.cache/san_jax/xla")


def test_another_processor_has_another_folder(environment):
    first = compilation_cache.user_folder()
    environment.setattr(compilation_cache.platform, "processor", lambda: "another")
    assert compilation_cache.user_folder().parent == first.parent
    assert compilation_cache.user_folder() != first


def test_a_folder_that_cannot_be_made_is_a_warning(environment, tmp_path, capsys):
    environment.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    assert compilation_cache.enable() is None
    message = capsys.readouterr().err
    assert message.startswith("warning: compiled steps are not kept for the next start: ")
    assert str(tmp_path / "file") in message
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_user_without_a_home_is_a_warning(environment, capsys):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    environment.delenv("XDG_CACHE_HOME")
    environment.setattr(compilation_cache.pathlib.Path, "home", fail)
    assert compilation_cache.enable() is None
    assert "Could not determine home directory. Set XDG_CACHE_HOME to a folder" in capsys.readouterr().err


def test_the_oldest_entries_go_when_the_folder_is_too_large(environment):
    folder = compilation_cache.user_folder()
    folder.mkdir(parents=True)
    for age, name in enumerate(("new-cache", "old-cache", "oldest-cache")):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (1000 - age, 1000 - age))
    environment.setattr(compilation_cache, "MAX_BYTES", 20)
    assert compilation_cache.enable() == folder
    assert sorted(path.name for path in folder.iterdir()) == ["new-cache", "old-cache"]
