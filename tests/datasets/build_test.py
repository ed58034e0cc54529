"""Building: whole or not at all, once, from one source; textured copies; reading without this repository."""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets import archives, build, builder
from datasets.images import ConvertedImage
from datasets.market1501 import market1501_dataset_builder
from san_jax import folder_lock
from san_jax.data import pipeline, reading
from tests import dataset_fixtures

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
COUNTS = dataset_fixtures.SMALL_MARKET_COUNTS


@pytest.fixture
def archive(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(market1501_dataset_builder.Builder, "COUNTS", COUNTS)
    return dataset_fixtures.write_small_market(tmp_path / "archive")


def _build(archive: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    return datasets.build_dataset("market1501", data_dir=data_dir, manual_dir=archive)


def _content(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def _make_grey(path: pathlib.Path) -> None:
    """Replaces an image by a grey one, which is converted while the records are written."""
    Image.open(path).convert("L").save(path)


def _write_textures(folder: pathlib.Path, seed: int = 0, size: int = 256) -> None:
    for number, name in enumerate(sorted(dataset_fixtures.SMALL_MARKET["bounding_box_train"])):
        path = folder / "bounding_box_train" / name.replace(".jpg", ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(seed + number, size, size, "PNG"))


def test_an_unknown_name_lists_the_known(tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError, match=r"Unknown dataset 'market'; .*pit, pit_reid, market1501"):
        datasets.build_dataset("market", data_dir=tmp_path, manual_dir=tmp_path)


def test_builds_are_deterministic(archive: pathlib.Path, tmp_path: pathlib.Path):
    first, second = _build(archive, tmp_path / "a"), _build(archive, tmp_path / "b")
    records = {name: data for name, (data, _) in _content(first).items() if "array_record" in name}
    assert len(records) == 3
    assert records == {name: data for name, (data, _) in _content(second).items() if "array_record" in name}


def test_a_dataset_from_the_same_source_is_kept(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = _build(archive, tmp_path)
    before = _content(folder)
    assert _build(archive, tmp_path) == folder
    assert _content(folder) == before


def test_a_dataset_from_another_source_is_refused_and_kept(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = _build(archive, tmp_path)
    before = _content(folder)
    image = archive / "query" / "0001_c1s1_001051_00.jpg"
    image.write_bytes(dataset_fixtures.encoded(99, 128, 65, "JPEG"))
    with pytest.raises(datasets.DatasetError, match=f"{folder} was built from another source .*Remove that folder"):
        _build(archive, tmp_path)
    assert _content(folder) == before


def test_a_foreign_folder_is_refused(archive: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "market1501" / "1.0.0").mkdir(parents=True)
    with pytest.raises(datasets.DatasetError, match="holds no TFDS dataset"):
        _build(archive, tmp_path)


def test_a_failure_while_writing_leaves_nothing(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(image: ConvertedImage) -> bytes:
        raise KeyboardInterrupt

    _make_grey(archive / "bounding_box_train" / "0700_c6s3_000001_00.jpg")  # the last one
    with monkeypatch.context() as patch:
        patch.setattr(ConvertedImage, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _build(archive, tmp_path)
    assert not (tmp_path / "market1501").exists()
    assert len(tfds.data_source("market1501", split="train", data_dir=_build(archive, tmp_path).parents[1])) == 4


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_folder_and_archive_make_the_same_dataset(archive: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    packed = dataset_fixtures.pack(archive, tmp_path / f"Market-1501-v15.09.15.{suffix}")
    first = _content(_build(archive, tmp_path / "a"))
    folder = _build(packed, tmp_path / "b")
    assert list(folder.parent.iterdir()) == [folder]  # nothing that was unpacked stays
    second = _content(folder)
    records = [name for name in first if "array_record" in name]
    assert len(records) == 3
    for name in records:
        assert second[name][0] == first[name][0]
    # Either is the other's source.
    assert _build(packed, tmp_path / "a") == tmp_path / "a" / "market1501" / "1.0.0"
    assert _content(tmp_path / "a" / "market1501" / "1.0.0") == first
    assert _build(archive, tmp_path / "b") == folder
    assert _content(folder) == second


def test_an_archive_that_was_built_is_not_unpacked_again(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    folder = _build(packed, tmp_path / "data")
    monkeypatch.setattr(archives, "unpack", None)
    assert _build(packed, tmp_path / "data") == folder
    with open(packed, "ab") as file:
        file.write(b"more")
    with pytest.raises(TypeError, match="not callable"):
        _build(packed, tmp_path / "data")


@pytest.mark.parametrize("name", ["Market-1501-v15.09.15.zip", "market-1501-v15.09.15 (1).ZIP", "Market1501.tar"])
def test_an_archive_is_found_in_its_folder(archive: pathlib.Path, tmp_path: pathlib.Path, name: str):
    (tmp_path / "downloads").mkdir()
    suffix = pathlib.Path(name).suffix.lower()
    dataset_fixtures.pack(archive, tmp_path / f"a{suffix}").rename(tmp_path / "downloads" / name)
    (tmp_path / "downloads" / "DukeMTMC-reID.zip").write_bytes(b"another one")
    assert _build(tmp_path / "downloads", tmp_path / "data").is_dir()
    # A folder goes before an archive that may be a part of it.
    shutil.copytree(archive, tmp_path / "downloads" / archive.name)
    (tmp_path / "downloads" / name).write_bytes(b"damaged")
    assert _build(tmp_path / "downloads", tmp_path / "again").is_dir()


def test_of_several_archives_one_is_to_be_chosen(archive: pathlib.Path, tmp_path: pathlib.Path):
    for name in ("Market-1501-v15.09.15.zip", "Market-1501-v15.09.15.tar"):
        dataset_fixtures.pack(archive, tmp_path / name)
    (tmp_path / "downloads").mkdir()
    for path in tmp_path.glob("*.*"):
        path.rename(tmp_path / "downloads" / path.name)
    with pytest.raises(datasets.DatasetError) as error:
        _build(tmp_path / "downloads", tmp_path / "data")
    assert len(error.value.problems) == 2
    assert "Give the folder of the one to build, or its archive, as manual_dir" in str(error.value)


def _small(root: pathlib.Path, folders: tuple[str, ...], name: str) -> pathlib.Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / name).touch()
    return root


def _locate(name: str, folder: pathlib.Path) -> pathlib.Path | None:
    return build.make_builder(name, folder.parent / "data").locate(folder)


MARKET, DUKE = "0002_c1s1_000451_03.jpg", "0001_c2_f0046182.jpg"


def test_what_is_called_so_goes_before_what_only_looks_like_it(tmp_path: pathlib.Path):
    folder = tmp_path / "downloads"
    _small(folder / "Market-1501-resized", dataset_fixtures.MARKET_FOLDERS, MARKET)
    market = _small(folder / "Market-1501-v15.09.15", dataset_fixtures.MARKET_FOLDERS, MARKET)
    assert _locate("market1501", folder) == market
    # An archive of the name as well.
    occluded = _small(folder / "Occluded_Duke", dataset_fixtures.MARKET_FOLDERS, DUKE)
    assert _locate("dukemtmc_reid", folder) == occluded
    (folder / "DukeMTMC-reID.zip").touch()
    assert _locate("dukemtmc_reid", folder) == folder / "DukeMTMC-reID.zip"
    assert _locate("dukemtmc_reid", occluded) == occluded  # what is given is meant
    _small(folder / "OccludedREID", ("query", "gallery"), "001.jpg")
    ilids = _small(folder / "PartialiLIDS", ("query", "gallery"), "001.jpg")
    assert _locate("partial_ilids", folder) == ilids


@pytest.mark.parametrize("names", [("a", "b"), ("Market-1501-v15.09.15", "more/market1501")])
def test_of_several_folders_one_is_to_be_chosen(tmp_path: pathlib.Path, names: tuple[str, str]):
    folder = tmp_path / "downloads"
    roots = [_small(folder / name, dataset_fixtures.MARKET_FOLDERS, MARKET) for name in names]
    with pytest.raises(datasets.DatasetError, match="holds more than one Market-1501") as error:
        _locate("market1501", folder)
    assert error.value.problems == tuple(map(str, roots))
    with pytest.raises(datasets.DatasetError, match="holds more than one Market-1501"):
        _build(folder, tmp_path / "data")


def test_a_damaged_folder_is_not_replaced_by_what_looks_like_it(tmp_path: pathlib.Path):
    folder = tmp_path / "downloads"
    duke = dataset_fixtures.write_small_duke(folder)
    shutil.copytree(duke, folder / "Occluded_Duke")
    shutil.rmtree(duke / "query")
    with pytest.raises(datasets.DatasetError, match=f"{duke / 'query'}: no such folder"):
        dataset_fixtures.build(
            "dukemtmc_reid",
            data_dir=tmp_path / "data",
            manual_dir=folder,
            counts=dataset_fixtures.SMALL_DUKE_COUNTS,
            allow_partial=True,
        )
    assert build.is_there("dukemtmc_reid", data_dir=tmp_path / "data", manual_dir=folder)
    # A folder of the name with the whole one in it is none that lacks a part.
    shutil.rmtree(duke)
    (folder / "Occluded_Duke").rename(folder / "whole")
    (folder / "dukemtmc-reid").mkdir()
    (folder / "whole").rename(folder / "dukemtmc-reid" / "whole")
    assert _locate("dukemtmc_reid", folder) == folder / "dukemtmc-reid" / "whole"


def test_a_built_dataset_is_no_damaged_source(archive: pathlib.Path, tmp_path: pathlib.Path):
    """data_dir may be manual_dir, and datasets are called as folders may be."""
    assert build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=archive)
    _build(archive, tmp_path / "data")
    assert not build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=tmp_path / "data")


def test_a_link_to_a_folder_is_no_second_one(tmp_path: pathlib.Path):
    root = _small(tmp_path / "downloads" / "Market-1501-v15.09.15", dataset_fixtures.MARKET_FOLDERS, MARKET)
    (tmp_path / "downloads" / "market1501").symlink_to(root)
    found = _locate("market1501", tmp_path / "downloads")
    assert found is not None
    assert found.resolve() == root


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("dukemtmc_reid", "DukeMTMC-reID.zip", "DukeMTMC-VideoReID.zip"),
        ("dukemtmc_reid", "dukemtmc-reid (1).zip", "DukeMTMC-reID_evaluation-master.zip"),
        ("market1501", "Market-1501-v15.09.15.zip", "Market-1501_Attribute-master.zip"),
        ("market1501", "Market-1501-v15.09.15-20240102T030405Z-001.zip", "Market-1501-resized.zip"),
        ("cuhk03/labeled", "cuhk03_release.zip", "CUHK-SYSU.zip"),
        ("cuhk03/detected", "CUHK03-NP.zip", "cuhk03-np-labeled.zip"),
        ("cuhk03/labeled", "cuhk03_np_labeled.tar", "cuhk03_np_detected.tar"),
        ("msmt17", "MSMT17_V1.tar.gz", "MSMT17_V1.tar.gz.md5"),
        ("msmt17", "MSMT17_V2.TAR", "MSMT17_V2.tar.part"),
        ("partial_reid", "Partial_REID.tgz", "Partial_REID_dataset.txt"),
        ("partial_ilids", "Partial-iLIDS.tar.xz", "Partial-iLIDS.tar.xz.sha256"),
    ],
)
def test_archives_are_told_by_their_names(tmp_path: pathlib.Path, name: str, right: str, wrong: str):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / wrong).touch()
    assert _locate(name, tmp_path / "downloads") is None
    (tmp_path / "downloads" / right).touch()
    assert _locate(name, tmp_path / "downloads") == tmp_path / "downloads" / right


def test_an_archive_one_folder_down(archive: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "data-sets" / "market1501").mkdir(parents=True)
    packed = dataset_fixtures.pack(archive, tmp_path / "data-sets" / "market1501" / "Market-1501-v15.09.15.zip")
    assert _locate("market1501", tmp_path / "data-sets") == packed
    assert build.is_there("market1501", data_dir=tmp_path / "data", manual_dir=tmp_path / "data-sets")


def test_defects_in_an_archive_are_named_by_the_archive(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "query" / "0001_c1s1_001051_00.jpg").write_bytes(b"")
    (archive / "query" / "notes.txt").touch()
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    with pytest.raises(datasets.DatasetError) as error:
        _build(packed, tmp_path / "data")
    notes, image = error.value.problems
    assert notes.startswith(f"{packed}/Market-1501-v15.09.15/query/notes.txt: expected a name like")
    assert image.startswith(f"{packed}/Market-1501-v15.09.15/query/0001_c1s1_001051_00.jpg: not a readable")
    assert "incomplete." not in str(error.value)
    assert not (tmp_path / "data" / "market1501").exists()


def test_an_unsafe_archive_leaves_nothing_and_says_where_to_get_it(archive: pathlib.Path, tmp_path: pathlib.Path):
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    with zipfile.ZipFile(packed, "a") as file:
        file.writestr("Market-1501-v15.09.15/../../../../evil.txt", b"evil")
    with pytest.raises(datasets.DatasetError, match=r"evil.txt': refused: .*(.|\n)*Get Market-1501 from its authors"):
        _build(packed, tmp_path / "data")
    assert not (tmp_path / "data" / "market1501").exists()
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_larger_than_the_benchmark_is_refused(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    monkeypatch.setattr(market1501_dataset_builder.Builder, "MAX_UNPACKED_BYTES", 20_000)
    with pytest.raises(datasets.DatasetError, match="unpacks to more than 20,000 bytes"):
        _build(packed, tmp_path / "data")


# Slow in one of the stages of a build; says so when it gets there.
_SLOW_BUILD = """
    import sys, time
    import zipfile
    import datasets
    from datasets.images import ConvertedImage
    from datasets.market1501.market1501_dataset_builder import Builder
    from PIL import Image

    def slow(function):
        def wrapper(*arguments, **options):
            print("slow", flush=True)
            time.sleep(0.5)
            return function(*arguments, **options)
        return wrapper

    stage, manual_dir, data_dir, counts = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
    if stage == "unpack":
        zipfile.ZipFile.open = slow(zipfile.ZipFile.open)
    elif stage == "check":
        Image.open = slow(Image.open)
    else:
        ConvertedImage.read = slow(ConvertedImage.read)
    Builder.COUNTS = counts
    datasets.build_dataset("market1501", data_dir=data_dir, manual_dir=manual_dir)
"""


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("unpack", signal.SIGKILL),
        ("check", signal.SIGKILL),
        ("write", signal.SIGKILL),
        ("write", signal.SIGTERM),
        ("check", signal.SIGINT),
        ("unpack", signal.SIGINT),
    ],
)
def test_a_build_that_is_killed_leaves_no_half_dataset(
    archive: pathlib.Path, tmp_path: pathlib.Path, stage: str, number: signal.Signals
):
    for path in (archive / "bounding_box_train").glob("*.jpg"):
        _make_grey(path)  # converted while the records are written
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    data_dir = tmp_path / "data"
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(_SLOW_BUILD), stage),
            *(str(packed), str(data_dir), repr(COUNTS)),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    slow = 0
    for line in process.stdout:  # TFDS and the builder print as well
        slow += line == "slow\n"
        if slow == 2:
            break
    assert slow == 2
    process.send_signal(number)
    process.stdout.close()
    assert process.wait() != 0
    left = list((data_dir / "market1501").glob("*"))
    assert all(path.name.startswith("incomplete.") for path in left)
    assert bool(left) == (number != signal.SIGINT)  # who is interrupted cleans up
    with pytest.raises(tfds.core.registered.DatasetNotFoundError):
        tfds.data_source("market1501", split="train", data_dir=data_dir)
    folder = _build(packed, data_dir)
    assert list(folder.parent.iterdir()) == [folder]
    assert len(tfds.data_source("market1501", split="train", data_dir=data_dir)) == 4


def _build_and_die(archive: pathlib.Path, data_dir: pathlib.Path) -> None:
    market1501_dataset_builder.Builder.COUNTS = COUNTS
    ConvertedImage.read = lambda image: os._exit(1)  # nothing is cleaned up
    _build(archive, data_dir)


def test_what_a_killed_build_left_is_removed(archive: pathlib.Path, tmp_path: pathlib.Path):
    _make_grey(archive / "bounding_box_train" / "0700_c6s3_000001_00.jpg")  # the last one
    process = multiprocessing.get_context("spawn").Process(target=_build_and_die, args=(archive, tmp_path))
    process.start()
    process.join()
    left = [path.name for path in (tmp_path / "market1501").iterdir()]
    assert left
    assert all(name.startswith("incomplete.") for name in left)
    folder = _build(archive, tmp_path)
    assert list((tmp_path / "market1501").iterdir()) == [folder]


def test_simultaneous_builds_make_one_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(_build, archive, tmp_path) for _ in range(4)]
        refused = [future for future in futures if isinstance(future.exception(), folder_lock.FolderInUseError)]
        folders = {future.result() for future in futures if future not in refused}
    assert folders == {tmp_path / "market1501" / "1.0.0"}
    assert len(tfds.data_source("market1501", split="train", data_dir=tmp_path)) == 4


