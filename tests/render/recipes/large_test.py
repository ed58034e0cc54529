"""`pit_reid.py:large`: 1.8 million pictures are planned one at a time, and no two of its persons are the same."""

import collections
import itertools
import json
import pathlib
import pickle
import time
import tracemalloc

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import rendering, shards
from render.recipes import pit_reid


@pytest.fixture(scope="module")
def large() -> pit_reid.PitReid:
    recipe = rendering.make_recipe(config_files.load("pit_reid.py:large"))
    assert isinstance(recipe, pit_reid.PitReid)
    return recipe


def firsts(recipe: pit_reid.PitReid) -> dict[str, int]:
    """The first person of each set, and how many there are."""
    train = recipe.num_train_identities
    return {"train": 0, "test": train, "distractors": train + recipe.num_test_identities, "end": recipe.num_groups}


def test_its_counts(large: pit_reid.PitReid):
    assert large.num_train_identities + large.num_test_identities == 8000
    assert (large.num_groups, large.num_pairs) == (14000, 1_800_000)
    assert large.num_pairs == 7000 * 224 + 1000 * (224 + 1 + 1) + 6000
    groups = [large.group(number) for number in range(large.num_groups)]
    assert groups[0].start == 0
    assert groups[-1].stop == large.num_pairs
    assert all(one.stop == other.start for one, other in itertools.pairwise(groups))
    config = config_files.load("pit_reid.py:large")
    others = config_files.differences(config_files.load("pit_reid.py"), config)
    assert set(others) == {*(key for key in others if key.startswith("num_")), "images_per_identity"}
    assert config_files.load("pit_reid.py:large,num_cameras=7").num_cameras == 7


def test_a_record_takes_no_longer_and_no_more_memory_with_more_identities(large: pit_reid.PitReid):
    """Planned by fresh recipes, so that nothing is known of the persons before."""

    def cost(recipe: pit_reid.PitReid, start: int) -> tuple[float, int]:
        indices = [start + 1000 * number for number in range(30)]
        begin = time.process_time()
        for index in indices:
            recipe.plan(index)
        seconds = time.process_time() - begin
        tracemalloc.start()
        try:
            for index in indices:
                recipe.plan(index)
            return seconds, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = pit_reid.PitReid(num_train_identities=150, images_per_identity=224, num_cameras=24)
    small.plan(0)  # loads what drawing persons needs
    (small_seconds, small_bytes), (seconds, size) = cost(small, 0), cost(large, 1_500_000)
    assert seconds < 5 * small_seconds
    assert size < 2 * small_bytes < 2_000_000
    assert len(pickle.dumps(large)) < 50_000  # what each worker is sent


def test_identities_cameras_and_splits(large: pit_reid.PitReid):
    """All pictures of a person of each set."""
    first = firsts(large)
    found = {}
    for name in ("train", "test", "distractors"):
        records = [large.plan(index) for index in large.group(first[name] + 3)]
        assert {record.person_id for record in records} == {first[name] + 3}
        assert [record.index for record in records] == list(large.group(first[name] + 3))
        assert len({record.texture for record in records}) == 1
        found[name] = collections.Counter(record.split for record in records)
        cameras = {record.camera_id for record in records}
        assert cameras <= set(range(24))
        assert len(cameras) >= 3 or name == "distractors"
        queries = [record for record in records if record.split.startswith("query")]
        seen = {record.camera_id for record in records if record.split == "gallery"}
        assert all(seen - {query.camera_id} for query in queries)
    assert found["train"] == {"train": 224}
    assert found["test"] == {"query": 2, "gallery": 222, "query_partial": 1, "query_occluded": 1}
    assert found["distractors"] == {"gallery": 1}
    places = {json.dumps(large.place(camera).to_json()) for camera in range(24)}
    assert len(places) == 24


