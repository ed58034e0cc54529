"""Textured copies: the benchmark's image bytes with textures or frontal views beside them."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import datasets
from tests import dataset_fixtures
from tests.datasets.small_market import build_market, content, write_textures


def test_textured_copies_keep_the_image_bytes(archive: pathlib.Path, tmp_path: pathlib.Path):
    build_market(archive, tmp_path / "data")
    write_textures(tmp_path / "textures")
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
    build_market(archive, tmp_path / "data")
    write_textures(tmp_path / "textures")
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
    build_market(archive, tmp_path)
    arguments = {"data_dir": tmp_path, "texture_dir": tmp_path / "textures"}
    write_textures(tmp_path / "textures")
    folder = datasets.build_textured("market1501", metadata={"step": 30}, **arguments)
    before = content(folder)
    assert datasets.build_textured("market1501", metadata={"step": 30}, **arguments) == folder
    assert content(folder) == before
    with pytest.raises(datasets.DatasetError, match="another source"):
        datasets.build_textured("market1501", metadata={"step": 31}, **arguments)
    write_textures(tmp_path / "textures", seed=7)
    with pytest.raises(datasets.DatasetError, match="another source"):
        datasets.build_textured("market1501", metadata={"step": 30}, **arguments)
    assert content(folder) == before


def test_missing_and_misshapen_textures_are_named(archive: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(datasets.DatasetError, match="no dataset 'market1501' there"):
        datasets.build_textured("market1501", data_dir=tmp_path, texture_dir=tmp_path, metadata={})
    build_market(archive, tmp_path)
    write_textures(tmp_path / "textures", size=128)
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
