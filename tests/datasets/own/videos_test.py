"""Videos with boxes: the frames, their numbers and times, which way is up, damage, and files that are no videos."""

import fractions
import math
import pathlib
import socket
import struct

import numpy as np
import pytest
from PIL import Image

from datasets import DatasetError
from datasets.own import videos
from datasets.own.tracks import read_tracks
from san_jax.own_settings import OwnSettings
from tests.datasets.own import drawn

av = pytest.importorskip("av")

SIZE = (64, 96)  # of a frame


def picture(number: int) -> np.ndarray:
    """A frame with a gradient, brighter with its number, and a white corner at the upper left."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([rows * 2, columns, np.full(SIZE, 8 * number)], axis=-1).astype(np.uint8)
    pixels[:8, :8] = 255
    return pixels


def write_video(path: pathlib.Path, times: list[int], codec: str = "libx264", **options: str) -> pathlib.Path:
    """Writes a video whose frames are shown at these times, in hundredths of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "4"} if codec == "libx264" else {})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = fractions.Fraction(1, 100)
        for number, time in enumerate(times, start=1):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = time, fractions.Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_boxes(folder: pathlib.Path, frames: range, tracks: int = 2) -> pathlib.Path:
    (folder / "gt").mkdir(parents=True)
    lines = [
        f"{n},{track},{10 + 30 * (track - 1) + n},{10},16,40,1,1,1" for n in frames for track in range(1, tracks + 1)
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines))
    return folder


def settings(**changes) -> OwnSettings:
    return OwnSettings(**{"boxes": "gt/gt.txt", "every": 1, "margin": 0.1, **changes})


def numbers_and_times(path: pathlib.Path) -> list[tuple[int, float]]:
    return [(frame.number, round(frame.time, 6)) for frame in videos.read(path, frozenset())]


@pytest.mark.parametrize("name", ["walk.mp4", "walk.MKV", "walk.avi"])
def test_crops_are_those_of_a_folder_of_the_videos_frames(tmp_path, name):
    """Every crop, name, person and time agrees with a folder that the same frames were written into."""
    times = list(range(0, 48, 4))
    path = write_video(
        write_boxes(tmp_path / "video", range(1, 13)) / name, times, "mpeg4" if name[-1] == "i" else "libx264"
    )
    folder = write_boxes(tmp_path / "frames", range(1, 13))
    (folder / "img1").mkdir()
    means: list[float] = []
    for frame in videos.read(path, frozenset(range(1, 13))):
        means.append(frame.pixels[:, :, 2].mean())
        Image.fromarray(frame.pixels).save(folder / "img1" / f"{frame.number:06d}.png")
    assert means == sorted(means)  # brighter from frame to frame, as they were drawn
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=walk\nframeRate=25\n")
    found, expected = (read_tracks(root, settings()).sightings for root in (tmp_path / "video", folder))
    assert len(found) == 24
    for one, other in zip(found, expected, strict=True):
        assert (one.name, one.person, one.camera, one.track) == (other.name, other.person, other.camera, other.track)
        assert one.time == pytest.approx(other.time, abs=1e-6)
        assert one.image.read() == other.image.read()


def test_a_dataset_of_a_video_keeps_times_and_tracks(tmp_path):
    """The frames come at uneven times, and the first of them not at 0."""
    times = [50, 54, 58, 90, 91, 100, 110, 150]
    write_video(write_boxes(tmp_path / "shop", range(1, 9)) / "shop.mkv", times)
    built = drawn.build(tmp_path / "shop", tmp_path / "data", boxes="gt/gt.txt", every=1)
    examples = [example for examples in drawn.read(built).values() for example in examples]
    assert len(examples) == 16
    for example in examples:
        track, number = example["name"].decode()[:-4].split("/")
        assert example["time"] == pytest.approx((times[int(number) - 1] - 50) / 100, abs=2e-3)
        assert example["track"] == int(track) == example["person_id"]


def test_frames_without_a_rate_have_no_time(tmp_path):
    folder = write_boxes(tmp_path / "frames", range(1, 4))
    (folder / "img1").mkdir()
    for number in range(1, 4):
        Image.fromarray(picture(number)).save(folder / "img1" / f"{number}.png")
    assert all(math.isnan(one.time) for one in read_tracks(folder, settings()).sightings)
    assert {one.time for one in read_tracks(folder, settings(frame_rate=2.0)).sightings} == {0.0, 0.5, 1.0}


UPRIGHT, QUARTER, HALF, THREE_QUARTERS = (1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)
MIRRORED = (-1, 0, 0, 1)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        (UPRIGHT, lambda x: x),
        (QUARTER, lambda x: np.rot90(x, -1)),  # clockwise
        (HALF, lambda x: np.rot90(x, 2)),
        (THREE_QUARTERS, np.rot90),
        (MIRRORED, np.fliplr),
    ],
)
def test_frames_are_turned_as_the_phone_says(tmp_path, matrix, turned):
    path = write_video(tmp_path / "phone.mp4", [0, 4, 8])
    (plain,) = (frame.pixels for frame in videos.read(path, frozenset([2])) if frame.number == 2)
    turn(path, matrix)
    (found,) = (frame for frame in videos.read(path, frozenset([2])) if frame.number == 2)
    np.testing.assert_array_equal(found.pixels, turned(plain))
    assert found.size == found.pixels.shape[:2] == videos.read_size(path)


