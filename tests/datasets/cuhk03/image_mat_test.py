"""CUHK03's MAT file of images: every defect of it is named."""

import pathlib
import shutil
import zlib

import h5py
import numpy as np
import pytest

from tests.datasets import benchmark_fixtures
from tests.datasets.cuhk03.small import GALLERY, QUERY, TRAIN, build, problems_of, rows_of


def _replace(mat: pathlib.Path, cell: tuple[int, int, int], make) -> None:
    """Points the cell (pair, person, image) of `labeled` to what `make(file)` makes."""
    pair, person, image = cell
    with h5py.File(mat, "r+") as file:
        persons = file[file["labeled"][0, pair - 1]]
        persons[image - 1, person - 1] = make(file).ref


def test_every_defect_of_the_mat_in_one_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    mat = mat_root / "cuhk03_release" / "cuhk-03.mat"
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3 * 6 * 12))
    shape = (3, 6, 12)

    def compressed_bomb(file: h5py.File) -> h5py.Dataset:
        dataset = file.create_dataset("bomb", shape=(3, 100, 100), dtype="u1", chunks=(3, 100, 100), compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(10_000_000), 9))
        return dataset

    def large_chunk(file: h5py.File) -> h5py.Dataset:
        dataset = file.create_dataset("large", shape=shape, dtype="u1", chunks=shape, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), zlib.compress(np.random.default_rng(0).bytes(1000)))
        return dataset

    def damaged(file: h5py.File) -> h5py.Dataset:
        dataset = file.create_dataset("damaged", shape=shape, dtype="u1", chunks=shape, compression="gzip")
        dataset.id.write_direct_chunk((0, 0, 0), b"not compressed")
        return dataset

    def virtual(file: h5py.File) -> h5py.Dataset:
        layout = h5py.VirtualLayout(shape, "u1")
        layout[:] = h5py.VirtualSource("other.mat", "image", shape)
        return file.create_virtual_dataset("virtual", layout)

    # Cell -> what is in it, and what is said of it.
    headers = {
        (1, 1, 1): (
            lambda f: f.create_dataset("f64", data=np.zeros(shape)),
            "expected uint8 3 x width x height, found f",
        ),
        (1, 1, 2): (
            lambda f: f.create_dataset("gray", data=np.zeros((1, 6, 12), "u1")),
            "expected uint8 3 x width x hei",
        ),
        (1, 1, 6): (
            lambda f: f.create_dataset("huge", shape=(3, 10**6, 10**6), dtype="u1", chunks=(1, 1000, 1000)),
            "expected at most 1,048,576 pixels, found 1,000,000 x 1,000,000",
        ),
        (1, 1, 7): (virtual, "a virtual dataset, which points to other files"),
        (1, 1, 8): (
            lambda f: f.create_dataset("external", shape=shape, dtype="u1", external=[(str(secret), 0, 3 * 6 * 12)]),
            "its data lies in another file",
        ),
        (1, 3, 1): (lambda f: f.create_group("group"), "expected an image"),
    }
    data = {
        (2, 1, 2): (
            lambda f: f.create_dataset("lzf", data=np.zeros(shape, "u1"), compression="lzf"),
            "expected gzip compression as MATLAB writes it, found the HDF5 filters [32000]",
        ),
        (2, 1, 3): (compressed_bomb, "a chunk of 30,000 bytes inflates to more"),
        (2, 1, 7): (large_chunk, "a chunk of 216 bytes takes 1,011 in the file"),
        (2, 1, 9): (damaged, "damaged compressed data"),
        (3, 2, 4): (
            lambda f: f.create_dataset(
                "chunks", shape=shape, dtype="u1", chunks=(3, 2000, 2000), maxshape=(3, None, None)
            ),
            "expected chunks of at most 4,194,304 bytes, found 12,000,000",
        ),
    }
    for cell, (make, _) in {**headers, **data}.items():
        _replace(mat, cell, make)
    # And an image too many.
    _replace(mat, (4, 1, 10), lambda f: f.create_dataset("extra", data=np.zeros(shape, "u1")))

    problems = problems_of(mat_root, tmp_path / "data")
    for (pair, person, image), (_, reason) in {**headers, **data}.items():
        name = benchmark_fixtures.cuhk_name(pair, person, image)
        said = [line for line in problems if f"labeled{{{pair}}}{{{person},{image}}} ({name}): " in line]
        assert len(said) == 1, name
        assert reason in said[0]
    for pair, person, image in headers:  # not even listed
        name = benchmark_fixtures.cuhk_name(pair, person, image)
        assert f"{mat}/{name}: missing, cuhk03_new_protocol_config_labeled.mat names it" in problems
    assert f"{mat}/4_001_2_10.png: extra, cuhk03_new_protocol_config_labeled.mat does not name it" in problems
    assert "train images: expected 14, found 8" in problems
    assert "train identities: expected 6, found 5" in problems
    assert len(problems) == 2 * len(headers) + len(data) + 3

    # A partial copy has none of them.
    rows = rows_of(build(mat_root, tmp_path / "partial", allow_partial=True))
    gone = {benchmark_fixtures.cuhk_name(*cell) for cell in (*headers, *data)}
    for split, whole in (("train", TRAIN), ("query", QUERY), ("gallery", GALLERY)):
        assert [row[0] for row in rows[split]] == [row[0] for row in whole if row[0] not in gone]


