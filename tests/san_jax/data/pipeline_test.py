"""The Grain pipeline: what batches hold, exact resumption for any number of workers, and errors that name the example."""

import collections
import io
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from san_jax.data import cache, iterator, pipeline, reading, sampler

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
HEIGHT, WIDTH, TEXTURE = 16, 8, 12


def _example(index: int, label: int = 0) -> dict:
    """An example whose pixels say which one it is."""
    return {
        "image": np.full((HEIGHT, WIDTH, 3), index, np.uint8),
        "texture": np.full((TEXTURE, TEXTURE, 3), 100 + index, np.uint8),
        "person_id": 10 + index,
        "camera_id": index % 3,
        "label": label,
        "name": f"folder/{index}.jpg".encode(),
    }


LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4])
SOURCE = [_example(index, int(label)) for index, label in enumerate(LABELS)]


def _encoded(array: np.ndarray, image_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=image_format)
    return buffer.getvalue()


TARGET = pipeline.TargetFeature("texture", TEXTURE)


def _feed(num_steps: int, **changes) -> pipeline.Feed:
    return pipeline.Feed(
        **{"image_size": (HEIGHT, WIDTH), "seed": 5, "num_steps": num_steps, "num_workers": 0} | changes
    )


def _reid(source=SOURCE, labels=LABELS, *, target=TARGET, image="image", **feed) -> iterator.BatchIterator:
    return pipeline.reid_batches(
        source, labels, num_identities=4, images_per_identity=2, feed=_feed(9, **feed), image=image, target=target
    )


def _pit(source=SOURCE, *, batch_size=4, target=TARGET, **feed) -> iterator.BatchIterator:
    return pipeline.pit_batches(source, batch_size=batch_size, feed=_feed(7, **feed), target=target)


def _equal(batch, expected) -> None:
    assert batch.keys() == expected.keys()
    for key in batch:
        assert type(batch[key]) is np.ndarray
        assert batch[key].dtype == expected[key].dtype
        np.testing.assert_array_equal(batch[key], expected[key])


def test_reid_batches_hold_the_sampled_examples():
    sampled = sampler.IdentitySampler.from_labels(LABELS, seed=5, num_identities=4, images_per_identity=2)
    for step, batch in enumerate(_reid()):
        indices = sampled.batch(step)
        assert {key: (value.dtype, value.shape) for key, value in batch.items()} == {
            "image": (np.uint8, (8, HEIGHT, WIDTH, 3)),
            "texture": (np.uint8, (8, TEXTURE, TEXTURE, 3)),
            "label": (np.int32, (8,)),
        }
        np.testing.assert_array_equal(batch["image"][:, 3, 2, 1], indices)
        np.testing.assert_array_equal(batch["texture"][:, 3, 2, 1], 100 + indices)
        np.testing.assert_array_equal(batch["label"], LABELS[indices])
    assert step == 8


def test_batches_say_their_cameras_where_they_are_asked_to():
    cameras = reading.read_cameras(SOURCE)
    np.testing.assert_array_equal(cameras, np.arange(12) % 3)
    made = pipeline.reid_batches(
        SOURCE, LABELS, num_identities=4, images_per_identity=2, feed=_feed(9), target=TARGET, cameras=cameras
    )
    reader = made.read_batch
    arrays = cache.fill(reader, num_workers=0, report=lambda count: None)
    for plain, batch, cached in zip(_reid(), made, cache.batches(reader, arrays), strict=True):
        camera = batch["image"][:, 0, 0, 0].astype(np.int32) % 3  # the pixels say which example it is
        _equal(batch, {**plain, "camera_id": camera})
        _equal(cached, batch)
    with pytest.raises(ValueError, match="Expected a camera for each of the 12 examples, found 11"):
        pipeline.reid_batches(
            SOURCE, LABELS, num_identities=4, images_per_identity=2, feed=_feed(9), cameras=cameras[:11]
        )


def test_a_baseline_reads_no_textures():
    source = [{key: value for key, value in example.items() if key != "texture"} for example in SOURCE]
    assert next(_reid(source, target=None)).keys() == {"image", "label"}
    with pytest.raises(ValueError, match=r"lacks texture.*pseudo_texture"):
        _reid(source)


def test_other_features_as_image_and_target():
    """Whatever the examples have may be seen or regressed; a target may be as little square as an image."""
    source = [{**example, "frontal": example["image"] + 50} for example in SOURCE]
    batch = next(_reid(source, image="texture", target=pipeline.TargetFeature("frontal", (HEIGHT, WIDTH))))
    plain = next(_reid())
    assert (batch["image"].shape, batch["texture"].shape) == ((8, HEIGHT, WIDTH, 3), (8, HEIGHT, WIDTH, 3))
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], plain["texture"][:, 0, 0, 0])
    np.testing.assert_array_equal(batch["texture"], plain["image"] + 50)
    with pytest.raises(ValueError, match=r"Expected examples with image, frontal; .* lacks frontal"):
        _pit(target=pipeline.TargetFeature("frontal", TEXTURE))


