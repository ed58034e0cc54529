"""Figures: which images are chosen, and what stands where on the sheet."""

import numpy as np
import pytest
from PIL import Image

from experiments.pages import figures
from tests import dataset_fixtures


def example(split, person, camera):
    return {
        "image": np.full((256, 128, 3), (10 * person + camera) % 256, np.uint8),
        "person_id": person,
        "camera_id": camera,
        "name": f"{split}/{person}_{camera}.jpg",
        "texture": np.full((256, 256, 3), 150 + person, np.uint8),
    }


SPLITS = {
    "train": [example("train", 0, camera) for camera in range(3)],
    "query": [example("query", person, 1) for person in range(1, 8)],
    "gallery": [example("gallery", person, camera) for person in range(1, 10) for camera in (0, 1, 2, 3, 4)],
    "query_partial": [example("query_partial", person, 0) for person in range(1, 8)],
}


@pytest.fixture
def splits(monkeypatch):
    """The splits that a dataset of any name has; a test may remove some."""
    there = dict(SPLITS)
    monkeypatch.setattr(figures.data_sources, "list_splits", lambda name, data_dir: sorted(there))
    monkeypatch.setattr(
        figures.data_sources,
        "open_source",
        lambda name, split, data_dir: [one for part in split.split("+") for one in there[part]],
    )
    return there


def words(rows):
    return [[one.words for one in row.images] for row in rows]


def test_figure_6_shows_test_persons_over_their_pictures(splits):
    rows = figures.from_dataset("6", "pit_reid", "data")
    assert words(rows) == [
        [f"{split} {person}, cam {camera}" for split, camera in [("query", 1), *(("gallery", c) for c in (1, 2, 4))]]
        for person in (2, 6)
    ]
    for row, person in zip(rows, (2, 6), strict=True):
        assert np.array(row.images[2].image).max() == 10 * person + 2
        assert (row.truth == 150 + person).all()
    assert figures.from_dataset("6", "pit_reid_textured", "data")[0].truth is None


def test_figure_7_shows_partial_pictures_and_whole_ones_of_another_camera(splits):
    assert words(figures.from_dataset("7", "pit_reid", "data")) == [
        [f"partial {person}, cam 0", f"gallery {person}, cam 1"] for person in (2, 4, 6)
    ]
    del splits["query_partial"]
    assert words(figures.from_dataset("7", "partial_reid", "data"))[0] == ["query 2, cam 1", "gallery 2, cam 0"]
    with pytest.raises(figures.FigureError, match=r"market1501 has no partial images.*--crops"):
        figures.from_dataset("7", "market1501", "data")
    rows = figures.from_dataset("7", "market1501", "data", crops=True)
    assert words(rows)[0] == ["query 2, cam 1", *figures.PARTS]
    assert [one.image.size for one in rows[0].images] == [(128, 256), (128, 128), (128, 128), (64, 256)]


def test_named_pictures(splits):
    def named(*names, figure="6", **options):
        return words(figures.from_dataset(figure, "pit_reid", "data", names=names, **options))

    assert named("gallery/3_[12].jpg", "query/5_1.jpg", "gallery/3_4.jpg") == [
        ["gallery 3, cam 1", "gallery 3, cam 2", "gallery 3, cam 4"],
        ["query 5, cam 1"],
    ]
    assert named("train/0_2.jpg", split="train") == [["train 0, cam 2"]]
    assert named("query_partial/3_0.jpg", figure="7") == [["partial 3, cam 0", "gallery 3, cam 1"]]
    assert named("train/0_1.jpg", split="train", figure="7") == [["train 0, cam 1"]]  # no further split
    with pytest.raises(
        figures.FigureError, match=r"no picture is named foo, bar\*; names there are like query/1_1.jpg"
    ):
        named("foo", "query/1_1.jpg", "bar*")
    splits["query"] = [example("query", person, 0) for person in range(1, 70)]
    with pytest.raises(figures.FigureError, match="fits 69 pictures, a figure holds 64"):
        named("query/*")


def test_pit_has_textures_for_persons(splits):
    del splits["query"], splits["gallery"], splits["query_partial"]
    splits["train"] = [
        {key: value for key, value in example("images", 0, camera).items() if not key.endswith("_id")}
        | {"texture_id": camera // 2}
        for camera in range(4)
    ]
    assert words(figures.from_dataset("6", "pit", "data")) == [["texture 0"] * 2, ["texture 1"] * 2]


def test_files(tmp_path):
    for index in range(10):
        path = tmp_path / f"{index % 2}" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(index, 300, 100, "PNG"))
    rows, unread = figures.from_files("6", tmp_path)
    assert [len(row.images) for row in rows] == [8]
    assert unread == []
    ((row,), _) = figures.from_files("6", tmp_path, names=["1/*"])
    assert [one.words for one in row.images] == ["1", "3", "5", "7", "9"]
    assert row.images[0].image.size == (100, 300)
    assert row.images[0].shown.size == (85, 256)
    rows, _ = figures.from_files("7", tmp_path, names=["0/4.png"], crops=True)
    assert words(rows) == [["4", *figures.PARTS]]


def test_a_sheet_shows_each_picture_and_beside_it_the_texture_of_each_run(decoders):
    """Six pictures take two lines; the truth stands at the end of the first. The two runs have the same name."""
    images = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (256, 128, 3), np.uint8)) for i in range(6)]
    truth = np.full((256, 256, 3), 7, np.uint8)
    row = figures.FigureRow([figures.InputImage(image, image, "a") for image in images], truth)
    sheet = np.asarray(figures.draw([row], list(decoders)))

    inputs = np.stack([np.asarray(image.resize((32, 48), Image.Resampling.BILINEAR)) for image in images])
    regressed = [decoder(inputs) for decoder in decoders.values()]
    line, pair = 256 + 16 + 4, 128 + 4 + 2 * (256 + 4) + 16 + 4  # with captions and gaps
    assert sheet.shape == (2 * line - 4, 4 * pair + 256, 3)
    for index, image in enumerate(images):
        top, left = index // 4 * line, index % 4 * pair
        np.testing.assert_array_equal(sheet[top : top + 256, left : left + 128], np.asarray(image))
        for textures in regressed:
            left += 128 + 4 if textures is regressed[0] else 256 + 4
            stored = Image.fromarray(textures[index]).resize((256, 256), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(sheet[top : top + 256, left : left + 256], np.asarray(stored))
    assert (sheet[:256, 4 * pair :] == 7).all()
