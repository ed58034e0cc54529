"""The mirror map's way: rendered folder -> pit, pit_reid -> a run -> the textured copy; and what it must not be."""

import io
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

import datasets
from experiments.runs import data_sources
from render import manifest
from render.figure import mirror
from tests import dataset_fixtures

FILE = "mirror_map.npy"


def _npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


@pytest.mark.parametrize("recipe", ["pit", "pit_reid"])
def test_from_a_rendered_folder_to_the_dataset(tmp_path: pathlib.Path, recipe: str):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", recipe)
    expected = dataset_fixtures.write_mirror_map(tmp_path / "rendered")
    folder = datasets.build_dataset(recipe, data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    index_map = datasets.read_mirror_map(folder)
    assert index_map.dtype == np.uint16
    np.testing.assert_array_equal(index_map, expected)
    np.testing.assert_array_equal(datasets.read_mirror_map(tmp_path / "rendered"), expected)

    # As a program reads it that does not know this repository.
    builder: Any = tfds.builder_from_directory(folder)
    index = np.load(pathlib.Path(builder.data_dir) / FILE)
    texture = builder.as_data_source(split="train")[0]["texture"]
    assert len(builder.as_data_source(split="train")) == sum(record.split == "train" for record in records)
    np.testing.assert_array_equal(texture[index[..., 0], index[..., 1]], texture[:, ::-1])
    assert data_sources.read_mirror_file(recipe, tmp_path / "data") == {FILE: (folder / FILE).read_bytes()}


def test_the_textured_copy_takes_it_along(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    for record in records[:6]:
        path = (tmp_path / "textures" / record.image).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(500 + record.index, 256, 256, "PNG"))
    run = tmp_path / "run"  # was trained on a PIT whose textures are mirrored in another way
    run.mkdir()
    other = np.zeros((256, 256, 2), np.uint16)
    (run / FILE).write_bytes(mirror.encode_map(other))

    def build(mirror_dir: pathlib.Path | None) -> pathlib.Path:
        return datasets.build_textured(
            "pit_reid",
            data_dir=tmp_path / "data",
            texture_dir=tmp_path / "textures",
            metadata={},
            mirror_dir=mirror_dir,
        )

    folder = build(run)
    np.testing.assert_array_equal(datasets.read_mirror_map(folder), other)
    assert build(run) == folder  # kept
    with pytest.raises(datasets.DatasetError, match="built from another source"):  # with another map it is another one
        build(tmp_path / "rendered")
    with pytest.raises(datasets.DatasetError, match="built from another source"):
        build(None)
    with pytest.raises(datasets.DatasetError, match=f"{FILE} does not exist"):
        build(tmp_path / "textures")


def test_without_a_map(tmp_path: pathlib.Path):
    """Folders and datasets from before there were maps: the message says what to do."""
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    folder = datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    (folder / FILE).unlink()
    with pytest.raises(datasets.DatasetError, match=r"does not exist(.|\n)*remove the dataset and build it again"):
        datasets.read_mirror_map(folder)
    assert data_sources.read_mirror_file("pit", tmp_path / "data") == {}
    (tmp_path / "rendered" / FILE).unlink()
    with pytest.raises(datasets.DatasetError, match=r"does not exist(.|\n)*experiments.pit_render"):
        datasets.build_dataset("pit", data_dir=tmp_path / "other", manual_dir=tmp_path / "rendered")
    assert not (tmp_path / "other" / "pit").exists()


VALID = np.zeros((256, 256, 2), np.uint16)
OUTSIDE = VALID.copy()
OUTSIDE[3, 4, 1] = 256
# A header that claims 16 GiB.
HUGE = _npy(VALID)[:128].replace(b"(256, 256, 2), }    ", b"(65536,65536,2), }  ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_npy(VALID[:255]), r"found uint16 \[255, 256, 2\]"),
        (_npy(VALID[..., 0]), r"found uint16 \[256, 256\]"),
        (_npy(VALID.astype(np.int32)), "found more than 266,240 bytes"),
        (_npy(VALID.astype(np.int16)), "found int16"),
        (_npy(VALID.astype(">u2")), "found >u2"),
        (_npy(np.asfortranarray(VALID)), "in Fortran order"),
        (_npy(OUTSIDE), "expected rows and columns below 256, found 256"),
        (_npy(VALID)[:-2], "found 262,142 bytes of values"),
        (_npy(VALID) + b"\0\0", "found 262,146 bytes of values"),
        (_npy(np.array([{"a": 1}], object), allow_pickle=True), "found object"),
        (HUGE, r"found uint16 \[65536, 65536, 2\]"),
        (b"\x93NUMPY\x03\x00" + bytes(100), "format version"),
        (b"PK\x03\x04" + bytes(100), "found something else"),
        (b"", "found something else"),
    ],
)
def test_hostile_files(tmp_path: pathlib.Path, content: bytes, message: str):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.read_mirror_map(tmp_path)
    # Nor does such a map get into a dataset.
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    (tmp_path / "rendered" / FILE).write_bytes(content)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    assert not (tmp_path / "data" / "pit").exists()


def test_the_name_is_the_manifests():
    assert manifest.MIRROR_FILE == FILE