def test_pit_batches_without_a_target():
    batch = next(
        _pit([{"image": example["image"]} for example in SOURCE], target=pipeline.TargetFeature("image", None))
    )
    assert batch.keys() == {"image"}
    np.testing.assert_array_equal(batch["image"], next(_pit())["image"])


def test_pit_batches_hold_the_drawn_examples():
    for step, batch in enumerate(_pit()):
        indices = sampler.shuffled_batch(12, step=step, seed=5, batch_size=4)
        assert batch.keys() == {"image", "texture"}
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], indices)
        np.testing.assert_array_equal(batch["texture"][:, -1, -1, -1], 100 + indices)
    assert step == 6


@pytest.mark.parametrize("kind", [_reid, _pit])
def test_processes_load_contiguous_rows_of_the_global_batch(kind):
    whole = list(kind())
    parts = [list(kind(process_index=index, process_count=4)) for index in range(4)]
    for step, batch in enumerate(whole):
        joined = {key: np.concatenate([part[step][key] for part in parts]) for key in batch}
        _equal(joined, batch)
    with pytest.raises(ValueError, match="does not divide among 3 processes"):
        kind(process_count=3)


@pytest.mark.parametrize("kind", [_reid, _pit])
@pytest.mark.parametrize("consumed", [0, 1, 4])
def test_resumes_exactly(kind, consumed: int):
    whole = list(kind())
    first = kind()
    for _ in range(consumed):
        next(first)
    state = first.get_state()
    assert state == {"next_step": consumed}
    second = kind()
    next(second)  # a state is set whatever was read before
    second.set_state(state)
    rest = list(second)
    assert len(rest) == len(whole) - consumed
    for batch, expected in zip(rest, whole[consumed:], strict=True):
        _equal(batch, expected)
    # The first goes on as if its state had not been read.
    _equal(next(first), whole[consumed])


def test_workers_give_the_same_batches_and_states():
    # One test for all that needs worker processes: starting them takes seconds.
    whole = list(_reid())
    first, second = _reid(num_workers=2), _reid(num_workers=2)
    try:
        for step in range(4):
            _equal(next(first), whole[step])
        second.set_state(first.get_state())
        # The saved state is the step, whatever the workers have prefetched; a run without workers goes on from it.
        alone = _reid()
        alone.set_state(first.get_state())
        for step in range(4, 9):
            expected = whole[step]
            _equal(next(second), expected)
            _equal(next(alone), expected)
        for iterator in (second, alone):
            with pytest.raises(StopIteration):
                next(iterator)
    finally:
        first.close()
        second.close()
    with pytest.raises(ValueError, match="closed"):
        next(first)


def test_an_error_in_a_worker_names_the_example():
    source = [{**example, "image": b"no image"} for example in SOURCE]
    iterator = _reid(source, num_workers=1)
    try:
        for _ in range(2):  # and asked again it fails again
            with pytest.raises(ValueError, match=r"The image of example \d+ \(folder/\d+.jpg\) cannot be decoded"):
                next(iterator)
    finally:
        iterator.close()


