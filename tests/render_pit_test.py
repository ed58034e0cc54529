"""The recipes: who is seen where, disjoint random streams, and drawing as a pure function of the record."""

import collections
import json

import numpy as np
import pytest

from render import manifest, pit

SMALL = pit.PitReid(
    num_train_identities=5, num_test_identities=8, images_per_identity=5, num_distractors=4, num_cameras=6
)


def test_default_sizes_are_the_papers():
    assert pit.Pit().num_pairs == 9290
    benchmark = pit.PitReid()
    assert (benchmark.num_train_identities, benchmark.num_test_identities, benchmark.images_per_identity) == (
        1000,
        500,
        12,
    )
    assert benchmark.num_pairs == 1500 * 12 + benchmark.num_distractors


@pytest.mark.parametrize("recipe", [pit.Pit(num_textures=3, meshes_per_texture=4), SMALL])
def test_groups_cover_every_index_once_and_share_a_texture(recipe: pit.Recipe):
    groups = [list(recipe.group(number)) for number in range(recipe.num_groups)]
    assert [index for group in groups for index in group] == list(range(recipe.num_pairs))
    for group in groups:
        assert len({recipe.plan(index).texture for index in group}) == 1


def test_pit_has_no_identities_and_a_frontal_view():
    record = pit.Pit().plan(123)
    assert (record.texture_id, record.person_id, record.camera_id, record.split) == (12, -1, -1, "train")
    assert (record.image, record.texture, record.frontal) == (
        "images/0012_03.jpg",
        "textures/0012.png",
        "frontals/0012_03.jpg",
    )


def test_pit_meshes_differ_and_keep_the_texture():
    first, second = pit.Pit().plan(40).choices, pit.Pit().plan(41).choices
    assert first["appearance"] == second["appearance"]
    for key in ("shape", "pose", "site", "light", "scene", "yaw", "look", "shot"):
        assert first[key] != second[key]


def test_plan_depends_on_seed_and_index_only():
    recipe = pit.Pit(num_textures=4, meshes_per_texture=3)
    assert recipe.plan(7) == pit.Pit(num_textures=4, meshes_per_texture=3).plan(7)
    assert recipe.plan(7) != pit.Pit(seed=1, num_textures=4, meshes_per_texture=3).plan(7)
    # More textures do not change the first ones.
    assert recipe.plan(7) == pit.Pit(num_textures=9, meshes_per_texture=3).plan(7)


def test_random_streams_of_the_sets_are_disjoint():
    kinds = [pit.PIT_TEXTURE, pit.PIT_MESH, pit.CAMERA, pit.TRAIN_IDENTITY, pit.TEST_IDENTITY, pit.DISTRACTOR]
    assert len(set(kinds)) == len(kinds)
    states = [
        pit.stream(0, kind, number).bit_generator.state["state"]["state"] for kind in kinds for number in range(50)
    ]
    assert len(set(states)) == len(states)


def test_textures_of_pit_and_of_the_benchmark_are_different_persons():
    reid = {
        json.dumps(SMALL.plan(group[0]).choices["appearance"]) for group in map(SMALL.group, range(SMALL.num_groups))
    }
    assert len(reid) == SMALL.num_groups
    textures = {json.dumps(pit.Pit().plan(10 * number).choices["appearance"]) for number in range(40)}
    assert len(textures) == 40
    assert not reid & textures


def test_benchmark_splits_have_disjoint_identities():
    persons = collections.defaultdict(set)
    count = collections.Counter()
    for index in range(SMALL.num_pairs):
        record = SMALL.plan(index)
        assert record.index == index
        assert record.frontal is None
        persons[record.split].add(record.person_id)
        count[record.split] += 1
    assert persons["train"] == set(range(5))
    assert persons["query"] == set(range(5, 13))
    assert persons["gallery"] == set(range(5, 17))  # 13..16 are distractors
    assert count == {"train": 25, "query": 16, "gallery": 24 + 4}


