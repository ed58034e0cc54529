"""Opening datasets by name, building them by command, and telling the wrong `datasets` package."""

import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import datasets
from experiments.runs import data_sources
from experiments.scoring import evaluation
from san_jax.data import pipeline, reading
from tests import dataset_fixtures
from tests.experiments import train_data

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """`pit_reid`, built."""
    folder = tmp_path_factory.mktemp("sources")
    dataset_fixtures.write_rendered(folder / "rendered", "pit_reid")
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


def test_a_data_dir_in_another_one_is_not_taken_for_a_builder(tmp_path: pathlib.Path):
    train_data.build_benchmark(tmp_path, "toy/first", {"train": [0], "query": [7], "gallery": [7]})
    train_data.build_benchmark(tmp_path / "smoke", "pit_reid", {"train": [0], "query": [7], "gallery": [7]})
    assert data_sources.list_built(tmp_path) == ["toy/first"]
    assert evaluation.parse_datasets("all", tmp_path, "run") == ["toy/first"]
    assert data_sources.list_built(tmp_path / "smoke") == ["pit_reid"]
    with pytest.raises(datasets.DatasetError, match="No dataset 'smoke/pit_reid'"):
        data_sources.open_source("smoke/pit_reid", "train", tmp_path)


def test_any_name_of_a_folder_will_do(tmp_path: pathlib.Path):
    for name in ("[lr=0.1]", "st*r", "wh?t", "with space", "数据 é", "100%"):
        train_data.build_benchmark(tmp_path / name, "toy/first", {"train": [0, 1], "query": [7]})
        assert data_sources.list_built(tmp_path / name) == ["toy/first"]
        assert [int(one["label"]) for one in data_sources.open_source("toy/first", "train", tmp_path / name)] == [0, 1]


def test_opens_a_split(data_dir: pathlib.Path):
    source = data_sources.open_source("pit_reid", "query", data_dir)
    assert [int(example["person_id"]) for example in source] == [3, 4]
    path = data_dir.parent / "rendered" / source[1]["name"].decode()
    np.testing.assert_array_equal(source[1]["image"], np.asarray(Image.open(path)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pit", "python -m experiments.pit_render --config=pit.py --output_dir=FOLDER --data_dir={data_dir}"),
        ("market1501", "python -m experiments.prepare --dataset=market1501 --manual_dir=FOLDER --data_dir={data_dir}"),
        ("pit_reid_frontal", "a SAN-PG trained with target=frontal with: python -m experiments.pseudo_texture"),
        ("pit_reid_textured", "experiments.pseudo_texture --workdir=RUN --dataset=pit_reid --data_dir={data_dir}"),
        ("cuhk03/detected", "experiments.prepare --dataset=cuhk03/detected --manual_dir=FOLDER --data_dir={data_dir}"),
        (
            "cuhk03/labeled_textured",
            "experiments.pseudo_texture --workdir=RUN --dataset=cuhk03/labeled --data_dir={data_dir}",
        ),
        ("cuhk03", "Did you mean 'cuhk03/labeled'?"),
        ("pit_ried", "Did you mean 'pit_reid'?"),
        ("market1051", "Did you mean 'market1501'?"),
        (
            "pit_reids",
            "Did you mean 'pit_reid'? If it is to be made of your own pictures: python -m experiments.prepare",
        ),
        ("own:pit_reid", "Only `prepare` takes own:; here it is called 'pit_reid'."),
        ("own:shop", "python -m experiments.prepare --dataset=own:shop --manual_dir=FOLDER --data_dir={data_dir}"),
    ],
)
def test_a_missing_dataset_names_what_builds_it(data_dir: pathlib.Path, name: str, message: str):
    with pytest.raises(datasets.DatasetError) as error:
        data_sources.open_source(name, "train", data_dir)
    assert f"No dataset {name!r} in {data_dir}. Built there: pit_reid." in str(error.value)
    assert message.format(data_dir=data_dir) in str(error.value)


