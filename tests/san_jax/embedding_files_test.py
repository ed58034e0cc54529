"""Files of embeddings: what is written is read, whole parts or not, and what is none of them is told."""

import pathlib

import numpy as np
import pyarrow.parquet
import pytest

import san_jax
from san_jax import embedding_files
from san_jax.embedding_files import Embeddings

MADE_BY = {"step": 7, "left_out": [["a.png", "no such file"]]}


def make_parts(dtype: str) -> list[Embeddings]:
    rng = np.random.default_rng(0)

    def part(*names: str) -> Embeddings:
        ids = np.array([-1, 5, 0, 3][: len(names)], np.int64)
        return Embeddings(list(names), rng.normal(size=(len(names), 6)).astype(dtype), ids, ids[::-1].copy())

    return [part("b.png", "folder/ü.png", "c.png"), part(), part("a longer name.png")]


def write(path: pathlib.Path, parts: list[Embeddings], dtype: str) -> None:
    if path.suffix == ".npz":
        embedding_files.write_npz(path, lambda: parts, MADE_BY, size=6, dtype=dtype)
    else:
        embedding_files.write_parquet(path, parts, MADE_BY, size=6, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_what_is_written_is_read(tmp_path, dtype, suffix):
    parts = make_parts(dtype)
    write(tmp_path / f"file{suffix}", parts, dtype)
    found = san_jax.load_embeddings(tmp_path / f"file{suffix}")
    assert found.names == [name for part in parts for name in part.names]
    assert found.embeddings.dtype == dtype
    for field in ("embeddings", "person_ids", "camera_ids"):
        expected = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(getattr(found, field), expected)
    assert found.made_by == embedding_files.read_made_by(tmp_path / f"file{suffix}") == MADE_BY
    write(tmp_path / f"again{suffix}", parts, dtype)
    assert (tmp_path / f"again{suffix}").read_bytes() == (tmp_path / f"file{suffix}").read_bytes()


def test_other_programs_read_the_files(tmp_path):
    parts = make_parts("float32")
    for suffix in (".parquet", ".npz"):
        write(tmp_path / f"file{suffix}", parts, "float32")
    table = pyarrow.parquet.read_table(tmp_path / "file.parquet")
    assert table.column("person_id").to_pylist() == [None, 5, 0, None]
    kind = table.schema.field("embedding").type
    assert (str(kind.value_type), kind.list_size) == ("float", 6)
    with np.load(tmp_path / "file.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["camera_id", "embedding", "name", "person_id", "san_jax"]
        assert arrays["name"].tolist() == ["b.png", "folder/ü.png", "c.png", "a longer name.png"]


@pytest.mark.parametrize("name", ["file.parquet", "file.npz"])
def test_files_that_are_none(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=rf"{name} does not exist"):
        san_jax.load_embeddings(tmp_path / name)
    for content in (b"", b"no such file", b"PAR1 cut off"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(embedding_files.EmbeddingFileError, match=rf"{name} is no file of embeddings, or damaged"):
            san_jax.load_embeddings(tmp_path / name)
    if name == "file.npz":
        np.savez(tmp_path / name, embedding=np.zeros((2, 3)))
    else:
        pyarrow.parquet.write_table(pyarrow.table({"embedding": [1.0]}), tmp_path / name)
    with pytest.raises(embedding_files.EmbeddingFileError, match=rf"{name} is no file of embeddings, or damaged"):
        san_jax.load_embeddings(tmp_path / name)
    with pytest.raises(embedding_files.EmbeddingFileError, match=r"has no embeddings.json"):
        san_jax.load_embeddings(tmp_path)


@pytest.mark.parametrize("name", ["file.parquet", "file.npz"])
def test_a_file_is_whole_or_absent(tmp_path, name):
    """The second part is not there yet when the first one has been written."""

    class Failing(list):
        def __iter__(self):
            yield make_parts("float32")[0]
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / name, Failing(), "float32")
    assert list(tmp_path.iterdir()) == []