def test_nobody_is_somebody_else(large: pit_reid.PitReid):
    """Some hundred persons of each set. Look-alikes differ in small things; nobody looks the same as another."""
    first = firsts(large)
    numbers = [start + offset for start in list(first.values())[:3] for offset in range(120)]
    numbers += range(first["end"] - 100, first["end"])
    persons = {number: large.person(number) for number in numbers}
    looks = [human.appearance for human in persons.values()]
    assert len(set(looks)) == len(numbers)
    alone = [human for human in persons.values() if human.look_alike is None]
    assert len({human.appearance.colors for human in alone}) == len(alone)
    assert len({human.shape for human in persons.values()}) == len(numbers)
    alike = collections.Counter(human.look_alike for human in persons.values() if human.look_alike is not None)
    assert set(alike.values()) == {4}
    assert 0.5 < sum(alike.values()) / 240 < 0.7  # of the training and test identities


def test_streams_of_all_persons_differ(large: pit_reid.PitReid):
    """Each person is drawn by a stream of their own, so equal persons would be a coincidence of all colours."""
    sets = ((pit_reid.TRAIN_IDENTITY, 7000), (pit_reid.TEST_IDENTITY, 1000), (pit_reid.DISTRACTOR, 6000))
    first = {
        pit_reid.stream(large.seed, kind, number, 0).integers(1 << 62)
        for kind, total in sets
        for number in range(total)
    }
    assert len(first) == large.num_groups


def test_names_sort_as_the_numbers_do(large: pit_reid.PitReid):
    first = firsts(large)
    numbers = [0, 1, 9, 10, 999, 6999, first["test"], 9999, 10000, first["end"] - 1]
    records = [large.plan(index) for number in numbers for index in list(large.group(number))[:120:13]]
    in_order = sorted(records, key=lambda record: (record.person_id, record.camera_id, record.index))
    assert sorted(records, key=lambda record: record.name) == in_order
    textures = [large.plan(large.group(number)[0]).texture for number in numbers]
    assert textures == sorted(textures)
    assert len(set(map(len, textures))) == 1
    assert records[0].name == f"00000_c{records[0].camera_id:02d}_000"
    # The names of the recipe's default counts.
    default = pit_reid.PitReid().plan(7)
    assert default.name == f"0000_c{default.camera_id}_07"


def test_a_person_is_drawn_once_for_all_pictures(large: pit_reid.PitReid, monkeypatch: pytest.MonkeyPatch):
    fresh = pickle.loads(pickle.dumps(large))
    drawn: list[int] = []
    draw = pit_reid.PitReid._draw_person
    monkeypatch.setattr(
        pit_reid.PitReid, "_draw_person", lambda self, number: drawn.append(number) or draw(self, number)
    )
    records = [fresh.plan(index) for index in [*large.group(5)][:4] + [*large.group(6)][:4] + [*large.group(5)][4:6]]
    assert drawn == [5, 6, 5]
    monkeypatch.undo()
    other = rendering.make_recipe(config_files.load("pit_reid.py:large"))
    assert records == [other.plan(record.index) for record in reversed(records)][::-1]


def test_shards_hold_whole_persons_and_are_alike(large: pit_reid.PitReid):
    for count in (64, 1000, 14000, 20000):
        parts = [shards.indices(shards.Shard(index, count), large.num_groups) for index in range(count)]
        assert sum(map(len, parts)) == large.num_groups
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_an_empty_and_a_one_person_shard_are_drawn(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Of 20,000 shards of 14,000 persons some are empty."""
    asked: list[list[list[int]]] = []
    monkeypatch.setattr(rendering, "render_pairs", lambda recipe, folder, todo, *_: asked.append(todo))
    monkeypatch.setattr(pit_reid.PitReid, "mirror_map", lambda self: np.zeros((256, 256, 2), np.uint16))
    config = config_files.load("pit_reid.py:large")
    for index in (0, 1):
        folder = rendering.run_shard(config, shards.Shard(index, 20000), output_dir=tmp_path / "large")
        assert shards.read(folder).complete
    assert asked == [[list(range(224))]]
    assert np.diff(
        [len(shards.read(shards.folder(tmp_path / "large", shards.Shard(i, 20000))).items) for i in (0, 1)]
    ) == [224]