def test_too_little_shared_memory_means_threads(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    # A 64 MiB /dev/shm, Docker's default.
    status = collections.namedtuple("Status", ["f_bavail", "f_frsize"])(16384, 4096)
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    for batch, expected in zip(_reid(num_workers=2), list(_reid()), strict=True):
        _equal(batch, expected)
        assert not multiprocessing.active_children()
    assert "/dev/shm has 64 MiB free" in caplog.text


_KILLED = """
import os, signal, sys
sys.path.insert(0, {repository!r})
import numpy as np
from san_jax.data import pipeline

if __name__ == "__main__":
    source = [{{"image": np.zeros((8, 4, 3), np.uint8), "texture": np.zeros((8, 8, 3), np.uint8)}}] * 4
    feed = pipeline.Feed(image_size=(8, 4), seed=0, num_steps=99, num_workers=1)
    batches = pipeline.pit_batches(source, batch_size=2, feed=feed, target=pipeline.TargetFeature("texture", 8))
    next(batches)
    import multiprocessing
    print(multiprocessing.active_children()[0].pid, flush=True)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_workers_end_with_their_program(tmp_path: pathlib.Path, end: str):
    program = tmp_path / "program.py"
    program.write_text(_KILLED.format(repository=str(REPOSITORY)))
    result = subprocess.run([sys.executable, str(program), end], capture_output=True, text=True, timeout=120)
    worker = int(result.stdout)
    assert result.returncode == (0 if end == "exit" else -9), result.stderr
    if end == "exit":
        assert result.stderr == ""
    for _ in range(600):
        if not _is_running(worker):
            return
        time.sleep(0.05)
    raise AssertionError(f"worker {worker} runs on after its program")


_UNGUARDED = """
import sys
sys.path.insert(0, {repository!r})
import numpy as np
from san_jax.data import pipeline

source = [{{"image": np.zeros((8, 4, 3), np.uint8), "texture": np.zeros((8, 8, 3), np.uint8)}}] * 4
feed = pipeline.Feed(image_size=(8, 4), seed=0, num_steps=9, num_workers=1)
next(pipeline.pit_batches(source, batch_size=2, feed=feed, target=pipeline.TargetFeature("texture", 8)))
"""


def test_a_script_without_a_main_guard_is_told(tmp_path: pathlib.Path):
    program = tmp_path / "program.py"
    program.write_text(_UNGUARDED.format(repository=str(REPOSITORY)))
    result = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert 'Put what the script does below `if __name__ == "__main__":`, or set num_workers=0.' in result.stderr
    assert "can only join a started process" not in result.stderr  # what Grain says instead


def _is_running(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_states_of_another_kind_are_refused():
    iterator = _reid()
    for state in ({}, {"next_step": 10}, {"next_step": -1}, {"next_step": "3"}, {"next_step": 1, "workers": []}):
        with pytest.raises(ValueError, match=r"Expected \{'next_step': 0 to 9\}"):
            iterator.set_state(state)
    iterator.set_state({"next_step": 9})
    with pytest.raises(StopIteration):
        next(iterator)


def test_eval_batches_pad_the_last_batch():
    batches = pipeline.eval_batches(SOURCE, batch_size=5, image_size=(HEIGHT, WIDTH))
    assert len(batches) == 3
    assert batches.num_examples == 12
    assert batches.names == [f"folder/{index}.jpg" for index in range(12)]
    for _ in range(2):  # iterates again
        collected = list(batches)
        assert len(collected) == 3
        joined = {key: np.concatenate([batch[key] for batch in collected]) for key in collected[0]}
        assert {key: (value.dtype, value.shape) for key, value in joined.items()} == {
            "image": (np.uint8, (15, HEIGHT, WIDTH, 3)),
            "person_id": (np.int32, (15,)),
            "camera_id": (np.int32, (15,)),
            "valid": (np.bool_, (15,)),
        }
        np.testing.assert_array_equal(joined["valid"], [True] * 12 + [False] * 3)
        np.testing.assert_array_equal(joined["image"][:, 0, 0, 0], [*range(12), 0, 0, 0])
        np.testing.assert_array_equal(joined["person_id"], [*range(10, 22), -1, -1, -1])
        np.testing.assert_array_equal(joined["camera_id"], [*([0, 1, 2] * 4), -1, -1, -1])


def test_eval_batches_of_a_full_last_batch_need_no_padding():
    batches = list(pipeline.eval_batches(SOURCE, batch_size=4, image_size=(HEIGHT, WIDTH)))
    assert [batch["valid"].tolist() for batch in batches] == [[True] * 4] * 3


def test_images_are_resized_as_pillow_does():
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (37, 21, 3), dtype=np.uint8)
    example = _example(0) | {"image": large, "texture": large}
    batch = next(_pit([example], batch_size=1))
    expected = Image.fromarray(large).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(batch["image"][0], np.asarray(expected))
    expected = Image.fromarray(large).resize((TEXTURE, TEXTURE), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(batch["texture"][0], np.asarray(expected))


def test_encoded_images_are_decoded():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    jpeg = _encoded(image, "JPEG")
    batch = next(
        _pit(
            [_example(0) | {"image": jpeg, "texture": _encoded(image)}],
            batch_size=1,
            target=pipeline.TargetFeature("texture", WIDTH),
        )
    )
    np.testing.assert_array_equal(batch["image"][0], np.asarray(Image.open(io.BytesIO(jpeg))))
    gray = _encoded(image[..., 0])
    batch = next(_pit([_example(0) | {"image": gray}], batch_size=1))
    np.testing.assert_array_equal(batch["image"][0], np.repeat(image[..., :1], 3, axis=-1))


def test_a_truncated_image_is_named():
    image = _encoded(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG")
    source = [example | {"texture": image[: len(image) // 2]} for example in SOURCE]
    with pytest.raises(
        ValueError, match=r"The texture of example \d+ \(folder/\d+.jpg\) cannot be decoded: .*truncated"
    ):
        next(_reid(source))


def test_a_record_that_cannot_be_read_is_numbered():
    class Damaged(list):
        def __getitem__(self, index):
            if index == 7:
                raise OSError("record checksum")
            return super().__getitem__(index)

    with pytest.raises(ValueError, match="Example 7 of a Damaged of 12 examples cannot be read: record checksum"):
        list(pipeline.eval_batches(Damaged(SOURCE), batch_size=4, image_size=(HEIGHT, WIDTH)))


def test_labels_and_names_are_read():
    np.testing.assert_array_equal(reading.read_labels(SOURCE), LABELS)
    assert reading.read_names(SOURCE)[3] == "folder/3.jpg"
    with pytest.raises(ValueError, match="lacks label"):
        reading.read_labels([{"image": SOURCE[0]["image"]}])


def test_labels_must_match_the_source():
    with pytest.raises(ValueError, match="each of the 12 examples, found 11"):
        _reid(labels=LABELS[:-1])
    with pytest.raises(ValueError, match="has no examples"):
        _pit([])
    with pytest.raises(ValueError, match=r"num_workers of 0 .* found -1"):
        _pit(num_workers=-1)
    with pytest.raises(ValueError, match="batch size of 1 or more, found 0"):
        pipeline.eval_batches(SOURCE, batch_size=0, image_size=(HEIGHT, WIDTH))