def test_every_query_has_a_match_from_another_camera():
    records = [SMALL.plan(index) for index in range(SMALL.num_pairs)]
    assert len({record.name for record in records}) == len(records)
    for query in [record for record in records if record.split == "query"]:
        matches = [one for one in records if one.split == "gallery" and one.person_id == query.person_id]
        assert any(one.camera_id != query.camera_id for one in matches)
    for person in range(5, 13):
        cameras = [one.camera_id for one in records if one.split == "query" and one.person_id == person]
        assert len(set(cameras)) == 2


def test_an_identity_keeps_shape_and_texture_and_changes_the_rest():
    records = [SMALL.plan(index) for index in SMALL.group(2)]
    for key in ("appearance", "shape"):
        assert all(record.choices[key] == records[0].choices[key] for record in records)
    for key in ("pose", "yaw", "position", "light", "shot"):
        values = [json.dumps(record.choices[key]) for record in records]
        assert len(set(values)) == len(values)


def test_cameras_have_their_own_place_and_look():
    places = [SMALL.place(number) for number in range(6)]
    heights = sorted(place.site.height for place in places)
    assert 1.3 <= heights[0] < 2.0
    assert 5.0 < heights[-1] <= 7.5
    for values in (
        [place.site.height for place in places],
        [place.site.field_of_view for place in places],
        [place.look.exposure for place in places],
        [place.look.cast for place in places],
        [place.look.blur for place in places],
        [place.scene_seed for place in places],
    ):
        assert len(set(values)) == 6
    for index in (0, 7, 30):
        record = SMALL.plan(index)
        for key, value in SMALL.place(record.camera_id).to_json().items():
            assert record.choices[key] == value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_cameras": 5}, "num_cameras must be at least 6, found 5"),
        ({"images_per_identity": 2}, "images_per_identity must be at least 3"),
        ({"num_distractors": -1}, "num_distractors must be at least 0"),
    ],
)
def test_impossible_parameters_are_named(fields: dict[str, int], message: str):
    with pytest.raises(pit.RecipeError, match=message):
        pit.PitReid(**fields)


@pytest.fixture(scope="module")
def studio() -> pit.Studio:
    return pit.Studio()


def test_drawing_is_a_function_of_the_record(studio: pit.Studio):
    """Also of the record as it stands in the manifest, and whatever was drawn before."""
    recipe = pit.Pit(num_textures=2, meshes_per_texture=2)
    record = recipe.plan(1)
    first = studio.draw(record)
    studio.draw(recipe.plan(2))
    again = studio.draw(manifest.record_from_json(manifest.record_to_json(record), "test"))
    assert first == again
    assert set(first) == {record.image, record.texture, record.frontal}


def test_pictures_have_the_sizes_of_the_contract(studio: pit.Studio):
    import io

    from PIL import Image

    record = pit.Pit().plan(0)
    for name, content in studio.draw(record).items():
        image = Image.open(io.BytesIO(content))
        assert image.mode == "RGB"
        assert image.size == ((256, 256) if name == record.texture else (128, 256))


def test_person_stands_out_and_the_frontal_view_is_plain(studio: pit.Studio):
    record = pit.Pit().plan(5)
    texture, _ = studio._texture(pit.appearance_module.Appearance.from_json(record.choices["appearance"]))
    frontal = studio.frontal(record.choices, texture)
    assert (frontal[:, :12] == 128).all()
    assert (frontal[-3:] == 128).all()
    assert (frontal != 128).any(axis=-1).sum() > 4000
    picture = studio.picture(record.choices, texture)
    assert picture.dtype == np.uint8
    assert 40 < picture.mean() < 210


def test_pictures_of_one_person_share_the_texture_file(studio: pit.Studio):
    first, second = (studio.draw(SMALL.plan(index)) for index in list(SMALL.group(6))[:2])
    assert first["textures/0006.png"] == second["textures/0006.png"]
    assert len(first) == 2
