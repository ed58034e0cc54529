"""CUHK03 from its MAT file, from extracted images and from CUHK03-NP."""

import io
import pathlib
import shutil

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from datasets.cuhk03 import cuhk03_dataset_builder, image_mat
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures
from tests.datasets.cuhk03.small import GALLERY, KINDS, QUERY, TRAIN, build, problems_of, rows_of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["mat", "images"])
def test_both_sources_give_the_same_examples(tmp_path: pathlib.Path, source: str, kind: str):
    root = benchmark_fixtures.write_small_cuhk(tmp_path / "archive", source)
    folder = build(root, tmp_path / "data", kind)
    assert folder == tmp_path / "data" / "cuhk03" / kind / "1.0.0"
    train = [row for row in TRAIN if kind == "labeled" or row[0] != "1_003_1_05.png"]
    assert rows_of(folder) == {"train": train, "query": QUERY, "gallery": GALLERY}
    for split in ("train", "query", "gallery"):
        for example in tfds.data_source(f"cuhk03/{kind}", split=split, data_dir=tmp_path / "data"):
            # Higher than wide and random: neither mirrored nor transposed.
            np.testing.assert_array_equal(example["image"], benchmark_fixtures.cuhk_pixels(example["name"].decode()))
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert metadata["partial"] is False


def test_extracted_images_keep_their_bytes_and_pixels_of_the_mat_become_png(tmp_path: pathlib.Path):
    for source in ("mat", "images"):
        root = benchmark_fixtures.write_small_cuhk(tmp_path / source, source)
        folder = build(root, tmp_path / source / "data")
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
    assert rows_of(build(manual_dir, tmp_path / "data"))["query"] == QUERY


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_the_protocol_may_lie_beside_the_archive(mat_root: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    archive = dataset_fixtures.pack(mat_root / "cuhk03_release", mat_root / f"cuhk03_release.{suffix}")
    shutil.rmtree(mat_root / "cuhk03_release")
    for manual_dir in (archive, mat_root):
        data_dir = tmp_path / f"data of {manual_dir.name}"
        assert rows_of(build(manual_dir, data_dir))["train"] == TRAIN


def test_images_and_protocol_in_one_archive(images_root: pathlib.Path, tmp_path: pathlib.Path):
    archive = dataset_fixtures.pack(images_root, tmp_path / "cuhk03.zip")
    assert rows_of(build(archive, tmp_path / "data"))["train"] == TRAIN


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
    assert problems_of(root, tmp_path / "data") == [
        f"{place}/1_003_1_05.png: missing, cuhk03_new_protocol_config_labeled.mat names it",
        "train images: expected 14, found 13",
    ]


def test_the_other_kind_is_named_where_only_that_is_there(images_root: pathlib.Path, tmp_path: pathlib.Path):
    shutil.rmtree(images_root / "images_labeled")
    assert problems_of(images_root, tmp_path / "data") == [
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
    folder = build(manual_dir, tmp_path / "data", kind)
    train = [row for row in TRAIN if kind == "labeled" or row[0] != "1_003_1_05.png"]
    prefix = "" if given in ("kind", "called by its kind") else f"{kind}/"
    assert rows_of(folder) == {
        "train": _np_rows(train, f"{prefix}bounding_box_train", ".png"),
        "query": _np_rows(QUERY, f"{prefix}query", ".png"),
        "gallery": _np_rows(GALLERY, f"{prefix}bounding_box_test", ".png"),
    }
    assert dict(tfds.builder_from_directory(folder).info.metadata)["partial"] is False


@pytest.mark.parametrize("suffix", [".jpg", ".PNG"])
def test_cuhk03_np_with_other_suffixes(tmp_path: pathlib.Path, suffix: str):
    root = benchmark_fixtures.write_small_cuhk_np(tmp_path / "archive", suffix)
    rows = rows_of(build(root, tmp_path / "data"))
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
    problems = problems_of(root, tmp_path / "data")
    assert problems[:-1] == [
        f"{query}/0004_c3_2.png: {expected}",
        f"{query}/0006_c1_4.png: extra, 0006_c1_4.jpg is the same image with another suffix; keep one of the two",
        f"{query}/2_001_2_07.png: {expected}",
        "query images: expected 4, found 3",
    ]
    assert problems[-1].startswith(f"{truncated}: not a readable picture")
    assert rows_of(build(root, tmp_path / "data", "detected"))["query"]  # the other kind is whole


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
    assert problems_of(root, tmp_path / "data") == [
        _expected("labeled", root),
        f"{root}: found detected",
        f"{root}: holds detected images, which make cuhk03/detected",
    ]
    builder = cuhk03_dataset_builder.Builder(data_dir=tmp_path / "data", config="labeled")
    assert builder.damaged(root.parent) == []  # it is the other configuration, and whole
    folder = (root / "detected").rename(root / "cuhk")
    assert problems_of(root, tmp_path / "data")[2:] == [
        f"{folder}: expected the name of the folder to say labeled, found cuhk"
    ]
    shutil.rmtree(folder / "query")
    folder.rename(root / "labeled")
    assert builder.damaged(root.parent) == [root]
    folder = root.rename(root.parent / "cuhk-label")
    assert builder.damaged(root.parent) == [folder]
    assert cuhk03_dataset_builder.Builder(data_dir=tmp_path / "data", config="detected").damaged(root.parent) == []


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
    problems = problems_of(images_root, tmp_path / "data")
    assert problems[:4] == expected
    assert problems[4].startswith(f"{bomb}: expected an image of at most")
    assert problems[5].startswith(f"{truncated}: not a readable picture")
    assert len(problems) == 6

    folder = build(images_root, tmp_path / "partial", allow_partial=True)
    gone = {"1_001_1_01.png", "4_001_1_03.png", "5_001_2_06.png"}
    rows = [row for row in TRAIN if row[0] not in gone]
    # The person with a single image is gone; labels have no gap.
    assert rows_of(folder)["train"] == [(n, p, 4 if p == 8 else label, c) for n, p, label, c in rows]
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert (metadata["partial"], metadata["num_problems"]) == (True, 6)
