"""What is kept in the user's cache folder: made once, made again where it is spoiled, and never needed to be kept."""

import pathlib

import numpy as np
import pytest

from render import cache


@pytest.fixture
def source(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "code.py"
    path.write_text("one")
    return path


def _make() -> dict[str, np.ndarray]:
    return {"a": np.arange(2000), "b": np.ones((2, 3), np.float32)}


def _refuse() -> dict[str, np.ndarray]:
    pytest.fail("made again")


def _check(stored: pathlib.Path | bytes) -> None:
    arrays = cache.load(stored)
    assert arrays.keys() == {"a", "b"}
    np.testing.assert_array_equal(arrays["a"], np.arange(2000))
    assert arrays["b"].dtype == np.float32
    assert list(cache.load(stored, ["b"])) == ["b"]


@pytest.mark.parametrize("compress", [False, True])
def test_made_once_for_the_same_sources(source: pathlib.Path, compress: bool):
    path = cache.cached("things", [source], _make, compress=compress)
    _check(path)
    assert cache.cached("things", [source], _refuse) == path
    assert [one.name for one in cache.cache_folder().iterdir()] == [pathlib.Path(str(path)).name]
    source.write_text("two")
    other = cache.cached("things", [source], _make)
    assert other != path
    _check(other)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_spoiled_file_is_made_again(source: pathlib.Path, content: bytes | None):
    path = cache.cached("things", [source], _make)
    assert isinstance(path, pathlib.Path)
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert cache.cached("things", [source], _make) == path
    _check(path)


def test_a_damaged_file_is_named(source: pathlib.Path):
    path = cache.cached("things", [source], _make)
    assert isinstance(path, pathlib.Path)
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged .*remove it"):
        cache.load(path)
    with pytest.raises(ValueError, match="is damaged"):
        cache.load(path, ["c"])


def test_without_a_folder_to_write_it_is_made_in_memory(source: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    (source.parent / "file").write_text("a file is no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(source.parent / "file"))
    with pytest.warns(UserWarning, match="things could not be kept .* set XDG_CACHE_HOME"):
        stored = cache.cached("things", [source], _make)
    assert isinstance(stored, bytes)
    _check(stored)


def test_without_a_home_it_is_made_in_memory(source: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    def no_home() -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pathlib.Path, "home", no_home)
    with pytest.warns(UserWarning, match="Could not determine home directory"):
        _check(cache.cached("things", [source], _make))