def test_descriptions_and_citations_are_stored(archive: pathlib.Path, tmp_path: pathlib.Path):
    info = tfds.builder_from_directory(_build(archive, tmp_path)).info
    assert "six cameras" in info.description
    assert "zheng2015scalable" in info.citation
    for name in (*(name.partition("/")[0] for name in build.DATASETS), "textured"):
        folder = REPOSITORY / "datasets" / name
        assert {"README.md", "CITATIONS.bib", "TAGS.txt", "__init__.py"} <= {path.name for path in folder.iterdir()}


def test_many_shards_keep_the_order(archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    whole = _build(archive, tmp_path / "a")
    monkeypatch.setattr(builder, "EXAMPLES_PER_SHARD", 3)
    parts = _build(archive, tmp_path / "b")
    assert len(list(parts.glob("*train.array_record*"))) == 2
    for split in ("train", "query", "gallery"):
        names = [
            [example["name"] for example in tfds.builder_from_directory(folder).as_data_source(split=split)]
            for folder in (whole, parts)
        ]
        assert names[0] == names[1]


def test_textured_copies_keep_the_image_bytes(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path / "data")
    _write_textures(tmp_path / "textures")
    folder = datasets.build_textured(
        "market1501", data_dir=tmp_path / "data", texture_dir=tmp_path / "textures", metadata={"step": 30}
    )
    assert folder == tmp_path / "data" / "market1501_textured" / "1.0.0"
    builder = tfds.builder_from_directory(folder)
    assert set(builder.info.splits) == {"train"}
    metadata = dict(builder.info.metadata)
    assert (metadata["benchmark"], metadata["textures"]) == ("market1501", {"step": 30})
    skip = {"image": tfds.decode.SkipDecoding()}
    examples = list(builder.as_data_source(split="train", decoders=skip))
    assert [(int(e["person_id"]), int(e["label"]), int(e["camera_id"])) for e in examples] == [
        (2, 0, 0),
        (2, 0, 1),
        (10, 1, 2),
        (700, 2, 5),
    ]
    for example in examples:
        name = example["name"].decode()
        assert example["image"] == (archive / name).read_bytes()
        texture = Image.open(tmp_path / "textures" / name.replace(".jpg", ".png"))
        np.testing.assert_array_equal(example["texture"], np.asarray(texture))


def test_textured_copies_of_pit_reid_replace_the_true_texture(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    datasets.build_dataset("pit_reid", data_dir=tmp_path, manual_dir=tmp_path / "rendered")
    for record in records[:6]:
        path = (tmp_path / "textures" / record.image).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(500 + record.index, 256, 256, "PNG"))
    datasets.build_textured("pit_reid", data_dir=tmp_path, texture_dir=tmp_path / "textures", metadata={})
    source = tfds.data_source("pit_reid_textured", split="train", data_dir=tmp_path)
    assert len(source) == 6
    path = (tmp_path / "textures" / records[4].image).with_suffix(".png")
    np.testing.assert_array_equal(source[4]["texture"], np.asarray(Image.open(path)))


def test_frontal_views_stand_beside_textures(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path / "data")
    _write_textures(tmp_path / "textures")
    arguments = {"data_dir": tmp_path / "data", "metadata": {}, "feature": "frontal"}
    with pytest.raises(datasets.DatasetError, match=r"expected 256x128 \(height x width\), found 256x256"):
        datasets.build_textured("market1501", texture_dir=tmp_path / "textures", **arguments)
    for path in sorted((tmp_path / "textures").rglob("*.png")):
        target = tmp_path / "frontal" / path.relative_to(tmp_path / "textures")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(dataset_fixtures.encoded(len(path.name), 256, 128, "PNG"))
    folder = datasets.build_textured("market1501", texture_dir=tmp_path / "frontal", **arguments)
    assert folder == tmp_path / "data" / "market1501_frontal" / "1.0.0"
    source = tfds.data_source("market1501_frontal", split="train", data_dir=tmp_path / "data")
    assert source[0].keys() == {"image", "frontal", "person_id", "label", "camera_id", "name"}
    path = (tmp_path / "frontal" / source[3]["name"].decode()).with_suffix(".png")
    np.testing.assert_array_equal(source[3]["frontal"], np.asarray(Image.open(path)))


def test_other_textures_or_another_model_make_another_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path)
    arguments = {"data_dir": tmp_path, "texture_dir": tmp_path / "textures"}
    _write_textures(tmp_path / "textures")
    folder = datasets.build_textured("market1501", metadata={"step": 30}, **arguments)
    before = _content(folder)
    assert datasets.build_textured("market1501", metadata={"step": 30}, **arguments) == folder
    assert _content(folder) == before
    with pytest.raises(datasets.DatasetError, match="another source"):
        datasets.build_textured("market1501", metadata={"step": 31}, **arguments)
    _write_textures(tmp_path / "textures", seed=7)
    with pytest.raises(datasets.DatasetError, match="another source"):
        datasets.build_textured("market1501", metadata={"step": 30}, **arguments)
    assert _content(folder) == before


