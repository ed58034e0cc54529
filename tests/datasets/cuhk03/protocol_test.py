"""CUHK03's new protocol: every defect of its files is named."""

import pathlib
import shutil
import struct

import numpy as np
import pytest
import scipy.io

import datasets
from datasets.cuhk03 import protocol
from tests.datasets import benchmark_fixtures
from tests.datasets.cuhk03.small import build, problems_of


def test_a_missing_protocol_is_an_error_even_for_a_partial_copy(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    name = "cuhk03_new_protocol_config_labeled.mat"
    (mat_root / name).unlink()
    problems = problems_of(mat_root, tmp_path / "data", allow_partial=True)
    assert f"{mat_root / name}: no such file" in problems
    assert f"{mat_root / 'cuhk03_release' / name}: no such file" in problems


def test_every_defect_of_the_protocol_in_one_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    variables = benchmark_fixtures.cuhk_protocol(
        benchmark_fixtures.SMALL_CUHK["labeled"], benchmark_fixtures.SMALL_CUHK_TEST
    )
    names = variables["filelist"]
    names[0] = "../../1_001_1_01.png"
    names[1] = "1_001_2_02.png"  # image 2 is of view 1
    names[2] = names[3]
    variables["camId"][4] = 1  # 1_001_2_08.png
    variables["labels"][5] = 1  # 1_002_2_10.png
    variables["labels"][7] = 9  # 1_003_1_05.png
    variables["train_idx"] += [23, 0, variables["query_idx"][0]]
    variables["gallery_idx"].pop()
    benchmark_fixtures.write_cuhk_protocol(mat_root / "cuhk03_new_protocol_config_labeled.mat", variables)
    wanted = "expected pair_person_view_image.png like 1_001_2_06.png, view 1 for images 1 to 5 and view 2 for 6 to 10, found "
    assert problems_of(mat_root, tmp_path / "data", allow_partial=True) == [
        f"filelist{{1}}: {wanted}'../../1_001_1_01.png'",
        f"filelist{{2}}: {wanted}'1_001_2_02.png'",
        "camId(5): expected 2, the view of 1_001_2_08.png, found 1",
        "labels(6): 1_002_2_10.png is 1, which is person 1_001 elsewhere",
        "labels(8): 1_003_1_05.png is 9, other images of this person are 3",
        "filelist: '1_001_2_07.png' is there 2 times",
        "train_idx: expected 1 to 22, found 23",
        "train_idx: expected 1 to 22, found 0",
        "2_001_1_02.png: in the splits 2 times",
        "3_002_2_10.png: in no split",
        "labels: 4 is in train and query",
        "labels: 4 is in train and gallery",
    ]


def test_lengths_and_kinds_of_the_protocol(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    good = benchmark_fixtures.cuhk_protocol(
        benchmark_fixtures.SMALL_CUHK["labeled"], benchmark_fixtures.SMALL_CUHK_TEST
    )
    benchmark_fixtures.write_cuhk_protocol(
        path, {**good, "labels": good["labels"][:-1], "camId": [*good["camId"], 1], "query_idx": [1.5, float("inf")]}
    )
    assert problems_of(mat_root, tmp_path / "data") == [
        "query_idx(1): expected a whole number, found 1.5",
        "query_idx(2): expected a whole number, found inf",
        "labels: expected as many entries as in filelist (22), found 21",
        "camId: expected as many entries as in filelist (22), found 23",
    ]

    benchmark_fixtures.write_cuhk_protocol(path, {**good, "filelist": [*good["filelist"][:-1], 3]})
    assert problems_of(mat_root, tmp_path / "data")[0] == "filelist{22}: expected a name"

    scipy.io.savemat(path, {"filelist": np.zeros((2, 2)), "labels": {"a": 1}, "camId": np.zeros((0, 1))})
    vector = "expected a vector of numbers with 1 to 100,000 entries, found"
    assert problems_of(mat_root, tmp_path / "data") == [
        "filelist: expected a cell array of names with 1 to 100,000 entries, found double (2, 2)",
        f"labels: {vector} struct (1, 1)",
        f"camId: {vector} double (0, 1)",
        "train_idx: no such variable",
        "query_idx: no such variable",
        "gallery_idx: no such variable",
    ]


@pytest.mark.parametrize("content", ["text", "truncated", "version 7.3", "too large"])
def test_an_unreadable_protocol_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path, content: str):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    if content == "text":
        path.write_text("<html>not found</html>" * 20)
    elif content == "truncated":
        path.write_bytes(path.read_bytes()[:400])
    elif content == "version 7.3":
        shutil.copy(mat_root / "cuhk03_release" / "cuhk-03.mat", path)
    else:
        with open(path, "r+b") as file:
            file.truncate(protocol.MAX_FILE_BYTES + 1)
    (problem,) = problems_of(mat_root, tmp_path / "data")
    assert problem.startswith("expected at most" if content == "too large" else "not a readable MATLAB 5 file")


@pytest.mark.parametrize("sizes", [[65], [33, 33]], ids=["one cell", "in all"])
def test_a_protocol_that_inflates_to_too_much_is_refused_before_scipy_sees_it(
    mat_root: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
):
    names = [
        benchmark_fixtures.mat5_matrix(4, (1, n << 20), b"", struct.pack("<2I", 1, n << 20) + bytes(n << 20))
        for n in sizes
    ]
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    path.write_bytes(
        benchmark_fixtures.mat5_file(benchmark_fixtures.mat5_matrix(1, (1, 1), b"filelist", name) for name in names)
    )
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(scipy.io, "whosmat", lambda *_, **__: pytest.fail("SciPy inflates it"))
    with pytest.raises(datasets.DatasetError, match=str(path)) as error:
        build(mat_root, tmp_path / "data")
    assert error.value.problems == (
        "not a readable MATLAB 5 file (expected at most 67,108,864 bytes uncompressed, found more)",
    )


def test_a_protocol_of_the_other_byte_order_is_refused(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    path.write_bytes(benchmark_fixtures.mat5_file([], order=b"MI"))
    assert problems_of(mat_root, tmp_path / "data") == [
        "not a readable MATLAB 5 file (expected the header of a little-endian file)"
    ]


@pytest.mark.parametrize("content", ["blanks", "cells", "hidden", "too few"])
def test_a_name_that_claims_to_be_huge_is_not_read(mat_root: pathlib.Path, tmp_path: pathlib.Path, content: str):
    # Some hundred bytes each; SciPy makes as many blanks or cells as the header of a nested array says.
    nothing = struct.pack("<2I", 1, 0)
    name = benchmark_fixtures.mat5_matrix(4, (1, 1), b"", struct.pack("<2I", 1 << 16 | 1, ord("x")))
    huge = benchmark_fixtures.mat5_matrix(1 if content == "cells" else 4, (1, 10_000_000), b"", nothing)
    cells, number = huge, 1
    if content == "hidden":  # SciPy goes on where the text ends, not where its element does
        hiding = struct.pack("<2I", 14, len(name) - 8 + len(huge)) + name[8:] + huge
        cells, number = hiding + name, 2
    elif content == "too few":  # SciPy takes the next variable for a cell
        cells, number = name, 2
    variables = benchmark_fixtures.cuhk_protocol(
        benchmark_fixtures.SMALL_CUHK["labeled"], benchmark_fixtures.SMALL_CUHK_TEST
    )
    del variables["filelist"]
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    benchmark_fixtures.write_cuhk_protocol(path, variables)
    filelist = benchmark_fixtures.mat5_matrix(1, (1, number), b"filelist", cells)
    path.write_bytes(path.read_bytes() + filelist + huge)
    assert problems_of(mat_root, tmp_path / "data") == [
        "filelist: holds another number of cells than the 1 x 2 that it claims"
        if content == "too few"
        else "filelist{1}: expected a name"
    ]


def test_a_variable_given_twice_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    content = path.read_bytes()
    path.write_bytes(content + content[128:])
    keys = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
    assert problems_of(mat_root, tmp_path / "data") == [
        f"{key}: expected one variable of this name, found 2" for key in keys
    ]