def test_a_cell_without_a_reference_is_empty(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    with h5py.File(mat_root / "cuhk03_release" / "cuhk-03.mat", "r+") as file:
        file[file["labeled"][0, 3]][9, 0] = h5py.Reference()
    assert rows_of(build(mat_root, tmp_path / "data"))["train"] == TRAIN


@pytest.mark.parametrize("content", ["text", "truncated", "no such array", "external link", "soft link", "numbers"])
def test_a_mat_that_is_not_cuhk03_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path, content: str):
    mat = mat_root / "cuhk03_release" / "cuhk-03.mat"
    reason = "labeled: no such cell array in this file"
    if content == "text":
        mat.write_text("<html>not found</html>")
        reason = "not a readable MATLAB v7.3 file"
    elif content == "truncated":
        mat.write_bytes(mat.read_bytes()[: mat.stat().st_size // 2])
        reason = "not a readable MATLAB v7.3 file"
    else:
        shutil.copy(mat, tmp_path / "other.mat")
        with h5py.File(mat, "r+") as file:
            if content == "soft link":
                file.move("labeled", "elsewhere")
                file["labeled"] = h5py.SoftLink("/elsewhere")
            else:
                del file["labeled"]
            if content == "external link":
                file["labeled"] = h5py.ExternalLink(str(tmp_path / "other.mat"), "/labeled")
            if content == "numbers":
                file["labeled"] = np.zeros((1, 5))
                reason = "labeled: expected a cell array of references, found float64 (1, 5)"
    (problem,) = problems_of(mat_root, tmp_path / "data")
    assert problem.startswith(reason)


def test_another_number_of_pairs_or_columns_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    mat = mat_root / "cuhk03_release" / "cuhk-03.mat"
    with h5py.File(mat, "r+") as file:
        pairs = file["labeled"][()]
        del file["labeled"]
        file.create_dataset("labeled", data=pairs[:, :4], dtype=h5py.ref_dtype)
    assert problems_of(mat_root, tmp_path / "data") == [
        "labeled: expected 1 x 5 references (pairs of cameras), found (1, 4)"
    ]
    with h5py.File(mat, "r+") as file:
        wide = np.full((12, 3), file[pairs[0, 0]][0, 0], dtype=h5py.ref_dtype)
        pairs[0, 1] = file.create_dataset("wide", data=wide, dtype=h5py.ref_dtype).ref
        del file["labeled"]
        file.create_dataset("labeled", data=pairs, dtype=h5py.ref_dtype)
    assert problems_of(mat_root, tmp_path / "data") == [
        "labeled{2}: expected 10 x persons references (at most 999 persons), found (12, 3)"
    ]
