"""The CUHK03 builder: .mat and extracted images, the new protocol, and files that are damaged or made to do harm.

Defects that these tests plant:

- Protocol file: absent; text, truncated, MATLAB v7.3, big-endian, too large; compressed zeros, in one cell and in all.
- Protocol cells: a number for a name; blanks or cells without end; an array hidden behind a name; fewer than claimed.
- Protocol variables: absent, twice, of another class, of another length, numbers that are not whole.
- Names: a path out of the folder, image and view at odds, the same one twice.
- Cameras and identities that do not agree with the names.
- Splits: an index out of range or in two splits, an image in none, a person in training and test.
- The other kind: its protocol, its images in the .mat or in the folder.
- Extracted images: missing, extra, truncated, a decompression bomb.
- The .mat: text, truncated; `labeled` absent, a link, an external link, numbers; too few pairs, too many columns.
- Images of the .mat: another type or shape, huge, virtual, in another file, a group, another filter, a chunk that
  inflates to too much, takes too much, is damaged or is too large; one too many.
"""

import io
import pathlib
import shutil
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets.cuhk03 import cuhk03_dataset_builder, image_mat, protocol
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures

KINDS = benchmark_fixtures.CUHK_KINDS
COUNTS = benchmark_fixtures.SMALL_CUHK_COUNTS


def _build(manual_dir: pathlib.Path, data_dir: pathlib.Path, kind: str = "labeled", **arguments) -> pathlib.Path:
    arguments = {"counts": COUNTS[kind], **arguments}
    return dataset_fixtures.build(f"cuhk03/{kind}", data_dir=data_dir, manual_dir=manual_dir, **arguments)


def _problems(manual_dir: pathlib.Path, data_dir: pathlib.Path, kind: str = "labeled", **arguments) -> list[str]:
    with pytest.raises(datasets.DatasetError) as error:
        _build(manual_dir, data_dir, kind, **arguments)
    assert not list(data_dir.glob("cuhk03/**/*.array_record*"))
    assert "person-re-ranking" in str(error.value)  # where to get the protocol
    return list(error.value.problems)


def _rows(folder: pathlib.Path) -> dict[str, list[tuple[str, int, int, int]]]:
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    return {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }


@pytest.fixture
def mat_root(tmp_path: pathlib.Path) -> pathlib.Path:
    return benchmark_fixtures.write_small_cuhk(tmp_path / "archive", "mat")


@pytest.fixture
def images_root(tmp_path: pathlib.Path) -> pathlib.Path:
    return benchmark_fixtures.write_small_cuhk(tmp_path / "archive", "images")


TRAIN = [
    # (1, 2) has a single image, the people of other pairs go on counting; (2, 1) and (3, 2) are tested.
    ("1_001_1_01.png", 1, 0, 0),
    ("1_001_1_02.png", 1, 0, 0),
    ("1_001_2_06.png", 1, 0, 1),
    ("1_001_2_07.png", 1, 0, 1),
    ("1_001_2_08.png", 1, 0, 1),
    ("1_002_2_10.png", 2, 1, 1),
    ("1_003_1_01.png", 3, 2, 0),
    ("1_003_1_05.png", 3, 2, 0),
    ("1_003_2_06.png", 3, 2, 1),
    ("3_001_1_01.png", 5, 3, 0),
    ("3_001_2_06.png", 5, 3, 1),
    ("4_001_1_03.png", 7, 4, 0),
    ("5_001_1_05.png", 8, 5, 0),
    ("5_001_2_06.png", 8, 5, 1),
]
QUERY = [
    ("2_001_1_02.png", 4, -1, 0),
    ("2_001_2_07.png", 4, -1, 1),
    ("3_002_1_04.png", 6, -1, 0),
    ("3_002_2_09.png", 6, -1, 1),
]
GALLERY = [
    ("2_001_1_03.png", 4, -1, 0),
    ("2_001_2_09.png", 4, -1, 1),
    ("3_002_1_05.png", 6, -1, 0),
    ("3_002_2_10.png", 6, -1, 1),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["mat", "images"])