def turn(path: pathlib.Path, matrix: tuple[float, float, float, float]) -> None:
    """Puts another matrix into the track's header (tkhd) of an MP4 file."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: after times, id, duration, layer, group and volume
    a, b, c, d = (round(65536 * value) for value in matrix)
    assert struct.unpack_from(">9i", content, start) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def test_a_video_that_is_turned_by_another_angle_is_refused(tmp_path):
    path = write_video(tmp_path / "odd.mp4", [0, 4])
    turn(path, (0.8, 0.6, -0.6, 0.8))
    with pytest.raises(DatasetError, match=r"turned by -36 degrees, which is no quarter turn"):
        videos.read_size(path)


def test_a_video_that_is_cut_off_is_named_with_the_frame_where_it_ends(tmp_path):
    folder = write_boxes(tmp_path / "cut", range(1, 25))
    path = write_video(folder / "cut.mp4", list(range(0, 96, 4)), movflags="faststart")
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    read = read_tracks(folder, settings())
    last = max(int(one.name[-10:-4]) for one in read.sightings)
    assert 1 <= last < 24
    frames = f"{24 - last} frames after its last one, {last}: {last + 1}, {last + 2}, {last + 3}, "
    (line,) = (line for line in read.problems if "there are boxes" in line)
    assert line.startswith(f"{path}: there are boxes in {frames}")
    assert line.endswith("by its header it holds 24: it is cut off")
    with pytest.raises(DatasetError, match=r"by its header it holds 24"):
        drawn.build(folder, tmp_path / "data", boxes="gt/gt.txt", every=1)
    built = drawn.build(folder, tmp_path / "data", boxes="gt/gt.txt", every=1, allow_partial=True)
    assert drawn.metadata(built)["partial"]


def test_damage_in_the_middle_is_named_with_the_frame_before_it(tmp_path):
    folder = write_boxes(tmp_path / "torn", range(1, 25))
    path = write_video(folder / "torn.mp4", list(range(0, 96, 4)))
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + 1500
    content[middle : middle + 300] = b"\xff" * 300
    path.write_bytes(content)
    read = read_tracks(folder, settings())
    last = max(int(one.name[-10:-4]) for one in read.sightings)
    assert 1 < last < 24
    (line, _) = read.problems
    assert line.startswith(f"{path}: the video ends after frame {last}, where it is damaged (")


def test_boxes_beyond_the_last_frame_are_named(tmp_path):
    folder = write_boxes(tmp_path / "short", range(1, 6))
    path = write_video(folder / "short.mp4", [0, 4, 8])
    read = read_tracks(folder, settings())
    assert read.problems == [f"{path}: there are boxes in 2 frames after its last one, 3: 4, 5"]
    assert len(read.sightings) == 6


def test_a_file_that_is_no_video_is_refused(tmp_path):
    folder = write_boxes(tmp_path / "none", range(1, 3))
    (folder / "walk.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(DatasetError, match=r"walk\.mp4 cannot be read as a video"):
        read_tracks(folder, settings())
    (folder / "walk.mp4").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"walk\.mp4 cannot be read as a video"):
        read_tracks(folder, settings())
    (folder / "other.mkv").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"expected one video beside its boxes, found other\.mkv, walk\.mp4"):
        read_tracks(folder, settings())


def test_no_video_opens_an_address_or_another_file(tmp_path):
    """Lists that FFmpeg would follow, under a video's name; each names a video that can be read."""
    other = write_video(tmp_path / "other.ts", list(range(0, 80, 4)), "mpeg2video")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        lists = [
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{where}\n#EXT-X-ENDLIST\n" for where in (address, other)
        ]
        lists += [f"ffconcat version 1.0\nfile '{where}'\n" for where in (address, other.name)]
        lists += [
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ]
        for text in lists:
            path = tmp_path / "list.mp4"
            path.write_text(text)
            with pytest.raises(DatasetError, match=r"list\.mp4 cannot be read as a video"):
                videos.read_size(path)
        with pytest.raises(TimeoutError):
            server.accept()
    assert videos.read_size(other) == SIZE


def test_without_the_package_both_ways_are_told(tmp_path, monkeypatch):
    folder = write_boxes(tmp_path / "none", range(1, 3))
    (folder / "walk.mp4").write_bytes(b"")
    monkeypatch.setattr(videos.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"(?s)PyAV is not installed.*pip install 'av>=15'.*ffmpeg -i VIDEO"):
        read_tracks(folder, settings())


def test_frames_come_one_at_a_time(tmp_path):
    """Reading stops where the caller stops, long before the end of the video, and only wanted frames hold pixels."""
    path = write_video(tmp_path / "long.mp4", list(range(0, 400, 4)))
    frames = videos.read(path, frozenset([2]))
    first, second = next(frames), next(frames)
    assert (first.number, first.pixels) == (1, None)
    assert second.pixels.shape == (*SIZE, 3)
    frames.close()
    assert len(numbers_and_times(path)) == 100
