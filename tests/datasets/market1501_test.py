"""The Market-1501 builder: real layout, published counts, and every defect named before anything is written."""

import io
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets.images import ConvertedImage
from datasets.market1501 import market1501_dataset_builder
from experiments.runs import preparation
from tests import dataset_fixtures

COUNTS = dataset_fixtures.SMALL_MARKET_COUNTS


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    return dataset_fixtures.write_small_market(tmp_path / "archive")


def _build(archive: pathlib.Path, data_dir: pathlib.Path, counts=COUNTS) -> pathlib.Path:
    return dataset_fixtures.build("market1501", data_dir=data_dir, manual_dir=archive, counts=counts)


def _is_empty(data_dir: pathlib.Path) -> bool:
    return not any(path.is_file() for path in data_dir.glob("market1501/**/*"))


@pytest.mark.parametrize("manual_dir", ["itself", "parent"])
def test_examples_are_those_of_the_archive(archive: pathlib.Path, tmp_path: pathlib.Path, manual_dir: str):
    folder = _build(archive if manual_dir == "itself" else archive.parent, tmp_path / "data")
    assert folder == tmp_path / "data" / "market1501" / "1.0.0"
    decoders = {"image": tfds.decode.SkipDecoding()}
    splits = tfds.builder_from_directory(folder).as_data_source(decoders=decoders)
    rows = {
        split: [(e["name"].decode(), int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in source]
        for split, source in splits.items()
    }
    assert rows == {
        "train": [
            ("bounding_box_train/0002_c1s1_000451_03.jpg", 2, 0, 0),
            ("bounding_box_train/0002_c2s1_000301_01.jpg", 2, 0, 1),
            ("bounding_box_train/0010_c3s2_012345_01.jpg", 10, 1, 2),
            ("bounding_box_train/0700_c6s3_000001_00.jpg", 700, 2, 5),
        ],
        # Junk (-1) is dropped, distractors (0) stay.
        "gallery": [
            ("bounding_box_test/0000_c1s1_000151_01.jpg", 0, -1, 0),
            ("bounding_box_test/0001_c2s1_000351_02.jpg", 1, -1, 1),
            ("bounding_box_test/0003_c5s1_000351_02.jpg.jpg", 3, -1, 4),
        ],
        "query": [
            ("query/0001_c1s1_001051_00.jpg", 1, -1, 0),
            ("query/0003_c1s1_001051_00.jpg", 3, -1, 0),
        ],
    }
    for source in splits.values():
        for example in source:
            assert example["image"] == (archive / example["name"].decode()).read_bytes()


def test_images_decode_to_arrays(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path)
    example = tfds.data_source("market1501", split="query", data_dir=tmp_path)[0]
    assert example["image"].dtype == np.uint8
    expected = Image.open(io.BytesIO((archive / "query" / "0001_c1s1_001051_00.jpg").read_bytes()))
    np.testing.assert_array_equal(example["image"], np.asarray(expected))


def test_the_published_counts_are_met_by_a_full_archive(tmp_path: pathlib.Path):
    root = dataset_fixtures.write_full_market(tmp_path)
    builder = market1501_dataset_builder.Builder(data_dir=tmp_path / "data")
    found = builder.scan(root)
    assert {split: len(examples) for split, examples in found.splits.items()} == {
        "train": 12_936,
        "query": 3_368,
        "gallery": 15_913,
    }
    assert {example["label"] for example in found.splits["train"]} == set(range(751))
    assert {example["camera_id"] for example in found.splits["gallery"]} == set(range(6))
    doubled = [example for examples in found.splits.values() for example in examples if ".jpg.jpg" in example["name"]]
    assert len(doubled) == 24 - 2  # but for the junk
    assert {example["person_id"] for example in doubled} == {0, 1488}

    assert found.problems == ()

    # One image less, and one junk image more.
    (root / "query" / "0753_c1s1_000000_00.jpg").unlink()
    (root / "bounding_box_test" / "-1_c1s1_999999_00.jpg").touch()
    assert builder.scan(root).problems == (
        "query images: expected 3,368, found 3,367",
        "junk images in bounding_box_test (dropped): expected 3,819, found 3,820",
    )


def test_counts_are_held_against_the_published_ones(archive: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path, counts=None)
    message = str(error.value)
    assert str(archive) in message
    for line in (
        "train images: expected 12,936, found 4",
        "train identities: expected 751, found 3",
        "train cameras: expected 6, found 4",
        "query images: expected 3,368, found 2",
        "query identities: expected 750, found 2",
        "query cameras: expected 6, found 1",
        "gallery images: expected 15,913, found 3",
        "gallery identities: expected 750, found 2",
        "gallery cameras: expected 6, found 3",
        "gallery distractors: expected 2,798, found 1",
        "junk images in bounding_box_test (dropped): expected 3,819, found 2",
    ):
        assert line in message
    assert _is_empty(tmp_path)


def test_counts_are_stamped_into_the_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    metadata = dict(tfds.builder_from_directory(_build(archive, tmp_path)).info.metadata)
    assert metadata["counts"] == metadata["counts_expected"] == COUNTS
    assert (metadata["partial"], metadata["num_problems"], metadata["problems"]) == (False, 0, [])


def test_all_missing_folders_are_named(archive: pathlib.Path, tmp_path: pathlib.Path):
    for folder in ("query", "bounding_box_test"):
        for path in (archive / folder).iterdir():
            path.unlink()
        (archive / folder).rmdir()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert f"{archive / 'query'}: no such folder" in str(error.value)
    assert f"{archive / 'bounding_box_test'}: no such folder" in str(error.value)
    assert f"{archive / 'bounding_box_train'}: no such folder" not in str(error.value)
    assert f"{archive}: found bounding_box_train, gt_bbox, gt_query, readme.txt" in error.value.problems

    with pytest.raises(datasets.DatasetError, match=f"{tmp_path / 'nowhere'}: no such folder"):
        _build(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "reason"),
    [
        ("query", "0001_c1s1_001051_00.png", "expected a name like"),
        ("query", "0001_c7s1_001051_00.jpg", "camera c1 to c6"),
        ("query", "0001_c0s1_001051_00.jpg", "camera c1 to c6"),
        ("bounding_box_train", "notes.txt", "expected a name like"),
        ("bounding_box_train", "-1_c1s1_000401_03.jpg", "belong in bounding_box_test only"),
        ("query", "0000_c1s1_000401_03.jpg", "belong in bounding_box_test only"),
        ("query", "0001_c1s1_001051_09.jpg.jpg.jpg", "expected a name like"),
        ("query", "0001_c1s1_001051_09.jpg.png", "expected a name like"),
        ("query", f"{'9' * 40}_c1s1_001051_09.jpg", "expected a name like"),
    ],
)
def test_unexpected_names_are_errors(
    archive: pathlib.Path, tmp_path: pathlib.Path, folder: str, name: str, reason: str
):
    (archive / folder / name).touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert f"{archive / folder / name}: " in str(error.value)
    assert reason in str(error.value)


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".JPEG", ".Jpg", ".JPG.jpg"])
def test_suffixes_of_copies_are_taken_and_kept(archive: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    for path in list(archive.glob("*/*_c*.jpg")):
        path.rename(path.with_name(path.name.split(".")[0] + suffix))
    folder = _build(archive, tmp_path / "data")
    (example, _) = tfds.data_source("market1501", split="query", data_dir=tmp_path / "data")
    assert example["name"].decode() == f"query/0001_c1s1_001051_00{suffix}"
    assert dict(tfds.builder_from_directory(folder).info.metadata)["counts"] == COUNTS


@pytest.mark.parametrize("suffix", [".jpg.jpg", ".jpeg", ".JPG"])
def test_the_same_image_under_two_suffixes_is_a_problem(archive: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    shutil.copy(archive / "query" / "0001_c1s1_001051_00.jpg", archive / "query" / f"0001_c1s1_001051_00{suffix}")
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    first, second = sorted(["0001_c1s1_001051_00.jpg", f"0001_c1s1_001051_00{suffix}"])
    assert error.value.problems == (
        f"{archive}/query/{second}: extra, {first} is the same image with another suffix; keep one of the two",
    )


@pytest.mark.parametrize("times", [1, 2])
def test_a_folder_in_folders_of_its_own_name_is_found(archive: pathlib.Path, tmp_path: pathlib.Path, times: int):
    """Archives that were unpacked into folders called like them, anywhere in the folder that is given."""
    nested = tmp_path / "downloads" / "reid" / "/".join([archive.name] * times) / archive.name
    nested.parent.mkdir(parents=True)
    archive.rename(nested)
    builder = market1501_dataset_builder.Builder(data_dir=tmp_path / "data")
    for given in (tmp_path / "downloads", tmp_path / "downloads" / "reid", nested.parent, nested):
        assert builder.locate(given) == nested
        assert builder.damaged(given) == []


def test_folders_of_one_name_without_end_are_no_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle" / "circle").symlink_to(".")
    (tmp_path / "deep" / "/".join("d" * 50)).mkdir(parents=True)
    builder = market1501_dataset_builder.Builder(data_dir=tmp_path / "data")
    assert builder.locate(tmp_path / "circle") is None
    assert builder.locate(tmp_path / "deep") is None
    assert builder.locate(tmp_path) == archive
    below = tmp_path / "deep" / "/".join("d" * 50)
    archive.rename(below / archive.name)
    assert builder.locate(tmp_path / "deep") is None  # not looked for that deep
    assert builder.locate(below) == below / archive.name


def test_leavings_of_file_managers_are_ignored(archive: pathlib.Path, tmp_path: pathlib.Path):
    for name in (".DS_Store", "._0001_c1s1_001051_00.jpg", ".directory", "thumbs.db", "THUMBS.DB", "Desktop.INI"):
        (archive / "query" / name).touch()
    for name in ("Thumbs.db:encryptable", ".nfs0001"):
        (archive / "bounding_box_train" / name).touch()
    for name in ("@eaDir", "__macosx"):
        shutil.copytree(archive / "query", archive / "query" / name)
        shutil.copytree(archive, archive.parent / name)  # beside it, for the parent is given
    assert _build(archive.parent, tmp_path / "parent").is_dir()
    assert _build(archive, tmp_path).is_dir()


def test_names_that_are_not_utf_8_are_problems(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "query" / os.fsdecode(b"caf\xe9.jpg")).touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert error.value.problems[0].startswith(f"{archive}/query/caf\udce9.jpg: expected a name like")
    arguments = {"data_dir": tmp_path, "manual_dir": archive, "counts": COUNTS}
    folder = dataset_fixtures.build("market1501", allow_partial=True, **arguments)
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert metadata["problems"][0].startswith("query/caf\\udce9.jpg: expected a name like")


def test_names_that_are_not_utf_8_but_fit_are_problems(tmp_path: pathlib.Path):
    """Partial-iLIDS takes any characters behind the person."""
    root = tmp_path / "Partial_iLIDS"
    for folder in ("Probe", "Gallery"):
        (root / folder).mkdir(parents=True)
        for name in (b"1.jpg", b"2_caf\xe9.jpg"):
            (root / folder / os.fsdecode(name)).write_bytes(dataset_fixtures.encoded(0, 16, 8, "JPEG"))
    counts = {f"{split} {kind}": 2 for split in ("query", "gallery") for kind in ("images", "identities")}
    arguments = {"data_dir": tmp_path / "data", "manual_dir": root, "counts": counts}
    with pytest.raises(datasets.DatasetError) as error:
        dataset_fixtures.build("partial_ilids", **arguments)
    assert f"{root}/Probe/2_caf\udce9.jpg: expected a name in UTF-8" in error.value.problems
    dataset_fixtures.build("partial_ilids", allow_partial=True, **arguments)
    for split in ("query", "gallery"):
        source = tfds.data_source("partial_ilids", split=split, data_dir=tmp_path / "data")
        assert [int(example["person_id"]) for example in source] == [1]


def test_all_damaged_images_are_named_and_nothing_is_written(archive: pathlib.Path, tmp_path: pathlib.Path):
    truncated = archive / "query" / "0003_c1s1_001051_00.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1000])
    empty = archive / "bounding_box_train" / "0002_c1s1_000451_03.jpg"
    empty.write_bytes(b"")
    other = archive / "bounding_box_test" / "0001_c2s1_000351_02.jpg"
    Image.new("L", (64, 128)).save(other, "GIF")
    # Junk is not part of the dataset: nobody reads it.
    (archive / "bounding_box_test" / "-1_c1s1_000401_03.jpg").write_bytes(b"")
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    message = str(error.value)
    assert "is not the whole Market-1501: 3 problems, 3 of them unreadable" in message
    assert f"{truncated}: not a readable picture" in message
    assert f"{empty}: not a readable picture" in message
    assert f"{other}: not a readable picture (it is GIF; save it as JPEG or PNG)" in message
    assert _is_empty(tmp_path)


def test_pictures_that_are_no_upright_rgb_are_converted_and_counted(archive: pathlib.Path, tmp_path: pathlib.Path):
    """All others keep their bytes, be their suffix wrong or not; cameras at night give grey pictures."""
    pixels = np.random.default_rng(9).integers(0, 256, (128, 64, 3), np.uint8)
    grey, turned = pixels[..., 0], Image.Exif()
    turned[0x0112] = 8
    kept = {
        "bounding_box_train/0002_c2s1_000301_01.jpg": dataset_fixtures.encoded(1, 128, 64, "PNG"),
        "query/0003_c1s1_001051_00.jpg": (archive / "query" / "0003_c1s1_001051_00.jpg").read_bytes(),
    }
    for name, content in kept.items():
        (archive / name).write_bytes(content)
    changed = {
        "bounding_box_train/0002_c1s1_000451_03.jpg": (Image.fromarray(grey), "PNG", {}),
        "bounding_box_train/0700_c6s3_000001_00.jpg": (Image.fromarray(grey), "BMP", {}),
        "bounding_box_train/0010_c3s2_012345_01.jpg": (Image.fromarray(grey.astype(np.uint16) * 257), "PNG", {}),
        "query/0001_c1s1_001051_00.jpg": (Image.fromarray(pixels), "PNG", {"exif": turned}),
        "bounding_box_test/0001_c2s1_000351_02.jpg": (Image.fromarray(grey), "PNG", {}),
        "bounding_box_test/0003_c5s1_000351_02.jpg.jpg": (Image.fromarray(pixels), "WEBP", {"lossless": True}),
    }
    for name, (image, image_format, options) in changed.items():
        image.save(archive / name, image_format, **options)
    folder = _build(archive, tmp_path)
    found = {}
    for split in ("train", "query", "gallery"):
        source = tfds.data_source(
            "market1501", split=split, data_dir=tmp_path, decoders={"image": tfds.decode.SkipDecoding()}
        )
        found.update({example["name"].decode(): example["image"] for example in source})
    assert {name: found[name] for name in kept} == kept
    for name in changed:
        with Image.open(io.BytesIO(found[name])) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            expected = np.repeat(grey[..., None], 3, axis=-1)
            if name.startswith("query"):
                expected = np.rot90(pixels)
            elif "0003_c5" in name:
                expected = pixels
            np.testing.assert_array_equal(np.asarray(image), expected)
    metadata = tfds.builder_from_directory(folder).info.metadata
    kinds = {"16-bit grey": 1, "WebP": 1, "grey": 2, "grey + BMP": 1, "turned": 1}
    assert metadata["converted"] == kinds
    assert not metadata["partial"]
    text = preparation.describe("market1501", metadata, {"train": 4, "query": 2, "gallery": 3})
    assert "  converted to RGB: 1 16-bit grey, 1 WebP, 2 grey, 1 grey + BMP, 1 turned\n" in text

    # The same source is kept; a picture that was changed makes another one.
    stamp = (folder / "dataset_info.json").stat().st_mtime_ns
    assert _build(archive, tmp_path) == folder
    assert (folder / "dataset_info.json").stat().st_mtime_ns == stamp
    Image.fromarray(grey[::2]).save(archive / "bounding_box_train" / "0002_c1s1_000451_03.jpg", "PNG")
    with pytest.raises(datasets.DatasetError, match="was built from another source"):
        _build(archive, tmp_path)


def test_a_partial_copy_counts_the_pictures_that_it_converted(archive: pathlib.Path, tmp_path: pathlib.Path):
    Image.new("L", (64, 128)).save(archive / "query" / "0001_c1s1_001051_00.jpg")
    (archive / "query" / "0003_c1s1_001051_00.jpg").write_bytes(b"")
    arguments = {"data_dir": tmp_path, "manual_dir": archive, "counts": COUNTS}
    folder = dataset_fixtures.build("market1501", allow_partial=True, **arguments)
    metadata = tfds.builder_from_directory(folder).info.metadata
    assert (metadata["partial"], metadata["num_problems"], metadata["converted"]) == (True, 1, {"grey": 1})


def test_a_converted_image_says_what_is_wrong_with_it(tmp_path: pathlib.Path):
    Image.new("L", (64, 128)).save(tmp_path / "a.png")
    image = ConvertedImage(str(tmp_path / "a.png"))
    assert image.problem() is None
    assert image.read() == image.read()
    (tmp_path / "a.png").unlink()
    assert image.problem() == "no such file"


def test_names_counts_and_images_are_reported_in_one_error(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "bounding_box_train" / "notes.txt").touch()
    (archive / "query" / "0001_c1s1_001051_00.jpg").unlink()
    bomb = archive / "bounding_box_test" / "0001_c2s1_000351_02.jpg"
    bomb.write_bytes(dataset_fixtures.png_header(50_000, 50_000))
    truncated = archive / "query" / "0003_c1s1_001051_00.jpg"
    truncated.write_bytes(truncated.read_bytes()[:-100])
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    lines = error.value.problems
    assert lines[:3] == (
        f"{archive}/bounding_box_train/notes.txt: expected a name like 0002_c1s1_000451_03.jpg with camera c1 to c6",
        "query images: expected 2, found 1",
        "query identities: expected 2, found 1",
    )
    assert lines[3].startswith(f"{truncated}: not a readable picture (")
    assert lines[4].startswith(f"{bomb}: expected an image of at most 16,777,216 pixels, its header says ")
    assert len(lines) == 5
    for line in lines:
        assert line in str(error.value)
    assert _is_empty(tmp_path)


@pytest.mark.parametrize(
    # At Pillow's limits: above both, between them (where it only warns), below them.
    ("width", "height"),
    [(50_000, 50_000), (10_000, 10_000), (4096, 4097)],
)
def test_image_bombs_are_refused_by_their_header(
    archive: pathlib.Path, tmp_path: pathlib.Path, width: int, height: int
):
    bomb = archive / "query" / "0001_c1s1_001051_00.jpg"
    bomb.write_bytes(dataset_fixtures.png_header(width, height))
    with pytest.raises(datasets.DatasetError, match=f"{bomb}: .* at most 16,777,216 pixels(.|\n)*not decoded"):
        _build(archive, tmp_path)


def test_a_partial_copy_is_built_when_allowed(archive: pathlib.Path, tmp_path: pathlib.Path):
    """What is extra or unreadable is left out, labels stay without gaps, and the dataset says that it is partial."""
    (archive / "bounding_box_train" / "notes.txt").touch()
    (archive / "bounding_box_train" / "0010_c3s2_012345_01.jpg").write_bytes(b"")
    (archive / "bounding_box_test" / "0000_c1s1_000151_01.jpg").write_bytes(b"")
    folder = dataset_fixtures.build(
        "market1501", data_dir=tmp_path / "data", manual_dir=archive, counts=COUNTS, allow_partial=True
    )
    source = tfds.data_source("market1501", split="train", data_dir=tmp_path / "data")
    assert [(int(e["person_id"]), int(e["label"])) for e in source] == [(2, 0), (2, 0), (700, 1)]
    metadata = dict(tfds.builder_from_directory(folder).info.metadata)
    assert metadata["partial"] is True
    assert metadata["num_problems"] == len(metadata["problems"]) == 3
    assert metadata["problems"][0].startswith("bounding_box_train/notes.txt: expected a name like")
    changes = {
        "train images": 3,
        "train identities": 2,
        "train cameras": 3,
        "gallery images": 2,
        "gallery cameras": 2,
        "gallery distractors": 0,
    }
    assert metadata["counts"] == {**COUNTS, **changes}
    assert metadata["counts_expected"] == COUNTS


def test_a_complete_copy_is_not_partial(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = dataset_fixtures.build(
        "market1501", data_dir=tmp_path / "data", manual_dir=archive, counts=COUNTS, allow_partial=True
    )
    assert dict(tfds.builder_from_directory(folder).info.metadata)["partial"] is False
    assert _build(archive, tmp_path / "data") == folder


def test_an_empty_split_makes_no_partial_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    for path in (archive / "query").glob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(datasets.DatasetError) as error:
        dataset_fixtures.build("market1501", data_dir=tmp_path, manual_dir=archive, counts=COUNTS, allow_partial=True)
    assert "not even a partial Market-1501 can be built" in str(error.value)
    assert error.value.problems[0] == "the split 'query' is empty"
    assert len(error.value.problems) == 3
    assert _is_empty(tmp_path)


def test_partial_and_complete_never_replace_each_other(archive: pathlib.Path, tmp_path: pathlib.Path):
    image = archive / "query" / "0001_c1s1_001051_00.jpg"
    content = image.read_bytes()
    arguments = {"data_dir": tmp_path, "manual_dir": archive, "counts": COUNTS}
    # Partial by an image of the same size that cannot be read.
    image.write_bytes(bytes(len(content)))
    folder = dataset_fixtures.build("market1501", allow_partial=True, **arguments)
    assert dataset_fixtures.build("market1501", allow_partial=True, **arguments) == folder
    image.write_bytes(content)
    with pytest.raises(datasets.DatasetError, match=r"\(a partial dataset\) was built .* in spite of 1 problem\."):
        dataset_fixtures.build("market1501", **arguments)
    assert len(tfds.data_source("market1501", split="query", data_dir=tmp_path)) == 1

    shutil.rmtree(folder)
    assert dataset_fixtures.build("market1501", **arguments) == folder
    image.unlink()
    with pytest.raises(datasets.DatasetError, match="was built from another source"):
        dataset_fixtures.build("market1501", allow_partial=True, **arguments)
    with pytest.raises(datasets.DatasetError, match="query images: expected 2, found 1"):
        dataset_fixtures.build("market1501", **arguments)
    assert len(tfds.data_source("market1501", split="query", data_dir=tmp_path)) == 2


def test_dukes_folder_is_not_taken_for_markets(tmp_path: pathlib.Path):
    duke = dataset_fixtures.write_small_duke(tmp_path)
    with pytest.raises(datasets.DatasetError, match=r"like 0002_c1s1_000451_03.jpg (.|\n)*hold 0001_c1_f0044158.jpg"):
        _build(duke, tmp_path / "data")


def test_long_lists_are_cut_with_a_count(archive: pathlib.Path, tmp_path: pathlib.Path):
    for index in range(30):
        (archive / "query" / f"extra{index:02d}").touch()
    with pytest.raises(datasets.DatasetError) as error:
        _build(archive, tmp_path)
    assert "extra19" in str(error.value)
    assert "extra20" not in str(error.value)
    assert "and 10 more (30 in all)" in str(error.value)
    assert len(error.value.problems) == 30
