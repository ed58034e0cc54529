"""Building datasets: what is kept, refused, removed, and made from folders and archives."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile

import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets import archives, build, builder
from datasets.images import ConvertedImage
from datasets.market1501 import market1501_dataset_builder
from san_jax import folder_lock
from tests import dataset_fixtures
from tests.datasets.small_market import build_market, content

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def _make_grey(path: pathlib.Path) -> None:
    """Replaces an image by a grey one, which is converted while the records are written."""
    Image.open(path).convert("L").save(path)


def test_an_unknown_name_lists_the_known(tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError, match=r"Unknown dataset 'market'; .*pit, pit_reid, market1501"):
        datasets.build_dataset("market", data_dir=tmp_path, manual_dir=tmp_path)


def test_builds_are_deterministic(archive: pathlib.Path, tmp_path: pathlib.Path):
    first, second = build_market(archive, tmp_path / "a"), build_market(archive, tmp_path / "b")
    records = {name: data for name, (data, _) in content(first).items() if "array_record" in name}
    assert len(records) == 3
    assert records == {name: data for name, (data, _) in content(second).items() if "array_record" in name}


def test_a_dataset_from_the_same_source_is_kept(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = build_market(archive, tmp_path)
    before = content(folder)
    assert build_market(archive, tmp_path) == folder
    assert content(folder) == before


def test_a_dataset_from_another_source_is_refused_and_kept(archive: pathlib.Path, tmp_path: pathlib.Path):
    folder = build_market(archive, tmp_path)
    before = content(folder)
    image = archive / "query" / "0001_c1s1_001051_00.jpg"
    image.write_bytes(dataset_fixtures.encoded(99, 128, 65, "JPEG"))
    with pytest.raises(datasets.DatasetError, match=f"{folder} was built from another source .*Remove that folder"):
        build_market(archive, tmp_path)
    assert content(folder) == before


def test_a_foreign_folder_is_refused(archive: pathlib.Path, tmp_path: pathlib.Path):
    (tmp_path / "market1501" / "1.0.0").mkdir(parents=True)
    with pytest.raises(datasets.DatasetError, match="holds no TFDS dataset"):
        build_market(archive, tmp_path)


def test_a_failure_while_writing_leaves_nothing(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(image: ConvertedImage) -> bytes:
        raise KeyboardInterrupt

    _make_grey(archive / "bounding_box_train" / "0700_c6s3_000001_00.jpg")  # the last one
    with monkeypatch.context() as patch:
        patch.setattr(ConvertedImage, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_market(archive, tmp_path)
    assert not (tmp_path / "market1501").exists()
    assert len(tfds.data_source("market1501", split="train", data_dir=build_market(archive, tmp_path).parents[1])) == 4


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_folder_and_archive_make_the_same_dataset(archive: pathlib.Path, tmp_path: pathlib.Path, suffix: str):
    packed = dataset_fixtures.pack(archive, tmp_path / f"Market-1501-v15.09.15.{suffix}")
    first = content(build_market(archive, tmp_path / "a"))
    folder = build_market(packed, tmp_path / "b")
    assert list(folder.parent.iterdir()) == [folder]  # nothing that was unpacked stays
    second = content(folder)
    records = [name for name in first if "array_record" in name]
    assert len(records) == 3
    for name in records:
        assert second[name][0] == first[name][0]
    # Either is the other's source.
    assert build_market(packed, tmp_path / "a") == tmp_path / "a" / "market1501" / "1.0.0"
    assert content(tmp_path / "a" / "market1501" / "1.0.0") == first
    assert build_market(archive, tmp_path / "b") == folder
    assert content(folder) == second


def test_an_archive_that_was_built_is_not_unpacked_again(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    folder = build_market(packed, tmp_path / "data")
    monkeypatch.setattr(archives, "unpack", None)
    assert build_market(packed, tmp_path / "data") == folder
    with open(packed, "ab") as file:
        file.write(b"more")
    with pytest.raises(TypeError, match="not callable"):
        build_market(packed, tmp_path / "data")


@pytest.mark.parametrize("name", ["Market-1501-v15.09.15.zip", "market-1501-v15.09.15 (1).ZIP", "Market1501.tar"])
def test_an_archive_is_found_in_its_folder(archive: pathlib.Path, tmp_path: pathlib.Path, name: str):
    (tmp_path / "downloads").mkdir()
    suffix = pathlib.Path(name).suffix.lower()
    dataset_fixtures.pack(archive, tmp_path / f"a{suffix}").rename(tmp_path / "downloads" / name)
    (tmp_path / "downloads" / "DukeMTMC-reID.zip").write_bytes(b"another one")
    assert build_market(tmp_path / "downloads", tmp_path / "data").is_dir()
    # A folder goes before an archive that may be a part of it.
    shutil.copytree(archive, tmp_path / "downloads" / archive.name)
    (tmp_path / "downloads" / name).write_bytes(b"damaged")
    assert build_market(tmp_path / "downloads", tmp_path / "again").is_dir()


def test_of_several_archives_one_is_to_be_chosen(archive: pathlib.Path, tmp_path: pathlib.Path):
    for name in ("Market-1501-v15.09.15.zip", "Market-1501-v15.09.15.tar"):
        dataset_fixtures.pack(archive, tmp_path / name)
    (tmp_path / "downloads").mkdir()
    for path in tmp_path.glob("*.*"):
        path.rename(tmp_path / "downloads" / path.name)
    with pytest.raises(datasets.DatasetError) as error:
        build_market(tmp_path / "downloads", tmp_path / "data")
    assert len(error.value.problems) == 2
    assert "Give the folder of the one to build, or its archive, as manual_dir" in str(error.value)


def test_defects_in_an_archive_are_named_by_the_archive(archive: pathlib.Path, tmp_path: pathlib.Path):
    (archive / "query" / "0001_c1s1_001051_00.jpg").write_bytes(b"")
    (archive / "query" / "notes.txt").touch()
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    with pytest.raises(datasets.DatasetError) as error:
        build_market(packed, tmp_path / "data")
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
        build_market(packed, tmp_path / "data")
    assert not (tmp_path / "data" / "market1501").exists()
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_larger_than_the_benchmark_is_refused(
    archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    packed = dataset_fixtures.pack(archive, tmp_path / "Market-1501-v15.09.15.zip")
    monkeypatch.setattr(market1501_dataset_builder.Builder, "MAX_UNPACKED_BYTES", 20_000)
    with pytest.raises(datasets.DatasetError, match="unpacks to more than 20,000 bytes"):
        build_market(packed, tmp_path / "data")


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
            *(str(packed), str(data_dir), repr(dataset_fixtures.SMALL_MARKET_COUNTS)),
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
    assert process.wait(timeout=600) != 0
    left = list((data_dir / "market1501").glob("*"))
    assert all(path.name.startswith("incomplete.") for path in left)
    assert bool(left) == (number != signal.SIGINT)  # who is interrupted cleans up
    with pytest.raises(tfds.core.registered.DatasetNotFoundError):
        tfds.data_source("market1501", split="train", data_dir=data_dir)
    folder = build_market(packed, data_dir)
    assert list(folder.parent.iterdir()) == [folder]
    assert len(tfds.data_source("market1501", split="train", data_dir=data_dir)) == 4


def _build_and_die(archive: pathlib.Path, data_dir: pathlib.Path) -> None:
    market1501_dataset_builder.Builder.COUNTS = dataset_fixtures.SMALL_MARKET_COUNTS
    ConvertedImage.read = lambda image: os._exit(1)  # nothing is cleaned up
    build_market(archive, data_dir)


def test_what_a_killed_build_left_is_removed(archive: pathlib.Path, tmp_path: pathlib.Path):
    _make_grey(archive / "bounding_box_train" / "0700_c6s3_000001_00.jpg")  # the last one
    process = multiprocessing.get_context("spawn").Process(target=_build_and_die, args=(archive, tmp_path))
    process.start()
    process.join()
    left = [path.name for path in (tmp_path / "market1501").iterdir()]
    assert left
    assert all(name.startswith("incomplete.") for name in left)
    folder = build_market(archive, tmp_path)
    assert list((tmp_path / "market1501").iterdir()) == [folder]


def test_simultaneous_builds_make_one_dataset(archive: pathlib.Path, tmp_path: pathlib.Path):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(build_market, archive, tmp_path) for _ in range(4)]
        refused = [future for future in futures if isinstance(future.exception(), folder_lock.FolderInUseError)]
        folders = {future.result() for future in futures if future not in refused}
    assert folders == {tmp_path / "market1501" / "1.0.0"}
    assert len(tfds.data_source("market1501", split="train", data_dir=tmp_path)) == 4


def test_descriptions_and_citations_are_stored(archive: pathlib.Path, tmp_path: pathlib.Path):
    info = tfds.builder_from_directory(build_market(archive, tmp_path)).info
    assert "six cameras" in info.description
    assert "zheng2015scalable" in info.citation
    for name in (*(name.partition("/")[0] for name in build.DATASETS), "textured"):
        folder = REPOSITORY / "datasets" / name
        assert {"README.md", "CITATIONS.bib", "TAGS.txt", "__init__.py"} <= {path.name for path in folder.iterdir()}


def test_many_shards_keep_the_order(archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    whole = build_market(archive, tmp_path / "a")
    monkeypatch.setattr(builder, "EXAMPLES_PER_SHARD", 3)
    parts = build_market(archive, tmp_path / "b")
    assert len(list(parts.glob("*train.array_record*"))) == 2
    for split in ("train", "query", "gallery"):
        names = [
            [example["name"] for example in tfds.builder_from_directory(folder).as_data_source(split=split)]
            for folder in (whole, parts)
        ]
        assert names[0] == names[1]