def test_missing_and_misshapen_textures_are_named(archive: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError, match="no dataset 'market1501' there"):
        datasets.build_textured("market1501", data_dir=tmp_path, texture_dir=tmp_path, metadata={})
    _build(archive, tmp_path)
    _write_textures(tmp_path / "textures", size=128)
    missing = tmp_path / "textures" / "bounding_box_train" / "0010_c3s2_012345_01.png"
    content = missing.read_bytes()
    missing.unlink()
    arguments = {"data_dir": tmp_path, "texture_dir": tmp_path / "textures", "metadata": {}}
    with pytest.raises(datasets.DatasetError) as error:
        datasets.build_textured("market1501", **arguments)
    assert "1 of the 4 training images of market1501" in str(error.value)
    assert f"{missing}: No such file" in str(error.value)
    missing.write_bytes(content)
    with pytest.raises(datasets.DatasetError) as error:
        datasets.build_textured("market1501", **arguments)
    assert f"{missing}: expected 256x256 (height x width), found 128x128" in str(error.value)
    assert "4 of 4 image files cannot be used" in str(error.value)


def test_pit_is_no_benchmark_to_texture(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    datasets.build_dataset("pit", data_dir=tmp_path, manual_dir=tmp_path / "rendered")
    with pytest.raises(datasets.DatasetError, match=r"lacks the features \['camera_id', 'label', 'person_id'\]"):
        datasets.build_textured("pit", data_dir=tmp_path, texture_dir=tmp_path, metadata={})


_READER = """
    import importlib.util, json, sys
    import tensorflow_datasets as tfds

    assert importlib.util.find_spec("datasets") is None, importlib.util.find_spec("datasets")
    result = {}
    for name, split in json.loads(sys.argv[2]):
        source = tfds.data_source(name, split=split, data_dir=sys.argv[1])
        result[name + "/" + split] = [
            {key: getattr(value, "shape", None) or str(value) for key, value in example.items()} for example in source
        ]
    assert "tensorflow" not in sys.modules
    print(json.dumps(result))
"""


def test_datasets_are_read_by_a_program_without_this_repository(archive: pathlib.Path, tmp_path: pathlib.Path):
    data_dir = tmp_path / "data"
    _build(archive, data_dir)
    dataset_fixtures.write_rendered(tmp_path / "pit", "pit")
    dataset_fixtures.write_rendered(tmp_path / "pit_reid", "pit_reid")
    datasets.build_dataset("pit", data_dir=data_dir, manual_dir=tmp_path / "pit")
    datasets.build_dataset("pit_reid", data_dir=data_dir, manual_dir=tmp_path / "pit_reid")
    _write_textures(tmp_path / "textures")
    datasets.build_textured("market1501", data_dir=data_dir, texture_dir=tmp_path / "textures", metadata={})

    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    # -S: no .pth files, by which an editable install of this repository comes onto the path.
    packages = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    program.write_text(f"import sys\nsys.path += {packages!r}\n" + textwrap.dedent(_READER))
    wanted = [
        ("market1501", "query"),
        ("pit", "train"),
        ("pit_reid", "gallery"),
        ("market1501_textured", "train"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-S", str(program), str(data_dir), json.dumps(wanted)],
        cwd=program.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["market1501/query"][0] == {
        "image": [128, 64, 3],
        "person_id": "1",
        "label": "-1",
        "camera_id": "0",
        "name": "b'query/0001_c1s1_001051_00.jpg'",
    }
    assert {name: len(examples) for name, examples in found.items()} == {
        "market1501/query": 2,
        "pit/train": 6,
        "pit_reid/gallery": 3,
        "market1501_textured/train": 4,
    }
    assert found["pit/train"][0]["frontal"] == [256, 128, 3]
    assert found["pit_reid/gallery"][0]["texture"] == [256, 256, 3]
    assert found["market1501_textured/train"][3]["texture"] == [256, 256, 3]


def test_neither_tensorflow_nor_jax_is_imported(archive: pathlib.Path, tmp_path: pathlib.Path):
    code = f"""
        import sys, datasets, tensorflow_datasets as tfds
        from datasets.market1501.market1501_dataset_builder import Builder
        Builder.COUNTS = {COUNTS!r}
        datasets.build_dataset("market1501", data_dir={str(tmp_path)!r}, manual_dir={str(archive)!r})
        tfds.data_source("market1501", split="train", data_dir={str(tmp_path)!r})[0]
        print(sorted({{"tensorflow", "jax", "torch"}} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_pipeline_reads_a_built_dataset_in_workers(archive: pathlib.Path, tmp_path: pathlib.Path):
    _build(archive, tmp_path)
    _write_textures(tmp_path / "textures")
    datasets.build_textured("market1501", data_dir=tmp_path, texture_dir=tmp_path / "textures", metadata={})
    source = tfds.data_source("market1501_textured", split="train", data_dir=tmp_path)
    labels = reading.read_labels(source)
    np.testing.assert_array_equal(labels, [0, 0, 1, 2])
    feed = pipeline.Feed(image_size=(128, 64), seed=0, num_steps=4, num_workers=0)
    arguments = {"num_identities": 3, "images_per_identity": 2, "target": pipeline.TargetFeature("texture", 256)}
    here = list(pipeline.reid_batches(source, labels, feed=feed, **arguments))
    workers = pipeline.reid_batches(source, labels, feed=dataclasses.replace(feed, num_workers=1), **arguments)
    for expected, batch in zip(here, workers, strict=True):
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])
    # Decoded as TFDS does it.
    row = int(np.flatnonzero(here[0]["label"] == 2)[0])
    np.testing.assert_array_equal(here[0]["image"][row], source[3]["image"])
    np.testing.assert_array_equal(here[0]["texture"][row], source[3]["texture"])
