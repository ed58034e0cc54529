"""What the pictures of a dataset say of themselves: times and tracks, where a tracker found them."""

import numpy as np
import pytest
from PIL import Image

from experiments.runs import picture_sources
from san_jax import pictures
from tests.datasets.own import drawn


@pytest.mark.parametrize("rate", [0.0, 2.0])
def test_a_tracked_dataset_knows_tracks_and_with_a_rate_times(tmp_path, rate):
    (tmp_path / "walk" / "img1").mkdir(parents=True)
    (tmp_path / "walk" / "gt").mkdir()
    for number in range(1, 5):
        noise = np.random.default_rng(number).integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "walk" / "img1" / f"{number}.png")
    lines = [f"{number},{track},{10 * track},5,20,40" for number in range(1, 5) for track in (1, 3)]
    (tmp_path / "walk" / "gt" / "gt.txt").write_text("\n".join(lines))
    drawn.build(
        tmp_path / "walk", tmp_path / "data", "walk", boxes="gt/gt.txt", every=1, max_covered=1.0, frame_rate=rate
    )
    source = picture_sources.open_pictures("walk:gallery", tmp_path / "data")
    assert (source.knows_times, source.knows_tracks) == (rate > 0, True)
    for index in range(len(source)):
        read = source.read(index, (32, 16))
        track, number = read.name.removesuffix(".png").split("/")
        assert read.track == read.person_id == int(track)
        assert np.isnan(read.time) if not rate else read.time == (int(number) - 1) / rate


def test_a_dataset_of_a_table_knows_times_but_no_tracks(tmp_path):
    names = [f"{number}.png" for number in range(4)]
    drawn.draw(tmp_path / "flat", names)
    rows = [f"{name},{number // 2},{number % 2},2026-11-28T10:0{number}" for number, name in enumerate(names)]
    (tmp_path / "flat" / "list.csv").write_text("\n".join(["path,person_id,camera_id,time", *rows]))
    settings = {"table": "list.csv", "time_column": "time", "test_share": 1.0}
    drawn.build(tmp_path / "flat", tmp_path / "data", "timed", **settings)
    source = picture_sources.open_pictures("timed:gallery", tmp_path / "data")
    assert (source.knows_times, source.knows_tracks) == (True, False)
    for index in range(len(source)):
        read = source.read(index, (32, 16))
        assert (read.time, read.track) == (1795860000 + 60 * int(read.name[0]), -1)


def test_other_sources_know_neither(tmp_path):
    drawn.draw(tmp_path / "photos", ["a.png", "b.png"])
    source = picture_sources.open_pictures(str(tmp_path / "photos"), tmp_path)
    assert (source.knows_times, source.knows_tracks) == (False, False)
    assert np.isnan(source.read(0, (32, 16)).time)


def test_pictures_none_of_which_can_be_read_are_told_with_reasons():
    bad = [(f"{number}.png", "not a readable picture") for number in range(pictures.MAX_NAMED + 5)]
    text = picture_sources.none_readable(bad)
    assert text.startswith(f"none of the {len(bad)} pictures can be read:\n0.png: not a readable picture\n1.png")
    assert text.count("\n") == pictures.MAX_NAMED
    assert picture_sources.none_readable(bad[:2], "its").startswith("none of its 2 pictures can be read:\n")
    assert picture_sources.none_readable(bad[:1], "its") == (
        "its only picture cannot be read:\n0.png: not a readable picture"
    )
