"""The MSMT17 builder: V1 and V2, lists that come from outside, and the published size.

Defects that these tests plant:

- Lists: absent (and images missing besides), of an absurd size, under each other's name.
- Lines: a path out of the folder or an absolute one, no identity, endless digits, a byte that is no ASCII.
- Lines: path and identity at odds, camera 00 or 16, an image given twice in a list or in two.
- Images: missing, a person's folder missing, in no list, truncated; a file among the people, a folder among the images.
- Cameras: one too few in the gallery.
- Folders: training images absent, both releases side by side or in one folder.
- Copies: suffixes that differ from the lists', the same image under two suffixes; Market-1501's folders, called anything.
"""

import pathlib
import shutil

import pytest
import tensorflow_datasets as tfds

import datasets
from datasets.msmt17 import msmt17_dataset_builder
from tests import dataset_fixtures
from tests.datasets import benchmark_fixtures

COUNTS = benchmark_fixtures.SMALL_MSMT_COUNTS


@pytest.fixture(params=["V1", "V2"])
def release(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(tmp_path: pathlib.Path, release: str) -> pathlib.Path:
    return benchmark_fixtures.write_small_msmt(tmp_path / "archive", release)


def _build(manual_dir: pathlib.Path, data_dir: pathlib.Path, **arguments) -> pathlib.Path:
    arguments = {"counts": COUNTS, **arguments}
    return dataset_fixtures.build("msmt17", data_dir=data_dir, manual_dir=manual_dir, **arguments)


def _problems(manual_dir: pathlib.Path, data_dir: pathlib.Path, **arguments) -> list[str]:
    with pytest.raises(datasets.DatasetError) as error:
        _build(manual_dir, data_dir, **arguments)
    assert not list(data_dir.glob("msmt17/**/*.array_record*"))
    return list(error.value.problems)


def _rows(folder: pathlib.Path) -> dict[str, list[tuple[str, int, int, int]]]:
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    return {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }


def _expected_rows(release: str) -> dict[str, list[tuple[str, int, int, int]]]:
    train, test = benchmark_fixtures.MSMT_FOLDERS[release]
    return {
        # In the lists' order. Labels count 0, 1, 5, 7: the people of train and val together.
        "train": [
            (f"{train}/0000/0000_000_01_0303morning_0008_0.jpg", 0, 0, 0),
            (f"{train}/0000/0000_001_15_0303morning_0010_0.jpg", 0, 0, 14),
            (f"{train}/0005/0005_000_02_0113noon_0480_1_ex.jpg", 5, 2, 1),
            (f"{train}/0001/0001_000_03_0114afternoon_0008_2.jpg", 1, 1, 2),
        ],
        "val": [
            (f"{train}/0000/0000_002_04_0302morning_0100_0.jpg", 0, 0, 3),
            (f"{train}/0007/0007_000_05_0302morning_0100_0.jpg", 7, 3, 4),
        ],
        # Other people than those of the same number in train.
        "query": [
            (f"{test}/0000/0000_000_01_0303noon_0008_0.jpg", 0, -1, 0),
            (f"{test}/0001/0001_000_06_0303noon_0009_0.jpg", 1, -1, 5),
        ],
        "gallery": [
            (f"{test}/0000/0000_001_14_0303noon_0100_0.jpg", 0, -1, 13),
            (f"{test}/0001/0001_001_07_0303noon_0101_0.jpg", 1, -1, 6),
            (f"{test}/0001/0001_002_06_0303noon_0102_0.jpg", 1, -1, 5),
        ],
    }


@pytest.mark.parametrize("given", ["itself", "parent", "archive"])
def test_examples_are_those_of_the_lists(root: pathlib.Path, tmp_path: pathlib.Path, release: str, given: str):
    manual_dir = root
    if given == "parent":
        manual_dir = root.parent
    elif given == "archive":
        manual_dir = dataset_fixtures.pack(root, tmp_path / f"{root.name}.tar.gz")
    folder = _build(manual_dir, tmp_path / "data")
    assert _rows(folder) == _expected_rows(release)
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert metadata["release"] == release
    assert metadata["partial"] is False
    source = tfds.data_source("msmt17", split="val", data_dir=tmp_path / "data")
    assert source[0]["image"].shape == (32, 16, 3)
    splits = tfds.builder_from_directory(folder).as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
    for source in splits.values():
        for example in source:
            assert example["image"] == (root / example["name"].decode()).read_bytes()


def test_the_published_counts_are_met_by_a_full_archive(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_full_msmt(tmp_path / "archive")
    builder = msmt17_dataset_builder.Builder(data_dir=tmp_path)
    found = builder.scan(tmp_path)
    numbers = {split: len(examples) for split, examples in found.splits.items()}
    assert numbers == {"train": 30_248, "val": 2_373, "query": 11_659, "gallery": 82_161}
    assert found.problems == ()
    counts = found.metadata["counts"]
    assert found.metadata["counts_expected"] == builder.COUNTS
    assert (counts["train+val images"], counts["train+val identities"], counts["cameras"]) == (32_621, 1_041, 15)

    # One image less and one that no list names. Lists under each other's name: each split is counted, not only sums.
    name = "test/0000/0000_000_01_0303morning_0000_0.jpg"
    (root / name).rename(root / "test" / "0000" / "0000_999_01_0303morning_0000_0.jpg")
    train, val = (root / f"list_{split}.txt" for split in ("train", "val"))
    train.rename(root / "swapped")
    val.rename(train)
    (root / "swapped").rename(val)
    assert builder.scan(root).problems == (
        f"{root}/{name}: missing, {root}/list_query.txt:1 names it",
        f"{root}/test/0000/0000_999_01_0303morning_0000_0.jpg: extra, no list names it",
        "train images: expected 30,248, found 2,373",
        "val images: expected 2,373, found 30,248",
        "query images: expected 11,659, found 11,658",
    )


@pytest.mark.parametrize("names_in_lists", ["old", "new"])
@pytest.mark.parametrize("suffix", [".jpeg", ".JPG"])
def test_suffixes_of_copies_are_taken_and_kept(
    root: pathlib.Path, tmp_path: pathlib.Path, release: str, suffix: str, names_in_lists: str
):
    for path in list(root.glob("*/*/[0-9]*.jpg")):
        path.rename(path.with_suffix(suffix))
    if names_in_lists == "new":
        for path in root.glob("list_*.txt"):
            path.write_bytes(path.read_bytes().replace(b".jpg", suffix.encode()))
    expected = {
        split: [(name.replace(".jpg", suffix), *rest) for name, *rest in rows]
        for split, rows in _expected_rows(release).items()
    }
    assert _rows(_build(root, tmp_path / "data")) == expected


def test_the_same_image_under_two_suffixes_is_a_problem(root: pathlib.Path, tmp_path: pathlib.Path, release: str):
    image = root / benchmark_fixtures.MSMT_FOLDERS[release][1] / "0001" / "0001_000_06_0303noon_0009_0.jpg"
    shutil.copy(image, image.with_suffix(".jpeg"))
    with open(root / "list_gallery.txt", "a") as file:
        file.write("0001/0001_000_06_0303noon_0009_0.jpeg 1\n")
    assert _problems(root, tmp_path / "data") == [
        f"{image}: extra, {image.stem}.jpeg is the same image with another suffix; keep one of the two",
        f"{root}/list_gallery.txt:4: {image.parent.parent.name}/0001/{image.stem}.jpeg is also at "
        f"{root}/list_query.txt:2",
    ]


@pytest.mark.parametrize(
    ("folder", "release"), [("MSMT17", "unknown"), ("msmt17_v1", "V1"), ("MSMT17_V2/market_style", "V2")]
)
def test_a_copy_with_the_folders_of_market_is_train_and_val_in_one(tmp_path: pathlib.Path, folder: str, release: str):
    root = benchmark_fixtures.write_renamed_msmt(tmp_path / "downloads" / folder)
    (root / "query" / "0001_c6_0001.jpg").rename(root / "query" / "0001_000_06_0303noon_0009_0_ex.JPG")
    built = _build(tmp_path / "downloads", tmp_path / "data", counts=benchmark_fixtures.RENAMED_MSMT_COUNTS)
    assert _rows(built) == {
        "train": [
            ("bounding_box_train/0000_c15_0001.jpg", 0, 0, 14),
            ("bounding_box_train/0000_c1_0000.jpg", 0, 0, 0),
            ("bounding_box_train/0007_c2_0002.jpg", 7, 1, 1),
        ],
        "query": [
            ("query/0000_c1_0000.jpg", 0, -1, 0),
            ("query/0001_000_06_0303noon_0009_0_ex.JPG", 1, -1, 5),
        ],
        "gallery": [
            ("bounding_box_test/0000_c14_0002.jpg", 0, -1, 13),
            ("bounding_box_test/0001_c7_0003.jpg", 1, -1, 6),
        ],
    }
    metadata = dict(tfds.builder_from_directory(built).info.metadata)
    assert (metadata["release"], metadata["partial"]) == (release, False)
    # The sum of the two is compared, not each of them.
    assert not {"train images", "val images"} & set(metadata["counts_expected"])
    (root / "bounding_box_train" / "0007_c16_0002.jpg").touch()
    shutil.copy(root / "query" / "0000_c1_0000.jpg", root / "query" / "0000_c1_0000.jpeg")
    assert _problems(root, tmp_path / "other", counts=None)[:3] == [
        f"{root}/bounding_box_train/0007_c16_0002.jpg: expected a name like 0000_c1_0000.jpg or "
        "0000_000_01_0303morning_0008_0.jpg with camera c1 to c15",
        f"{root}/query/0000_c1_0000.jpg: extra, 0000_c1_0000.jpeg is the same image with another suffix; keep one of the two",
        "train+val images: expected 32,621, found 3",
    ]


def test_folders_of_market_that_nobody_calls_msmt17_are_not_taken_for_it(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_renamed_msmt(tmp_path / "reid")
    assert _problems(root, tmp_path / "data")[1] == f"{root}: found bounding_box_test, bounding_box_train, query"


def test_every_defect_in_one_error(root: pathlib.Path, tmp_path: pathlib.Path, release: str):
    train, test = benchmark_fixtures.MSMT_FOLDERS[release]
    lists = {split: list(lines) for split, lines in benchmark_fixtures.SMALL_MSMT.items()}
    lists["train"] += [
        "../test/0000/0000_000_01_0303noon_0008_0.jpg 0",
        "/etc/0000_000_01_0303noon_0008_0.jpg 0",
        "0000/../../0000_000_01_0303noon_0008_0.jpg 0",
        "0000/0000_000_01_0303morning_0008_0.jpg",
        "0000/0000_009_01_0303morning_0008_0.jpg 1",
        "0001/0002_009_01_0303morning_0008_0.jpg 1",
        "0000/0000_008_16_0303morning_0008_0.jpg 0",
        "0000/0000_007_00_0303morning_0008_0.jpg 0",
        "0000/0000_000_01_0303morning_0008_0.jpg 0",
        f"{'9' * 5000}/0000_007_01_0303morning_0008_0.jpg 0",
        "",
    ]
    lists["val"] += [lists["train"][1], "0007/0007_001_05_0302morning_0100_0.jpg 7"]
    lists["gallery"].append(lists["query"][0])
    benchmark_fixtures.write_msmt_lists(root, lists)
    with open(root / "list_query.txt", "ab") as file:
        file.write(b"0000/0000_000_01_\xff.jpg 0\r\n")
    (root / train / "0001" / "0001_005_03_0114afternoon_0008_2.jpg").touch()
    (root / test / "readme.txt").touch()
    (root / test / "0001" / "more").mkdir()
    damaged = root / test / "0000" / "0000_001_14_0303noon_0100_0.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])

    path = {split: root / f"list_{split}.txt" for split in lists}
    line = "expected a line like 0000/0000_000_01_0303morning_0008_0.jpg 0, found"
    agree = "the path and the identity do not agree, found"
    camera = "expected a camera from 01 to 15, found"
    problems = _problems(root, tmp_path / "data")
    assert problems[:-1] == [
        f"{root / test / 'readme.txt'}: extra, expected folders 0000, 0001, ... here",
        f"{path['train']}:5: {line} '../test/0000/0000_000_01_0303noon_0008_0.jpg 0'",
        f"{path['train']}:6: {line} '/etc/0000_000_01_0303noon_0008_0.jpg 0'",
        f"{path['train']}:7: {line} '0000/../../0000_000_01_0303noon_0008_0.jpg 0'",
        f"{path['train']}:8: {line} '0000/0000_000_01_0303morning_0008_0.jpg'",
        f"{path['train']}:9: {agree} '0000/0000_009_01_0303morning_0008_0.jpg 1'",
        f"{path['train']}:10: {agree} '0001/0002_009_01_0303morning_0008_0.jpg 1'",
        f"{path['train']}:11: {camera} '0000/0000_008_16_0303morning_0008_0.jpg 0'",
        f"{path['train']}:12: {camera} '0000/0000_007_00_0303morning_0008_0.jpg 0'",
        f"{path['train']}:13: {train}/0000/0000_000_01_0303morning_0008_0.jpg is also at {path['train']}:1",
        f"{path['train']}:14: {line} '{'9' * 200}'",
        f"{path['val']}:3: {train}/0000/0000_001_15_0303morning_0010_0.jpg is also at {path['train']}:2",
        f"{root / train}/0007/0007_001_05_0302morning_0100_0.jpg: missing, {path['val']}:4 names it",
        f"{path['query']}:3: {line} '0000/0000_000_01_\\\\xff.jpg 0'",
        f"{path['gallery']}:4: {test}/0000/0000_000_01_0303noon_0008_0.jpg is also at {path['query']}:1",
        f"{root / train}/0001/0001_005_03_0114afternoon_0008_2.jpg: extra, no list names it",
        f"{root / test}/0001/more: extra, no list names it",
    ]
    assert problems[-1].startswith(f"{damaged}: not a readable picture")

    folder = _build(root, tmp_path / "partial", allow_partial=True)
    expected = _expected_rows(release)
    expected["gallery"] = expected["gallery"][1:]
    assert _rows(folder) == expected
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert (metadata["partial"], metadata["num_problems"], metadata["release"]) == (True, 18, release)


def test_missing_images_close_the_gaps_in_the_labels_of_train_and_val(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_small_msmt(tmp_path / "archive", "V1")
    shutil.rmtree(root / "train" / "0001")
    assert _problems(root, tmp_path / "data") == [
        f"{root}/train/0001/0001_000_03_0114afternoon_0008_2.jpg: missing, {root}/list_train.txt:4 names it",
        "train images: expected 4, found 3",
        "train+val images: expected 6, found 5",
        "train+val identities: expected 4, found 3",
        "cameras: expected 9, found 8",
    ]
    rows = _rows(_build(root, tmp_path / "partial", allow_partial=True))
    assert [(person, label) for _, person, label, _ in rows["train"]] == [(0, 0), (0, 0), (5, 1)]
    assert [(person, label) for _, person, label, _ in rows["val"]] == [(0, 0), (7, 2)]


def test_cameras_are_counted_in_query_and_in_gallery(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_small_msmt(tmp_path / "archive", "V1")
    # The gallery loses camera 14 to another that it has already.
    lists = {split: list(lines) for split, lines in benchmark_fixtures.SMALL_MSMT.items()}
    lists["gallery"][0] = lists["gallery"][0].replace("_14_", "_07_")
    old, new = (root / "test" / lines["gallery"][0].split(" ")[0] for lines in (benchmark_fixtures.SMALL_MSMT, lists))
    old.rename(new)
    benchmark_fixtures.write_msmt_lists(root, lists)
    assert _problems(root, tmp_path / "data") == [
        "gallery cameras: expected 3, found 2",
        "cameras: expected 9, found 8",
    ]
    published = msmt17_dataset_builder.Builder.COUNTS
    assert [published[f"{part}cameras"] for part in ("query ", "gallery ", "")] == [15, 15, 15]


def test_missing_lists_and_folders_are_named_even_for_a_partial_copy(
    root: pathlib.Path, tmp_path: pathlib.Path, release: str
):
    train, test = benchmark_fixtures.MSMT_FOLDERS[release]
    (root / "list_val.txt").unlink()
    assert _problems(root, tmp_path / "data", allow_partial=True) == [f"{root / 'list_val.txt'}: no such file"]
    # What the other lists name is looked for all the same; without one of them nothing can be called extra.
    query = benchmark_fixtures.SMALL_MSMT["query"][1].split(" ")[0]
    (root / test / query).unlink()
    assert _problems(root, tmp_path / "data", allow_partial=True) == [
        f"{root / 'list_val.txt'}: no such file",
        f"{root / test / query}: missing, {root / 'list_query.txt'}:2 names it",
    ]
    shutil.rmtree(root / train)
    for split in ("train", "query", "gallery"):
        (root / f"list_{split}.txt").unlink()
    assert _problems(root, tmp_path / "data", allow_partial=True) == [
        *(f"{root}/list_{split}.txt: no such file" for split in ("train", "val", "query", "gallery")),
        f"{root / train}: no such folder",
    ]


def test_both_releases_in_one_folder_are_an_error(tmp_path: pathlib.Path):
    roots = [benchmark_fixtures.write_small_msmt(tmp_path / "archive", release) for release in ("V1", "V2")]
    with pytest.raises(datasets.DatasetError, match="Give the folder of the one to build") as error:
        _build(tmp_path / "archive", tmp_path / "data")
    assert list(error.value.problems) == [str(root) for root in roots]
    # One of them is built, and the other is refused in the same data_dir.
    folder = _build(roots[0], tmp_path / "data")
    assert dict(tfds.builder_from_directory(folder).info.metadata)["release"] == "V1"
    with pytest.raises(datasets.DatasetError, match="was built from another source"):
        _build(roots[1], tmp_path / "data")

    # The folders of both under one roof.
    shutil.move(roots[1] / "mask_test_v2", roots[0])
    assert _problems(roots[0], tmp_path / "other") == [f"{roots[0]}/mask_test_v2: does not belong to MSMT17 V1"]


def test_a_list_of_an_absurd_size_is_not_read(tmp_path: pathlib.Path):
    root = benchmark_fixtures.write_small_msmt(tmp_path / "archive", "V1")
    with open(root / "list_val.txt", "r+b") as file:
        file.truncate(msmt17_dataset_builder.MAX_LIST_BYTES + 1)
    assert _problems(root, tmp_path / "data") == [
        f"{root}/list_val.txt: expected at most 67,108,864 bytes, found 67,108,865"
    ]


def test_what_is_expected_is_said_where_nothing_is(tmp_path: pathlib.Path):
    (tmp_path / "archive").mkdir()
    assert _problems(tmp_path / "archive", tmp_path / "data")[1] == f"{tmp_path / 'archive'}: found nothing"
    for number in range(10):
        (tmp_path / "archive" / f"photo{number}.jpg").touch()
    expected, found = _problems(tmp_path / "archive", tmp_path / "data")
    assert "expected MSMT17_V1 (folders train, test) or MSMT17_V2" in expected
    assert found.startswith(f"{tmp_path / 'archive'}: found photo0.jpg, photo1.jpg, ")
    assert found.endswith(", photo7.jpg and 2 more")