def test_both_sources_give_the_same_examples(tmp_path: pathlib.Path, source: str, kind: str):
    root = benchmark_fixtures.write_small_cuhk(tmp_path / "archive", source)
    folder = _build(root, tmp_path / "data", kind)
    assert folder == tmp_path / "data" / "cuhk03" / kind / "1.0.0"
    train = [row for row in TRAIN if kind == "labeled" or row[0] != "1_003_1_05.png"]
    assert _rows(folder) == {"train": train, "query": QUERY, "gallery": GALLERY}
    for split in ("train", "query", "gallery"):
        for example in tfds.data_source(f"cuhk03/{kind}", split=split, data_dir=tmp_path / "data"):
            # Higher than wide and random: neither mirrored nor transposed.
            np.testing.assert_array_equal(example["image"], benchmark_fixtures.cuhk_pixels(example["name"].decode()))
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert metadata["partial"] is False


def test_extracted_images_keep_their_bytes_and_pixels_of_the_mat_become_png(tmp_path: pathlib.Path):
    for source in ("mat", "images"):
        root = benchmark_fixtures.write_small_cuhk(tmp_path / source, source)
        folder = _build(root, tmp_path / source / "data")
        query = tfds.builder_from_directory(folder).as_data_source(
            split="query", decoders={"image": tfds.decode.SkipDecoding()}
        )
        for example in query:
            if source == "images":
                assert example["image"] == (root / "images_labeled" / example["name"].decode()).read_bytes()
            else:
                assert Image.open(io.BytesIO(example["image"])).format == "PNG"


def test_pixels_of_the_mat_are_encoded_the_same_each_time(mat_root: pathlib.Path):
    images, problems = image_mat.list_images(mat_root / "cuhk03_release" / "cuhk-03.mat", "labeled", "advice")
    assert not problems
    for image in images.values():
        assert image.read() == image.read()
        assert image.problem() is None


