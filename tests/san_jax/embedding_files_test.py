"""Files of embeddings: what is written is read, whole parts or not, and what is none of them is told."""

import dataclasses
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


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_damage_anywhere_is_told_by_name(tmp_path, suffix):
    """Whatever a library raises about content that is damaged; a flipped byte may also change a value, or nothing."""
    write(tmp_path / f"file{suffix}", make_parts("float32"), "float32")
    whole = (tmp_path / f"file{suffix}").read_bytes()
    if suffix == ".npz":
        with np.load(tmp_path / "file.npz") as arrays:
            np.savez_compressed(tmp_path / "compressed.npz", **arrays)
        whole = (tmp_path / "compressed.npz").read_bytes()
    path, rng, refusals = tmp_path / f"damaged{suffix}", np.random.default_rng(0), []
    for number in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole)) if number % 3 == 0 else len(whole)])
        for place in rng.integers(max(len(damaged), 1), size=3):
            damaged[place : place + 1] = bytes([rng.integers(256)])
        path.write_bytes(damaged)
        for read in (san_jax.load_embeddings, lambda path: list(embedding_files.read_blocks(path, 2))):
            try:
                read(path)
            except embedding_files.EmbeddingFileError as error:
                refusals.append(str(error))
    assert len(refusals) > 40
    assert all(str(path) in refusal for refusal in refusals)


def columns(**changed):
    values = pyarrow.array(np.arange(4, dtype=np.float32))
    table = {
        "name": ["a", "b"],
        "embedding": pyarrow.FixedSizeListArray.from_arrays(values, 2),
        "person_id": [1, 2],
        "camera_id": [1, 2],
    }
    return table | changed


@pytest.mark.parametrize(
    ("changed", "metadata", "message"),
    [
        ({}, None, "its metadata lack the key san_jax; pandas does not keep it"),
        ({}, "[]", r"what made it is no JSON object but \[\]"),
        ({"embedding": [[1.0, 2.0], [3.0, 4.0]]}, "{}", "the column embedding is list.*, not lists of one size"),
        ({"name": [None, "b"]}, "{}", "a name is no text"),
        ({"person_id": [1.5, 2.0]}, "{}", "ids of persons, cameras or tracks are no whole numbers"),
    ],
)
def test_what_others_wrote_is_checked(tmp_path, changed, metadata, message):
    table = pyarrow.table(columns(**changed))
    path = tmp_path / "file.parquet"
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata and {"san_jax": metadata}), path)
    with pytest.raises(embedding_files.EmbeddingFileError, match=message):
        san_jax.load_embeddings(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ["a"]}, "its columns are not of one length"),
        ({"embedding": np.zeros(2, np.float32)}, "the embeddings are float32 in 1 dimensions"),
        ({"camera_id": np.zeros(2)}, "ids of persons, cameras or tracks are no whole numbers"),
    ],
)
def test_arrays_that_others_wrote_are_checked(tmp_path, changed, message):
    arrays = {"name": ["a", "b"], "embedding": np.zeros((2, 3), np.float32), "person_id": [1, 2], "camera_id": [1, 2]}
    np.savez(tmp_path / "file.npz", san_jax=np.array("{}"), **(arrays | changed))
    with pytest.raises(embedding_files.EmbeddingFileError, match=message):
        san_jax.load_embeddings(tmp_path / "file.npz")


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


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_blocks_are_the_file(tmp_path, suffix, size):
    write(tmp_path / f"file{suffix}", make_parts("float16"), "float16")
    whole = san_jax.load_embeddings(tmp_path / f"file{suffix}")
    blocks = list(embedding_files.read_blocks(tmp_path / f"file{suffix}", size))
    assert max(map(len, blocks)) <= size
    assert [name for block in blocks for name in block.names] == whole.names
    for field in ("embeddings", "person_ids", "camera_ids"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(block, field) for block in blocks]), getattr(whole, field)
        )
    assert blocks[0].embeddings.dtype == np.float16


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_times(tmp_path, suffix):
    parts = [
        dataclasses.replace(part, times=np.array([1.5, np.nan, 3.25])[: len(part)]) for part in make_parts("float32")
    ]
    path = tmp_path / f"file{suffix}"
    write(path, parts, "float32")
    for found in (san_jax.load_embeddings(path).times, *(block.times for block in embedding_files.read_blocks(path))):
        np.testing.assert_array_equal(found[:3], [1.5, np.nan, 3.25])
    assert san_jax.load_embeddings(path).take(np.array([2, 0])).times.tolist() == [3.25, 1.5]


def test_timestamps_are_seconds(tmp_path):
    write(tmp_path / "file.parquet", make_parts("float32"), "float32")
    table = pyarrow.parquet.read_table(tmp_path / "file.parquet")
    moments = pyarrow.array([1_700_000_000_500, None, 0, 1000], pyarrow.timestamp("ms", "UTC"))
    pyarrow.parquet.write_table(table.append_column("time", moments), tmp_path / "file.parquet")
    np.testing.assert_array_equal(san_jax.load_embeddings(tmp_path / "file.parquet").times, [1.7e9 + 0.5, np.nan, 0, 1])


def test_blocks_of_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.npz does not exist"):
        list(embedding_files.read_blocks(tmp_path / "absent.npz"))
    for name in ("mine.npz", "mine.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no more")
        with pytest.raises(embedding_files.EmbeddingFileError, match=f"{name} is no file of embeddings"):
            list(embedding_files.read_blocks(tmp_path / name))
    write(tmp_path / "file.npz", make_parts("float32"), "float32")
    arrays = dict(np.load(tmp_path / "file.npz"))
    np.savez(tmp_path / "pickled.npz", **{**arrays, "name": arrays["name"].astype(object)})
    with pytest.raises(embedding_files.EmbeddingFileError, match=r"pickled.npz is no file .* pickled objects"):
        list(embedding_files.read_blocks(tmp_path / "pickled.npz"))


def test_encoders_are_told_apart():
    made_by = {"weights_sha256": "a" * 64, "metric": "cosine", "image_size": [64, 32], "step": 1}
    assert embedding_files.differences(made_by, {**made_by, "step": 2, "flip": True}) == ""
    found = embedding_files.differences(made_by, {**made_by, "weights_sha256": "b" * 64, "image_size": [1, 1]})
    assert (
        found == "weights_sha256: aaaaaaaaaaaa... there, bbbbbbbbbbbb... here; image_size: [64, 32] there, [1, 1] here"
    )


def test_an_encoder_that_is_no_run_has_no_step():
    assert embedding_files.maker_words("runs/san", 7) == "runs/san at step 7"
    assert embedding_files.maker_words("rendered-small", None) == "rendered-small"