def test_a_relative_data_dir_is_told_in_full(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(datasets.DatasetError, match=rf"No dataset 'pit' in data \({tmp_path / 'data'}\)\. Nothing is"):
        data_sources.open_source("pit", "train", "data")


def test_an_empty_or_missing_data_dir(tmp_path: pathlib.Path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(datasets.DatasetError, match="Nothing is built there"):
            data_sources.open_source("pit", "train", folder)
    # What an interrupted build leaves is no dataset.
    (tmp_path / "pit" / "incomplete.ABC123_1.0.0").mkdir(parents=True)
    (tmp_path / "pit" / "incomplete.ABC123_1.0.0" / "dataset_info.json").write_text("{}")
    with pytest.raises(datasets.DatasetError, match="Nothing is built there"):
        data_sources.open_source("pit", "train", tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("dataset_info.json", r"1\.0\.0 is damaged \(.*\): remove .*1\.0\.0 and build the dataset again"),
        ("features.json", r"1\.0\.0 is damaged \(.*\): remove"),
        (
            "toy-query.array_record-00000-of-00001",
            r"array_record-00000-of-00001 is missing or cut off: remove .*1\.0\.0 and",
        ),
    ],
)
def test_a_damaged_dataset_is_named(tmp_path: pathlib.Path, file: str, message: str):
    train_data.build_benchmark(tmp_path, "toy/first", {"train": [0], "query": [7], "gallery": [7]})
    (path,) = tmp_path.rglob(file)
    path.write_bytes(b"")
    with pytest.raises(datasets.DatasetError, match=message):
        data_sources.open_source("toy/first", "query", tmp_path)


def test_a_missing_split_names_the_nearest(data_dir: pathlib.Path):
    with pytest.raises(
        datasets.DatasetError, match=r"splits gallery, query, train, no 'galery'\. Did you mean 'gallery'\?"
    ):
        data_sources.open_source("pit_reid", "galery", data_dir)


@pytest.fixture(scope="module")
def toy_data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("toy")
    train_data.build_benchmark(folder, "toy/first", {"train": [0, 1, 0], "val": [1, 0], "query": [7]})
    return folder


def test_train_and_val_together(toy_data_dir: pathlib.Path):
    """One after the other, also in the worker that Grain sends the source to, with images left encoded or not."""
    source = data_sources.open_source("toy/first", "train+val", toy_data_dir)
    names = ["train/0.png", "train/1.png", "train/2.png", "val/0.png", "val/1.png"]
    assert [example["name"].decode() for example in source] == names
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[4]["image"], source[4]["image"])
    assert reading.read_names(source) == names
    np.testing.assert_array_equal(reading.read_labels(source), [0, 1, 0, 1, 0])
    batches = pipeline.reid_batches(
        source,
        reading.read_labels(source),
        num_identities=2,
        images_per_identity=2,
        feed=pipeline.Feed(image_size=(8, 4), seed=0, num_steps=3, num_workers=1),
    )
    assert [batch["image"].shape for batch in batches] == [(4, 8, 4, 3)] * 3
    batches.close()


def test_what_to_train_on(toy_data_dir: pathlib.Path, data_dir: pathlib.Path):
    assert data_sources.training_splits("toy/first", toy_data_dir, use_val=True) == ["train", "val"]
    assert data_sources.training_splits("toy/first", toy_data_dir, use_val=False) == ["train"]
    assert data_sources.training_splits("pit_reid", data_dir, use_val=True) == ["train"]
    with pytest.raises(datasets.DatasetError, match=r"No dataset 'toy' .*Built there: toy/first\."):
        data_sources.training_splits("toy", toy_data_dir, use_val=True)


def test_metadata_and_what_is_built(toy_data_dir: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path):
    assert data_sources.read_metadata("toy/first", toy_data_dir) == {
        "source_digest": "toy/first",
        "license": "none",
        "partial": False,
        "converted": {},
    }
    assert data_sources.list_built(toy_data_dir) == ["toy/first"]
    assert data_sources.list_built(data_dir) == ["pit_reid"]
    assert data_sources.list_built(tmp_path / "nowhere") == []


def test_a_missing_part_of_a_split_names_the_nearest(toy_data_dir: pathlib.Path):
    with pytest.raises(datasets.DatasetError, match=r"splits query, train, val, no 'vall'\. Did you mean 'val'\?"):
        data_sources.open_source("toy/first", "train+vall", toy_data_dir)


def _prepare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.prepare", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)


def test_prepare_builds_or_says_what_is_wrong(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    arguments = [f"--manual_dir={tmp_path / 'rendered'}", f"--data_dir={tmp_path / 'data'}"]
    result = _prepare("--dataset=pit", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(tmp_path / "data" / "pit" / "1.0.0")
    assert len(data_sources.open_source("pit", "train", tmp_path / "data")) == 6

    result = _prepare("--dataset=market1501", *arguments)
    assert result.returncode == 1
    assert "bounding_box_train: no such folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_wrong_datasets_package_is_told(tmp_path: pathlib.Path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("def load_dataset(): ...\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(REPOSITORY)!r}]; import experiments"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 1
    assert f"`import datasets` finds {tmp_path / 'datasets' / '__init__.py'}" in result.stderr
    assert f"PYTHONPATH={REPOSITORY} python" in result.stderr