@pytest.mark.parametrize("place", ["root", "release", "outside the release", "parent of the root"])
def test_the_protocol_may_lie_in_several_places(mat_root: pathlib.Path, tmp_path: pathlib.Path, place: str):
    release = mat_root / "cuhk03_release"
    if place == "release":
        for file in mat_root.glob("*.mat"):
            file.rename(release / file.name)
    manual_dir = {"outside the release": release, "parent of the root": mat_root.parent}.get(place, mat_root)
    assert _rows(_build(manual_dir, tmp_path / "data"))["query"] == QUERY


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_the_protocol_may_lie_beside_the_archive(mat_root: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    archive = dataset_fixtures.pack(mat_root / "cuhk03_release", mat_root / f"cuhk03_release.{suffix}")
    shutil.rmtree(mat_root / "cuhk03_release")
    for manual_dir in (archive, mat_root):
        data_dir = tmp_path / f"data of {manual_dir.name}"
        assert _rows(_build(manual_dir, data_dir))["train"] == TRAIN


def test_images_and_protocol_in_one_archive(images_root: pathlib.Path, tmp_path: pathlib.Path):
    archive = dataset_fixtures.pack(images_root, tmp_path / "cuhk03.zip")
    assert _rows(_build(archive, tmp_path / "data"))["train"] == TRAIN


@pytest.mark.parametrize(("kind", "source"), [("labeled", "images"), ("detected", "mat")])
def test_the_published_counts_are_met_by_a_full_archive(tmp_path: pathlib.Path, kind: str, source: str):
    root = benchmark_fixtures.write_full_cuhk(tmp_path / "archive", kind, source)
    found = cuhk03_dataset_builder.Builder(data_dir=tmp_path / "data", config=kind).scan(root)
    numbers = {"labeled": (7_368, 1_400, 5_328), "detected": (7_365, 1_400, 5_332)}[kind]
    assert tuple(len(found.splits[split]) for split in ("train", "query", "gallery")) == numbers
    assert found.problems == ()
    counts = found.metadata["counts"]
    assert counts == found.metadata["counts_expected"]
    identities = [counts[f"{split} identities"] for split in ("train", "query", "gallery")]
    assert identities == [767, 700, 700]


def test_a_protocol_of_the_other_kind_is_miscounted(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_full_cuhk(tmp_path / "archive", "detected", "mat")
    # Detected images and their protocol, called labeled.
    name = "cuhk03_new_protocol_config_{}.mat"
    (root / name.format("detected")).rename(root / name.format("labeled"))
    with h5py.File(root / "cuhk03_release" / "cuhk-03.mat", "r+") as file:
        file.move("detected", "labeled")
    builder = cuhk03_dataset_builder.Builder(data_dir=tmp_path, config="labeled")
    assert builder.scan(root).problems == (
        "train images: expected 7,368, found 7,365",
        "gallery images: expected 5,328, found 5,332",
    )


@pytest.mark.parametrize("source", ["mat", "images"])
def test_labeled_and_detected_are_never_mixed(tmp_path: pathlib.Path, source: str):
    root = benchmark_fixtures.write_small_cuhk(tmp_path / "archive", source)
    place = root / "cuhk03_release" / "cuhk-03.mat" if source == "mat" else root / "images_labeled"
    if source == "mat":
        benchmark_fixtures.write_cuhk_mat(place, dict.fromkeys(KINDS, benchmark_fixtures.SMALL_CUHK["detected"]))
    else:
        shutil.rmtree(place)
        (root / "images_detected").rename(place)
    assert _problems(root, tmp_path / "data") == [
        f"{place}/1_003_1_05.png: missing, cuhk03_new_protocol_config_labeled.mat names it",
        "train images: expected 14, found 13",
    ]


def test_the_other_kind_is_named_where_only_that_is_there(images_root: pathlib.Path, tmp_path: pathlib.Path):
    shutil.rmtree(images_root / "images_labeled")
    assert _problems(images_root, tmp_path / "data") == [
        _expected("labeled", images_root),
        f"{images_root}: found cuhk03_new_protocol_config_detected.mat, cuhk03_new_protocol_config_labeled.mat, "
        "images_detected",
        f"{images_root}: holds detected images, which make cuhk03/detected",
    ]


def _expected(kind: str, folder: pathlib.Path) -> str:
    return (
        f"{folder}: expected cuhk03_release/cuhk-03.mat, cuhk-03.mat, a folder images_{kind}, or a folder {kind} with "
        "bounding_box_train, query, bounding_box_test and files like 0001_c1_1.png there or in a folder in it"
    )


def _np_rows(rows: list[tuple[str, int, int, int]], folder: str, suffix: str) -> list[tuple[str, int, int, int]]:
    """What CUHK03-NP makes of rows of the protocol: other names, in the order of these."""
    named = []
    for name, person, label, camera in rows:
        image = int(name.split("_")[3].removesuffix(".png"))
        named.append((f"{folder}/{person:04d}_c{camera + 1}_{image}{suffix}", person, label, camera))
    return sorted(named)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["parent", "itself", "kind", "called by its kind", "archive"])
def test_cuhk03_np_gives_the_splits_of_the_protocol_without_it(tmp_path: pathlib.Path, kind: str, given: str):
    root = benchmark_fixtures.write_small_cuhk_np(tmp_path / "archive")
    manual_dir = {"parent": root.parent, "kind": root / kind}.get(given, root)
    if given == "called by its kind":
        manual_dir = (root / kind).rename(tmp_path / f"cuhk03_np_{kind}")
    elif given == "archive":
        manual_dir = dataset_fixtures.pack(root, tmp_path / "CUHK03-NP.zip")
    folder = _build(manual_dir, tmp_path / "data", kind)
    train = [row for row in TRAIN if kind == "labeled" or row[0] != "1_003_1_05.png"]
    prefix = "" if given in ("kind", "called by its kind") else f"{kind}/"
    assert _rows(folder) == {
        "train": _np_rows(train, f"{prefix}bounding_box_train", ".png"),
        "query": _np_rows(QUERY, f"{prefix}query", ".png"),
        "gallery": _np_rows(GALLERY, f"{prefix}bounding_box_test", ".png"),
    }
    assert dict(tfds.builder_from_directory(folder).info.metadata)["partial"] is False


@pytest.mark.parametrize("suffix", [".jpg", ".PNG"])
def test_cuhk03_np_with_other_suffixes(tmp_path: pathlib.Path, suffix: str):
    root = benchmark_fixtures.write_small_cuhk_np(tmp_path / "archive", suffix)
    rows = _rows(_build(root, tmp_path / "data"))
    assert rows["query"] == _np_rows(QUERY, "labeled/query", suffix)
    source = tfds.builder_from_directory(tmp_path / "data" / "cuhk03" / "labeled" / "1.0.0").as_data_source(
        split="query", decoders={"image": tfds.decode.SkipDecoding()}
    )
    for example in source:
        assert example["image"] == (root / example["name"].decode()).read_bytes()


def test_every_defect_of_cuhk03_np_in_one_error(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_small_cuhk_np(tmp_path / "archive")
    query = root / "labeled" / "query"
    (query / "0004_c1_2.png").rename(query / "0004_c3_2.png")
    (query / "2_001_2_07.png").touch()
    shutil.copy(query / "0006_c1_4.png", query / "0006_c1_4.jpg")
    truncated = root / "labeled" / "bounding_box_train" / "0001_c1_1.png"
    truncated.write_bytes(truncated.read_bytes()[:60])
    expected = "expected a name like 0001_c1_1.png with camera c1 to c2"
    problems = _problems(root, tmp_path / "data")
    assert problems[:-1] == [
        f"{query}/0004_c3_2.png: {expected}",
        f"{query}/0006_c1_4.png: extra, 0006_c1_4.jpg is the same image with another suffix; keep one of the two",
        f"{query}/2_001_2_07.png: {expected}",
        "query images: expected 4, found 3",
    ]
    assert problems[-1].startswith(f"{truncated}: not a readable picture")
    assert _rows(_build(root, tmp_path / "data", "detected"))["query"]  # the other kind is whole


def test_the_published_counts_are_met_by_a_full_cuhk03_np(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_full_cuhk_np(tmp_path / "archive")
    builders = [cuhk03_dataset_builder.Builder(data_dir=tmp_path, config=kind) for kind in KINDS]
    for builder in builders:
        archive = builder.scan(root)
        assert archive.problems == ()
        assert archive.metadata["counts"] == builder.COUNTS
    # Each kind under the other's name.
    (root / KINDS[0]).rename(root / "aside")
    (root / KINDS[1]).rename(root / KINDS[0])
    (root / "aside").rename(root / KINDS[1])
    for builder in builders:
        assert [line.split(":")[0] for line in builder.scan(root).problems] == ["train images", "gallery images"]


def test_cuhk03_np_is_named_where_its_kind_is_not_said_or_another(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_small_cuhk_np(tmp_path / "archive")
    shutil.rmtree(root / "labeled")
    assert _problems(root, tmp_path / "data") == [
        _expected("labeled", root),
        f"{root}: found detected",
        f"{root}: holds detected images, which make cuhk03/detected",
    ]
    builder = cuhk03_dataset_builder.Builder(data_dir=tmp_path / "data", config="labeled")
    assert builder.damaged(root.parent) == []  # it is the other configuration, and whole
    folder = (root / "detected").rename(root / "cuhk")
    assert _problems(root, tmp_path / "data")[2:] == [
        f"{folder}: expected the name of the folder to say labeled, found cuhk"
    ]
    shutil.rmtree(folder / "query")
    folder.rename(root / "labeled")
    assert builder.damaged(root.parent) == [root]
    folder = root.rename(root.parent / "cuhk-label")
    assert builder.damaged(root.parent) == [folder]
    assert cuhk03_dataset_builder.Builder(data_dir=tmp_path / "data", config="detected").damaged(root.parent) == []


def test_a_missing_protocol_is_an_error_even_for_a_partial_copy(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    name = "cuhk03_new_protocol_config_labeled.mat"
    (mat_root / name).unlink()
    problems = _problems(mat_root, tmp_path / "data", allow_partial=True)
    assert f"{mat_root / name}: no such file" in problems
    assert f"{mat_root / 'cuhk03_release' / name}: no such file" in problems


def test_every_defect_of_extracted_images_in_one_error(images_root: pathlib.Path, tmp_path: pathlib.Path):
    folder = images_root / "images_labeled"
    (folder / "1_001_1_01.png").rename(folder / "1_001_1_03.png")
    (folder / "notes.txt").touch()
    truncated = folder / "5_001_2_06.png"
    truncated.write_bytes(truncated.read_bytes()[:100])
    bomb = folder / "4_001_1_03.png"
    bomb.write_bytes(dataset_fixtures.png_header(50_000, 50_000))
    expected = [
        f"{folder}/1_001_1_01.png: missing, cuhk03_new_protocol_config_labeled.mat names it",
        f"{folder}/1_001_1_03.png: extra, cuhk03_new_protocol_config_labeled.mat does not name it",
        f"{folder}/notes.txt: extra, cuhk03_new_protocol_config_labeled.mat does not name it",
        "train images: expected 14, found 13",
    ]
    problems = _problems(images_root, tmp_path / "data")
    assert problems[:4] == expected
    assert problems[4].startswith(f"{bomb}: expected an image of at most")
    assert problems[5].startswith(f"{truncated}: not a readable picture")
    assert len(problems) == 6

    folder = _build(images_root, tmp_path / "partial", allow_partial=True)
    gone = {"1_001_1_01.png", "4_001_1_03.png", "5_001_2_06.png"}
    rows = [row for row in TRAIN if row[0] not in gone]
    # The person with a single image is gone; labels have no gap.
    assert _rows(folder)["train"] == [(n, p, 4 if p == 8 else label, c) for n, p, label, c in rows]
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert (metadata["partial"], metadata["num_problems"]) == (True, 6)


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
    assert _problems(mat_root, tmp_path / "data", allow_partial=True) == [
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
    assert _problems(mat_root, tmp_path / "data") == [
        "query_idx(1): expected a whole number, found 1.5",
        "query_idx(2): expected a whole number, found inf",
        "labels: expected as many entries as in filelist (22), found 21",
        "camId: expected as many entries as in filelist (22), found 23",
    ]

    benchmark_fixtures.write_cuhk_protocol(path, {**good, "filelist": [*good["filelist"][:-1], 3]})
    assert _problems(mat_root, tmp_path / "data")[0] == "filelist{22}: expected a name"

    scipy.io.savemat(path, {"filelist": np.zeros((2, 2)), "labels": {"a": 1}, "camId": np.zeros((0, 1))})
    vector = "expected a vector of numbers with 1 to 100,000 entries, found"
    assert _problems(mat_root, tmp_path / "data") == [
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
    (problem,) = _problems(mat_root, tmp_path / "data")
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
        _build(mat_root, tmp_path / "data")
    assert error.value.problems == (
        "not a readable MATLAB 5 file (expected at most 67,108,864 bytes uncompressed, found more)",
    )


def test_a_protocol_of_the_other_byte_order_is_refused(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    path.write_bytes(benchmark_fixtures.mat5_file([], order=b"MI"))
    assert _problems(mat_root, tmp_path / "data") == [
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
    assert _problems(mat_root, tmp_path / "data") == [
        "filelist: holds another number of cells than the 1 x 2 that it claims"
        if content == "too few"
        else "filelist{1}: expected a name"
    ]


def test_a_variable_given_twice_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    path = mat_root / "cuhk03_new_protocol_config_labeled.mat"
    content = path.read_bytes()
    path.write_bytes(content + content[128:])
    keys = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
    assert _problems(mat_root, tmp_path / "data") == [
        f"{key}: expected one variable of this name, found 2" for key in keys
    ]


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

    problems = _problems(mat_root, tmp_path / "data")
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
    rows = _rows(_build(mat_root, tmp_path / "partial", allow_partial=True))
    gone = {benchmark_fixtures.cuhk_name(*cell) for cell in (*headers, *data)}
    for split, whole in (("train", TRAIN), ("query", QUERY), ("gallery", GALLERY)):
        assert [row[0] for row in rows[split]] == [row[0] for row in whole if row[0] not in gone]


def test_a_cell_without_a_reference_is_empty(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    with h5py.File(mat_root / "cuhk03_release" / "cuhk-03.mat", "r+") as file:
        file[file["labeled"][0, 3]][9, 0] = h5py.Reference()
    assert _rows(_build(mat_root, tmp_path / "data"))["train"] == TRAIN


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
    (problem,) = _problems(mat_root, tmp_path / "data")
    assert problem.startswith(reason)


def test_another_number_of_pairs_or_columns_is_an_error(mat_root: pathlib.Path, tmp_path: pathlib.Path):
    mat = mat_root / "cuhk03_release" / "cuhk-03.mat"
    with h5py.File(mat, "r+") as file:
        pairs = file["labeled"][()]
        del file["labeled"]
        file.create_dataset("labeled", data=pairs[:, :4], dtype=h5py.ref_dtype)
    assert _problems(mat_root, tmp_path / "data") == [
        "labeled: expected 1 x 5 references (pairs of cameras), found (1, 4)"
    ]
    with h5py.File(mat, "r+") as file:
        wide = np.full((12, 3), file[pairs[0, 0]][0, 0], dtype=h5py.ref_dtype)
        pairs[0, 1] = file.create_dataset("wide", data=wide, dtype=h5py.ref_dtype).ref
        del file["labeled"]
        file.create_dataset("labeled", data=pairs, dtype=h5py.ref_dtype)
    assert _problems(mat_root, tmp_path / "data") == [
        "labeled{2}: expected 10 x persons references (at most 999 persons), found (12, 3)"
    ]
