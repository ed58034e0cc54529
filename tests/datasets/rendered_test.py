"""`pit` and `pit_reid` from rendered folders."""

import dataclasses
import gzip
import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from datasets.rendered import read_test_records
from render import manifest
from tests import dataset_fixtures


def _build(recipe: str, rendered: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    return datasets.build_dataset(recipe, data_dir=data_dir, manual_dir=rendered)


def _rewrite(rendered: pathlib.Path, records: list[manifest.Record]) -> None:
    header = manifest.read_header(rendered)
    manifest.write_header(rendered, dataclasses.replace(header, num_pairs=len(records)))
    manifest.write_records(rendered, records)


def test_pit_examples_stand_in_manifest_order(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    folder = _build("pit", tmp_path / "rendered", tmp_path / "data")
    decoders = {key: tfds.decode.SkipDecoding() for key in ("image", "texture", "frontal")}
    splits = tfds.builder_from_directory(folder).as_data_source(decoders=decoders)
    assert set(splits) == {"train"}
    for example, record in zip(splits["train"], records, strict=True):
        assert set(example) == {"image", "texture", "frontal", "texture_id", "name"}
        assert example["name"].decode() == record.image
        assert int(example["texture_id"]) == record.texture_id
        for key, path in (("image", record.image), ("texture", record.texture), ("frontal", record.frontal)):
            assert example[key] == (tmp_path / "rendered" / path).read_bytes()
    decoded = tfds.data_source("pit", split="train", data_dir=tmp_path / "data")[0]
    assert decoded["image"].shape == decoded["frontal"].shape == (256, 128, 3)
    assert decoded["texture"].shape == (256, 256, 3)
    expected = Image.open(io.BytesIO((tmp_path / "rendered" / records[0].texture).read_bytes()))
    np.testing.assert_array_equal(decoded["texture"], np.asarray(expected))


def test_pit_reid_examples_are_labelled(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    _build("pit_reid", tmp_path / "rendered", tmp_path / "data")
    rows = {
        split: [
            (int(e["person_id"]), int(e["label"]), int(e["camera_id"]))
            for e in tfds.data_source("pit_reid", split=split, data_dir=tmp_path / "data")
        ]
        for split in ("train", "query", "gallery")
    }
    assert rows == {
        "train": [(0, 0, 0), (0, 0, 4), (1, 1, 0), (1, 1, 4), (2, 2, 0), (2, 2, 4)],
        "query": [(3, -1, 0), (4, -1, 5)],
        "gallery": [(3, -1, 1), (4, -1, 2), (5, -1, 3)],
    }
    example = tfds.data_source("pit_reid", split="gallery", data_dir=tmp_path / "data")[2]
    assert set(example) == {"image", "texture", "person_id", "label", "camera_id", "name"}
    expected = Image.open(io.BytesIO((tmp_path / "rendered" / "textures" / "5.png").read_bytes()))
    np.testing.assert_array_equal(example["texture"], np.asarray(expected))


def test_pit_reid_keeps_the_records_of_its_test_pictures(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    built = _build("pit_reid", tmp_path / "rendered", tmp_path / "data")
    assert read_test_records(built) == [record for record in records if record.split != "train"]
    path = pathlib.Path(built) / "test_records.jsonl.gz"
    content = path.read_bytes()
    _build("pit_reid", tmp_path / "rendered", tmp_path / "again")
    assert (tmp_path / "again" / path.relative_to(tmp_path / "data")).read_bytes() == content
    for damaged in (content[:-20], b"not gzip", gzip.compress(b"{}\n"), gzip.compress(b"\xff\n")):
        path.write_bytes(damaged)
        with pytest.raises(datasets.DatasetError, match=r"test_records.jsonl.gz is damaged .*build the dataset again"):
            read_test_records(built)
    path.unlink()
    assert read_test_records(built) is None


def test_metadata_says_how_it_was_rendered(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit", seed=4)
    header = manifest.read_header(tmp_path / "rendered")
    manifest.write_header(tmp_path / "rendered", dataclasses.replace(header, notes="hats are no texture"))
    metadata = dict(tfds.builder_from_directory(_build("pit", tmp_path / "rendered", tmp_path / "data")).info.metadata)
    assert (metadata["recipe"], metadata["seed"], metadata["parameters"]) == ("pit", 4, {"num_textures": 2})
    assert metadata["notes"] == "hats are no texture"


def test_folders_of_an_older_format_are_refused_with_what_to_do(tmp_path: pathlib.Path):
    """Version 1 had no notes."""
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    path = tmp_path / "rendered" / manifest.HEADER_FILE
    fields = json.loads(path.read_text())
    assert fields["version"] == manifest.VERSION
    del fields["notes"]
    path.write_text(json.dumps({**fields, "version": 1}))
    with pytest.raises(datasets.DatasetError, match=r"format version 1; .* version 5\. Render the recipe again into"):
        _build("pit", tmp_path / "rendered", tmp_path / "data")


def test_pit_reid_has_the_partial_queries_that_were_rendered(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    person_4 = records[-2]
    for index, split in enumerate(manifest.PARTIAL_QUERIES, start=len(records)):
        records.append(dataclasses.replace(person_4, index=index, name=f"{split}_{index}", split=split))
    _rewrite(tmp_path / "rendered", records)
    _build("pit_reid", tmp_path / "rendered", tmp_path / "data")
    for split in manifest.PARTIAL_QUERIES:
        (example,) = tfds.data_source("pit_reid", split=split, data_dir=tmp_path / "data")
        assert (int(example["person_id"]), int(example["label"]), int(example["camera_id"])) == (4, -1, 2)
    records[-1] = dataclasses.replace(records[-1], person_id=2)
    _rewrite(tmp_path / "rendered", records)
    with pytest.raises(datasets.DatasetError, match=r"persons in train and in query or gallery: \[2\]"):
        _build("pit_reid", tmp_path / "rendered", tmp_path / "more")


def test_the_recipe_must_be_the_datasets(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    with pytest.raises(datasets.DatasetError, match=r"recipe 'pit', expected 'pit_reid'(.|\n)*--config=pit_reid.py"):
        _build("pit_reid", tmp_path / "rendered", tmp_path / "data")


def test_an_incomplete_rendering_is_refused(tmp_path: pathlib.Path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    (tmp_path / "rendered" / manifest.RECORDS_FILE).unlink()
    with pytest.raises(datasets.DatasetError, match=r"manifest.jsonl does not exist(.|\n)*draws only what is missing"):
        _build("pit", tmp_path / "rendered", tmp_path / "data")


def test_all_missing_damaged_and_misshapen_files_are_named(tmp_path: pathlib.Path):
    rendered = tmp_path / "rendered"
    records = dataset_fixtures.write_rendered(rendered, "pit")
    (rendered / records[0].image).unlink()
    (rendered / records[1].frontal).write_bytes(b"\xff\xd8")
    (rendered / records[2].image).write_bytes(dataset_fixtures.encoded(0, 128, 64, "JPEG"))
    (rendered / records[5].texture).write_bytes(dataset_fixtures.encoded(0, 256, 255, "PNG"))
    with pytest.raises(datasets.DatasetError) as error:
        _build("pit", rendered, tmp_path / "data")
    message = str(error.value)
    # 6 images, 6 frontals and 2 textures, each looked at once.
    assert "4 of 14 image files cannot be used" in message
    assert f"{rendered / records[0].image}: no such file" in message
    assert f"{rendered / records[1].frontal}: not a readable picture" in message
    assert f"{rendered / records[2].image}: expected 256x128 (height x width), found 128x64" in message
    assert f"{rendered / records[5].texture}: expected 256x256 (height x width), found 256x255" in message
    assert not (tmp_path / "data" / "pit").exists()


@pytest.mark.parametrize("changes", [{"split": "query"}, {"frontal": None}])
def test_pit_records_must_be_training_pairs_with_a_frontal(tmp_path: pathlib.Path, changes: dict):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    records[3] = dataclasses.replace(records[3], **changes)
    _rewrite(tmp_path / "rendered", records)
    with pytest.raises(datasets.DatasetError, match=f"{records[3].name}: expected the split 'train' and a frontal"):
        _build("pit", tmp_path / "rendered", tmp_path / "data")


def test_pit_reid_needs_identities_cameras_and_all_splits(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    broken = [record for record in records if record.split != "query"]
    broken = [dataclasses.replace(record, index=index) for index, record in enumerate(broken)]
    broken[0] = dataclasses.replace(broken[0], camera_id=-1)
    broken[-1] = dataclasses.replace(broken[-1], person_id=1)
    _rewrite(tmp_path / "rendered", broken)
    with pytest.raises(datasets.DatasetError) as error:
        _build("pit_reid", tmp_path / "rendered", tmp_path / "data")
    assert f"{broken[0].name}: expected a person id and a camera id of 0 or more, found 0 and -1" in str(error.value)
    assert "no records of the split 'query'" in str(error.value)
    assert "persons in train and in query or gallery: [1]" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"person_id": "1"}, r"line 2: person_id must be of type int, found '1'"),
        ({"image": None}, r"line 2: image must be of type str, found None"),
        ({"frontal": 3}, r"line 2: frontal must be of type str \| None, found 3"),
        ({"choices": []}, r"line 2: choices must be of type dict, found \[\]"),
        ({"image": "/etc/passwd"}, r"line 2: the path '/etc/passwd' leaves the rendered folder"),
        ({"texture": "textures/../../x.png"}, r"line 2: the path .* leaves the rendered folder"),
    ],
)
def test_records_from_outside_are_checked(tmp_path: pathlib.Path, changes: dict, message: str):
    records = dataset_fixtures.write_rendered(tmp_path / "rendered", "pit_reid")
    records[1] = dataclasses.replace(records[1], **changes)
    _rewrite(tmp_path / "rendered", records)
    with pytest.raises(datasets.DatasetError, match=message):
        _build("pit_reid", tmp_path / "rendered", tmp_path / "data")


@pytest.mark.parametrize("name", [manifest.HEADER_FILE, manifest.RECORDS_FILE])
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000])
def test_manifests_of_something_else_are_named(tmp_path: pathlib.Path, name: str, content: bytes):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    (tmp_path / "rendered" / name).write_bytes(content)
    with pytest.raises(datasets.DatasetError, match=rf"{name}(, line 1)?: not (UTF-8|JSON)"):
        _build("pit", tmp_path / "rendered", tmp_path / "data")
