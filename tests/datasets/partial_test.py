"""The builders of Partial REID and Partial-iLIDS: layouts, names, and which of the two a folder is.

Defects that these tests plant:

- Partial REID: an image missing, renamed to an index that others lack, misnamed, of the same person and index; empty.
- Partial REID: occluded images missing, misnamed, none in their folder.
- Partial-iLIDS: a probe or gallery image missing, of another person, a second one of a person, misnamed; truncated.
- Look-alikes: each for the other, without and with a folder of occluded images; OccludedREID; Market-1501.
"""

import pathlib

import pytest
import tensorflow_datasets as tfds

import datasets
from datasets.build import make_builder
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures

QUERY, GALLERY = benchmark_fixtures.PARTIAL_FOLDERS.values()
OCCLUDED = benchmark_fixtures.OCCLUDED
LAYOUTS = benchmark_fixtures.ILIDS_LAYOUTS


def _counts(people: int, images: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split in ("query", "gallery"):
        counts |= {f"{split} images": people * images, f"{split} identities": people, f"{split} cameras": 1}
    return counts


def _build(name: str, manual_dir: pathlib.Path, data_dir: pathlib.Path, **arguments) -> pathlib.Path:
    return dataset_fixtures.build(name, data_dir=data_dir, manual_dir=manual_dir, **arguments)


def _problems(name: str, manual_dir: pathlib.Path, data_dir: pathlib.Path, **arguments) -> list[str]:
    with pytest.raises(datasets.DatasetError) as error:
        _build(name, manual_dir, data_dir, **arguments)
    assert not list(data_dir.glob(f"{name}/**/*.array_record*"))
    return list(error.value.problems)


def _rows(folder: pathlib.Path) -> dict[str, list[tuple[str, int, int, int]]]:
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    return {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }


@pytest.mark.parametrize("given", ["itself", "parent", "archive"])
def test_partial_reid_has_partial_queries_and_a_whole_gallery(tmp_path: pathlib.Path, given: str):
    root = benchmark_fixtures.write_partial_reid(tmp_path / "archive", people=2, images=3)
    manual_dir = root if given == "itself" else root.parent
    if given == "archive":
        manual_dir = dataset_fixtures.pack(root, tmp_path / "Partial_REID.zip")
    folder = _build("partial_reid", manual_dir, tmp_path / "data", counts=_counts(2, 3))
    assert _rows(folder) == {
        "query": [(f"{QUERY}/00{person}_00{image}.jpg", person, -1, 0) for person in (1, 2) for image in (1, 2, 3)],
        "gallery": [(f"{GALLERY}/00{person}_00{image}.jpg", person, -1, 1) for person in (1, 2) for image in (1, 2, 3)],
    }
    for split in ("query", "gallery"):
        source = tfds.builder_from_directory(folder).as_data_source(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
        for example in source:
            assert example["image"] == (root / example["name"].decode()).read_bytes()
    assert tfds.data_source("partial_reid", split="query", data_dir=tmp_path / "data")[0]["image"].shape == (16, 8, 3)


def test_partial_reid_of_the_published_size(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_partial_reid(tmp_path / "archive")
    info = tfds.builder_from_directory(_build("partial_reid", root, tmp_path / "data")).info
    assert {split: info.splits[split].num_examples for split in info.splits} == {"query": 300, "gallery": 300}
    metadata = dict(info.metadata)
    assert metadata["counts_expected"] == _counts(60, 5)
    assert metadata["counts"] == {**_counts(60, 5), f"images in {OCCLUDED}": 300}


def test_partial_reid_without_its_occluded_images_is_whole(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_partial_reid(tmp_path / "archive")
    for path in (root / OCCLUDED).iterdir():
        path.unlink()
    assert _problems("partial_reid", root, tmp_path / "data") == [f"images in {OCCLUDED}: expected 300, found 0"]
    (root / OCCLUDED).rmdir()
    metadata = dict(tfds.builder_from_directory(_build("partial_reid", root, tmp_path / "data")).info.metadata)
    assert (metadata["partial"], metadata["counts"]) == (False, _counts(60, 5))


def test_every_defect_of_partial_reid_in_one_error(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_partial_reid(tmp_path / "archive", people=4, images=3)
    (root / QUERY / "002_003.jpg").rename(root / QUERY / "002_007.jpg")
    (root / GALLERY / "notes.txt").touch()
    (root / GALLERY / "1_2.JPG").write_bytes((root / GALLERY / "001_002.jpg").read_bytes())
    (root / GALLERY / "004_001.jpg").unlink()
    (root / OCCLUDED / "001_001.jpg").rename(root / OCCLUDED / "001.jpg")
    empty = root / QUERY / "003_001.jpg"
    empty.write_bytes(b"")
    name = "expected a name like 001_003.jpg, person and index of the image"
    problems = _problems("partial_reid", root, tmp_path / "data", counts=_counts(4, 3))
    assert problems[:-1] == [
        f"{root / QUERY}: no image 3 of person 2",
        f"{root / QUERY}/002_007.jpg: extra, others have no image 7",
        f"{root / GALLERY}/1_2.JPG: extra, 001_002.jpg has the same person and index",
        f"{root / GALLERY}/notes.txt: {name}",
        f"{root / GALLERY}: no image 1 of person 4",
        f"{root / OCCLUDED}/001.jpg: {name}",
        f"{root / OCCLUDED}: no image 1 of person 1",
        f"images in {OCCLUDED}: expected 12, found 11",
        "query images: expected 12, found 11",
        "gallery images: expected 12, found 11",
    ]
    assert problems[-1].startswith(f"{empty}: not a readable picture")

    folder = _build("partial_reid", root, tmp_path / "partial", counts=_counts(4, 3), allow_partial=True)
    rows = _rows(folder)
    assert (len(rows["query"]), len(rows["gallery"])) == (10, 11)
    assert dict(tfds.builder_from_directory(folder).info.metadata)["partial"] is True


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["{}.jpg", "{:03d}.JPG", "{:03d}_0_x.jpg", "{}.jpeg"])
def test_partial_ilids_in_every_layout(tmp_path: pathlib.Path, layout: tuple[str, str], name: str):
    root = benchmark_fixtures.write_partial_ilids(tmp_path / "archive", 11, layout, name)
    folder = _build("partial_ilids", root.parent, tmp_path / "data", counts=_counts(11, 1))
    # By number: 2 before 10.
    assert _rows(folder) == {
        "query": [(f"{layout[0]}/{name.format(person)}", person, -1, 0) for person in range(1, 12)],
        "gallery": [(f"{layout[1]}/{name.format(person)}", person, -1, 1) for person in range(1, 12)],
    }
    for example in tfds.builder_from_directory(folder).as_data_source(
        split="gallery", decoders={"image": tfds.decode.SkipDecoding()}
    ):
        assert example["image"] == (root / example["name"].decode()).read_bytes()


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_partial_ilids_of_the_published_size(tmp_path: pathlib.Path, suffix: str):
    root = benchmark_fixtures.write_partial_ilids(tmp_path / "archive")
    archive = dataset_fixtures.pack(root, tmp_path / f"Partial_iLIDS.{suffix}")
    info = tfds.builder_from_directory(_build("partial_ilids", archive.parent, tmp_path / "data")).info
    assert {split: info.splits[split].num_examples for split in info.splits} == {"query": 119, "gallery": 119}
    metadata = dict(info.metadata)
    assert metadata["counts"] == metadata["counts_expected"] == _counts(119, 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_defect_of_partial_ilids_in_one_error(tmp_path: pathlib.Path, layout: tuple[str, str]):
    root = benchmark_fixtures.write_partial_ilids(tmp_path / "archive", 6, layout)
    probe, gallery = (root / folder for folder in layout)
    (probe / "1.jpg").unlink()
    (gallery / "2.jpg").rename(gallery / "7.jpg")
    (gallery / "003_b.jpg").write_bytes((gallery / "3.jpg").read_bytes())
    (gallery / "person4.jpg").touch()
    truncated = probe / "5.jpg"
    truncated.write_bytes(truncated.read_bytes()[:200])
    problems = _problems("partial_ilids", root, tmp_path / "data", counts=_counts(6, 1))
    assert problems[:-1] == [
        f"{gallery}/3.jpg: extra, 003_b.jpg shows this person already",
        f"{gallery}/person4.jpg: expected a name like 1.jpg or 001_x.jpg",
        f"{gallery}: no image of person 2, who is in {layout[0]}",
        f"{probe}: no image of person 1, who is in {layout[1]}",
        f"{probe}: no image of person 7, who is in {layout[1]}",
        "query images: expected 6, found 5",
        "query identities: expected 6, found 5",
    ]
    assert problems[-1].startswith(f"{truncated}: not a readable picture")


def test_the_two_are_told_apart_although_their_folders_have_the_same_names(tmp_path: pathlib.Path):
    reid = benchmark_fixtures.write_partial_reid(tmp_path / "reid", people=3, images=2)
    for path in (reid / OCCLUDED).iterdir():
        path.unlink()
    (reid / OCCLUDED).rmdir()
    ilids = benchmark_fixtures.write_partial_ilids(tmp_path / "ilids", 4, LAYOUTS[2], "{:03d}_000.jpg")
    for folder in (tmp_path, reid):
        found = make_builder("partial_reid", tmp_path / "data").locate(folder)
        assert found == reid
    assert make_builder("partial_reid", tmp_path / "data").locate(ilids) is None
    assert make_builder("partial_ilids", tmp_path / "data").locate(reid) is None
    # Each finds its own where both lie.
    rows = _rows(_build("partial_ilids", tmp_path, tmp_path / "data", counts=_counts(4, 1)))
    assert len(rows["query"]) == 4
    rows = _rows(_build("partial_reid", tmp_path, tmp_path / "data", counts=_counts(3, 2)))
    assert len(rows["query"]) == 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_images_a_person_are_not_partial_ilids(tmp_path: pathlib.Path, layout: tuple[str, str]):
    # OccludedREID as it goes around: five images of each person.
    names = [f"{person:03d}_{image:02d}.jpg" for person in (1, 2, 3) for image in range(1, 6)]
    benchmark_fixtures.write_files(tmp_path, [f"{folder}/{name}" for folder in layout for name in names])
    assert make_builder("partial_ilids", tmp_path / "data").locate(tmp_path) is None
    # Nor where only one of the two folders has several.
    for name in names:
        if not name.endswith("_01.jpg"):
            (tmp_path / layout[0] / name).unlink()
    assert make_builder("partial_ilids", tmp_path / "data").locate(tmp_path) is None


@pytest.mark.parametrize("occluded", [[], ["001_001.jpg"]], ids=["empty", "not empty"])
def test_a_folder_of_occluded_images_does_not_make_partial_ilids_partial_reid(
    tmp_path: pathlib.Path, occluded: list[str]
):
    root = benchmark_fixtures.write_partial_ilids(tmp_path / "archive", 4, LAYOUTS[2], "{:03d}_001.jpg")
    (root / OCCLUDED).mkdir()
    benchmark_fixtures.write_files(root / OCCLUDED, occluded)
    assert make_builder("partial_reid", tmp_path / "data").locate(root) is None
    rows = _rows(_build("partial_ilids", root, tmp_path / "data", counts=_counts(4, 1)))
    assert [row[1] for row in rows["query"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("folder", ["Partial-REID_Dataset", "partial_reid", "partial-reid/PartialREID"])
def test_folders_as_other_projects_call_them_are_known(tmp_path: pathlib.Path, folder: str):
    """A damaged copy is known by its name."""
    root = benchmark_fixtures.write_partial_reid(tmp_path, people=2, images=2)
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    root = root.rename(tmp_path / folder)
    (root / QUERY / "001_001.jpg").rename(root / QUERY / "001_001.jpeg")
    rows = _rows(_build("partial_reid", tmp_path, tmp_path / "data", counts=_counts(2, 2)))
    assert rows["query"][0] == (f"{QUERY}/001_001.jpeg", 1, -1, 0)
    (root / GALLERY).rename(root / "whole")
    builder = make_builder("partial_reid", tmp_path / "data")
    assert root in builder.damaged(root.parent)


def test_the_name_of_the_folder_does_not_matter(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_partial_reid(tmp_path / "archive", people=2, images=2)
    root = root.rename(root.parent / "Partial REID")
    rows = _rows(_build("partial_reid", root.parent, tmp_path / "data", counts=_counts(2, 2)))
    assert len(rows["query"]) == 4


def test_other_benchmarks_are_neither(tmp_path: pathlib.Path):
    dataset_fixtures.write_small_market(tmp_path)
    for name in ("partial_reid", "partial_ilids"):
        assert make_builder(name, tmp_path / "data").locate(tmp_path) is None
        (problem, *_) = _problems(name, tmp_path, tmp_path / "data")
        assert "expected the folders" in problem
