"""Tracking results: which boxes are taken, what is cut out, and what is refused."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from datasets import DatasetError
from datasets.own.boxes import Box, hidden_share, read_boxes
from datasets.own.tracks import read_tracks
from san_jax.own_settings import OwnSettings
from tests.datasets.own import drawn

SIZE = (120, 160)  # of a frame
COLOURS = {1: (200, 30, 30), 2: (30, 200, 30), 3: (30, 30, 200)}


def _write(
    folder: pathlib.Path, frames: dict[int, dict[int, tuple[int, int, int, int]]], *, more: str = ""
) -> pathlib.Path:
    """Writes frames on which each track is a rectangle of its colour, and their gt/gt.txt.

    Args:
        folder: Of the sequence.
        frames: For each frame the left, top, width and height of each track.
        more: Further lines of gt.txt.
    """
    lines = []
    for number, tracks in frames.items():
        pixels = np.zeros((*SIZE, 3), np.uint8)
        for track, (left, top, width, height) in tracks.items():
            pixels[top : top + height, left : left + width] = COLOURS[track]
            lines.append(f"{number},{track},{left},{top},{width},{height},1,1,1")
        path = folder / "img1" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n" + more)
    return folder


def _walk(tracks: tuple[int, ...] = (1, 2), frames: int = 8) -> dict[int, dict[int, tuple[int, int, int, int]]]:
    """Persons side by side who walk to the right."""
    return {
        frame: {track: (5 + frame + 40 * (track - 1), 20, 16, 40) for track in tracks} for frame in range(1, frames + 1)
    }


def _settings(**changes) -> OwnSettings:
    return OwnSettings(**{"boxes": "gt/gt.txt", "every": 1, "margin": 0.0, **changes})


def test_persons_are_cut_out_of_the_frames(tmp_path: pathlib.Path):
    _write(tmp_path / "walk", _walk())
    folder = drawn.build(tmp_path / "walk", tmp_path / "data", boxes="gt/gt.txt", every=2, margin=0.25)
    splits = drawn.read(folder)
    names = set().union(*(drawn.names_of(examples) for examples in splits.values()))
    assert names == {f"{track}/{frame:06d}.png" for track in (1, 2) for frame in (1, 3, 5, 7)}
    persons = {split: {int(one["person_id"]) for one in examples} for split, examples in splits.items()}
    assert persons["train"] | persons["query"] == {1, 2}  # the tracker's ids
    assert persons["query"] == persons["gallery"] != persons["train"]
    for example in (one for examples in splits.values() for one in examples):
        image, colour = example["image"], COLOURS[int(example["person_id"])]
        assert image.shape == (40 + 2 * 10, 16 + 2 * 4, 3)
        is_person = (image == colour).all(axis=-1)
        assert is_person[10:-10, 4:-4].all()
        assert is_person.sum() == 40 * 16
        # The first half of a track is one camera, the second half the other.
        frame = int(example["name"].decode()[-10:-4])
        assert example["camera_id"] == (0 if frame <= 4 else 1)
    assert drawn.metadata(folder)["converted"] == {}


def test_the_margin_ends_at_the_edge_of_the_frame(tmp_path: pathlib.Path):
    _write(tmp_path, {1: {1: (0, 0, 20, 40)}, 2: {1: (140, 80, 20, 40)}})
    boxes = {one.name: one.image.box for one in read_tracks(tmp_path, _settings(margin=0.5)).sightings}
    assert boxes == {"1/000001.png": (0, 0, 30, 60), "1/000002.png": (130, 60, 160, 120)}


def test_a_box_that_others_cover_is_left_out_and_counted(tmp_path: pathlib.Path):
    # In frame 2, person 2 stands in front of 1 and covers half of it and a bit; the one behind covers nobody.
    _write(tmp_path, {1: {1: (10, 20, 20, 40), 2: (60, 20, 20, 44)}, 2: {1: (10, 20, 20, 40), 2: (18, 20, 20, 44)}})
    found = read_tracks(tmp_path, _settings(max_covered=0.5))
    assert {one.name for one in found.sightings} == {"1/000001.png", "2/000001.png", "2/000002.png"}
    assert found.notes == [
        "gt/gt.txt: 3 pictures of 2 tracks, at least 1 frame apart; boxes left out: 1 hidden by more than 50%"
    ]
    assert len(read_tracks(tmp_path, _settings(max_covered=0.7)).sightings) == 4


@pytest.mark.parametrize(
    ("box", "others", "expected"),
    [
        ((0, 0, 16, 32), [], 0.0),
        ((0, 0, 16, 32), [(8, 0, 16, 40)], 0.5),
        ((0, 0, 16, 32), [(8, 0, 16, 30)], 0.0),  # stands behind
        ((0, 0, 16, 32), [(0, 16, 16, 40), (8, 0, 16, 40)], 0.75),  # their union
        ((-8, 0, 16, 32), [], 0.5),
        ((150, 104, 20, 32), [], 0.75),
    ],
)
def test_the_hidden_share_is_the_area_that_others_in_front_and_the_edge_take(box, others, expected):
    boxes = [Box(1, track, *place) for track, place in enumerate([box, *others])]
    assert hidden_share(boxes[0], boxes, SIZE) == pytest.approx(expected)


def test_what_does_not_count_is_left_out_but_covers(tmp_path: pathlib.Path):
    more = "1,7,10,20,16,40,0,1,1\n1,8,100,20,16,40,1,3,1\n1,9,130,20,16,40,1,1,0.2\n2,1,10,20,16,6,1,1,1\n3,-1,100,100,5,5,1\n"
    _write(tmp_path, {number: {} for number in (1, 2, 3)}, more=f"1,2,60,20,16,40,1,1,1\n{more}")
    found = read_tracks(tmp_path, _settings())
    assert {one.name for one in found.sightings} == {"2/000001.png"}
    assert found.notes == [
        "gt/gt.txt: 1 picture of 1 track, at least 1 frame apart; boxes left out: 3 not of persons that count, 1 hidden by more "
        "than 50%, 1 too small",
        "  tracks of which no box can be taken: 1, 9",
    ]


def test_every_nth_frame_of_a_track_and_times_of_each(tmp_path: pathlib.Path):
    frames = _walk((1,), 12)
    for number in (4, 5, 6):
        frames[number] = {}  # the tracker lost it
    _write(tmp_path, frames)
    found = read_tracks(tmp_path, _settings(every=3, visits=3))
    assert [(int(one.name[-10:-4]), one.camera) for one in found.sightings] == [
        (1, "time 1"),
        (7, "time 2"),
        (10, "time 3"),
    ]


def test_several_sequences_are_cameras_if_ids_mean_the_same_persons(tmp_path: pathlib.Path):
    for name in ("door", "yard"):
        _write(tmp_path / name, _walk((1, 2), 4))
    found = read_tracks(tmp_path, _settings(same_ids=True))
    assert {(one.person, one.camera) for one in found.sightings} == {
        (person, camera) for person in "12" for camera in ("door", "yard")
    }
    found = read_tracks(tmp_path, _settings())
    assert {(one.person, one.camera) for one in found.sightings} == {
        (f"{name}/{track}", f"{name}/time {time}") for name in ("door", "yard") for track in (1, 2) for time in (1, 2)
    }
    assert sorted(found.files) == ["door/gt/gt.txt", "yard/gt/gt.txt"]


def test_a_bad_frame_is_named_once_and_other_boxes_make_another_dataset(tmp_path: pathlib.Path):
    folder = _write(tmp_path / "walk", _walk())
    options = {"boxes": "gt/gt.txt", "every": 1}
    drawn.build(folder, tmp_path / "data", **options)
    (folder / "img1" / "000003.png").write_bytes(b"")
    with pytest.raises(DatasetError) as error:
        drawn.build(folder, tmp_path / "other", **options)
    assert error.value.problems == (f"{folder}/img1/000003.png: not a readable picture (the file is empty)",)
    partial = drawn.build(folder, tmp_path / "other", allow_partial=True, **options)
    assert sum(len(examples) for examples in drawn.read(partial).values()) == 14
    text = (folder / "gt" / "gt.txt").read_text()
    (folder / "gt" / "gt.txt").write_text(text.replace("1,1,6,20", "1,1,7,20"))
    with pytest.raises(DatasetError, match="was built from another source"):
        drawn.build(folder, tmp_path / "data", **options)


def test_frames_of_another_size_are_named_and_not_cut_beyond_their_edge(tmp_path: pathlib.Path):
    _write(tmp_path / "walk", _walk())
    frame = tmp_path / "walk" / "img1" / "000005.png"
    Image.new("RGB", (SIZE[1] // 2, SIZE[0] // 2), "white").save(frame)
    turned = tmp_path / "walk" / "img1" / "000006.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # upright, it is as high and wide as the others
    with Image.open(turned) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    found = read_tracks(tmp_path / "walk", _settings())
    assert found.problems == [
        f"{frame}: 60x80 (height x width), where the first frame with a box has 120x160; boxes are in pixels of frames of "
        "one size"
    ]
    assert {one.name for one in found.sightings} == {f"{t}/{f:06d}.png" for t in (1, 2) for f in range(1, 9) if f != 5}


def test_grey_frames_are_counted_once_each(tmp_path: pathlib.Path):
    folder = _write(tmp_path / "walk", _walk())
    for path in (folder / "img1").iterdir():
        Image.open(path).convert("L").save(path)
    built = drawn.build(folder, tmp_path / "data", boxes="gt/gt.txt", every=1)
    assert drawn.metadata(built)["converted"] == {"grey": 8}


def test_wrong_lines_and_missing_frames_are_all_named(tmp_path: pathlib.Path):
    more = "frame,id\n1,1,0,0,10,20\n9,1,10,20,16,40,1,1,1\n1,5,nan,0,10,20\n1,5,0,0,-10,20\n1.5,5,0,0,10,20\n"
    _write(tmp_path, _walk((1,), 2), more=more)
    drawn.draw(tmp_path / "img1", ["copy_000002.jpg", "cover.jpg"])
    found = read_tracks(tmp_path, _settings())
    boxes, start = tmp_path / "gt" / "gt.txt", "expected frame, id, left, top, width, height, found"
    assert found.problems == [
        f"{boxes}:3: {start} 'frame,id'",
        f"{boxes}:4: track 1 has another box in frame 1 already",
        f"{boxes}:6: {start} '1,5,nan,0,10,20'",
        f"{boxes}:7: {start} '1,5,0,0,-10,20'",
        f"{boxes}:8: {start} '1.5,5,0,0,10,20'",
        f"{tmp_path}/img1/copy_000002.jpg: frame 2 is 000002.png already",
        f"{tmp_path}/img1: no frame 9, in which {boxes} has boxes",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no gt/gt\.txt there or in a folder in it; found img1.*A video is read by PyAV: .*ffmpeg"),
        ("", "holds no boxes"),
        ("1,-1,10,20,16,40,0.9,-1,-1,-1\n", r"holds detections without tracks \(the id is -1\); a tracker says who"),
        ("1,1,500,20,16,40,1,1,1\n", "no box can be taken.*1 hidden by more than 50%"),
    ],
)
def test_results_that_are_refused(content: str | None, message: str, tmp_path: pathlib.Path):
    drawn.draw(tmp_path, ["img1/000001.jpg"])
    if content is not None:
        (tmp_path / "gt").mkdir()
        (tmp_path / "gt" / "gt.txt").write_text(content)
    with pytest.raises(DatasetError, match=f"(?s){message}"):
        read_tracks(tmp_path, _settings())


def test_boxes_of_trackers_and_of_motchallenge_are_read(tmp_path: pathlib.Path):
    path = tmp_path / "boxes.txt"
    path.write_text(
        "2,1,10.5,20,16,40,0.7,-1,-1,-1\n1 1 10 20 16 40\n3,1,10,20,16,40,1,7,0.5\n4,1,10,20,16,40,0,-1,-1,-1\n"
    )
    boxes, problems = read_boxes(path)
    assert problems == []
    assert [(box.frame, box.left, box.counts, box.visible) for box in boxes] == [
        (1, 10.0, True, 1.0),
        (2, 10.5, True, 1.0),
        (3, 10.0, False, 0.5),
        (4, 10.0, False, 1.0),
    ]
