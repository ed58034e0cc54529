"""The recipes: who is seen where, disjoint random streams, topics, and drawing as a pure function of the record."""

import collections
import dataclasses
import json
import math
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from render import manifest
from render.paint import painter
from render.people.accessories import Accessory, AccessoryShares
from render.people.wardrobe import Wardrobe
from render.recipes import base, build, pit, pit_reid
from render.recipes.choices import Choices
from render.recipes.studio import Studio
from render.scene import photo_folder
from render.scene.world import SceneShares
from san_jax import files

SMALL = pit_reid.PitReid(
    num_train_identities=5, num_test_identities=8, images_per_identity=5, num_distractors=4, num_cameras=6
)


def test_default_sizes_are_the_papers():
    assert pit.Pit().num_pairs == 9290
    benchmark = pit_reid.PitReid()
    assert (benchmark.num_train_identities, benchmark.num_test_identities, benchmark.images_per_identity) == (
        1000,
        500,
        12,
    )
    assert benchmark.num_pairs == 1000 * 12 + 500 * (12 + 1 + 1) + benchmark.num_distractors


@pytest.mark.parametrize("recipe", [pit.Pit(num_textures=3, meshes_per_texture=4), SMALL])
def test_every_index_is_planned_and_goes_through_json(recipe: build.Recipe):
    records = [recipe.plan(index) for index in range(recipe.num_pairs)]
    assert [record.index for record in records] == list(range(recipe.num_pairs))
    assert len({record.name for record in records}) == recipe.num_pairs
    for record in records:
        assert manifest.record_from_json(manifest.record_to_json(record), "test") == record
        assert Choices.from_json(record.choices).to_json() == record.choices
        assert recipe.plan(record.index) == record
    with pytest.raises(IndexError):
        SMALL.plan(SMALL.num_pairs)


@pytest.mark.parametrize("recipe", [pit.Pit(num_textures=3, meshes_per_texture=4), SMALL])
def test_groups_cover_every_index_once_and_share_a_texture(recipe: build.Recipe):
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
    kinds = [base.PIT_TEXTURE, base.PIT_MESH, base.CAMERA, base.TRAIN_IDENTITY, base.TEST_IDENTITY, base.DISTRACTOR]
    kinds += [base.CAMERA_ORDER, base.TRAIN_LOOK_ALIKES, base.TEST_LOOK_ALIKES]
    assert len(set(kinds)) == len(kinds)
    states = [
        base.stream(0, kind, number).bit_generator.state["state"]["state"] for kind in kinds for number in range(50)
    ]
    assert len(set(states)) == len(states)


def test_textures_of_pit_and_of_the_benchmark_are_different_persons():
    reid = {
        json.dumps(SMALL.plan(group[0]).choices["appearance"]) for group in map(SMALL.group, range(SMALL.num_groups))
    }
    assert len(reid) == SMALL.num_groups  # look-alikes are different persons as well
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
    assert persons["query_partial"] == persons["query_occluded"] == set(range(5, 13))
    assert count == {"train": 25, "query": 16, "gallery": 24 + 4, "query_partial": 8, "query_occluded": 8}


@pytest.mark.parametrize(
    "recipe", [SMALL, dataclasses.replace(SMALL, partial_queries_per_identity=3, occluded_queries_per_identity=0)]
)
def test_every_query_has_a_match_from_another_camera(recipe: pit_reid.PitReid):
    records = [recipe.plan(index) for index in range(recipe.num_pairs)]
    queries = [record for record in records if record.split.startswith("query")]
    per_person = 2 + recipe.partial_queries_per_identity + recipe.occluded_queries_per_identity
    assert len(queries) == 8 * per_person
    for query in queries:
        matches = [one for one in records if one.split == "gallery" and one.person_id == query.person_id]
        assert any(one.camera_id != query.camera_id for one in matches)
    for person in range(5, 13):
        cameras = [one.camera_id for one in records if one.split == "query" and one.person_id == person]
        assert len(set(cameras)) == 2


def test_partial_and_occluded_queries_show_one_thing_each():
    records = [SMALL.plan(index) for index in range(SMALL.num_pairs)]
    partial = [record.choices for record in records if record.split == "query_partial"]
    occluded = [record.choices for record in records if record.split == "query_occluded"]
    assert all(choices["framing"]["kind"] == "partial" and not choices["occluders"] for choices in partial)
    assert all(choices["framing"]["kind"] == "whole" and choices["occluders"] for choices in occluded)


def test_look_alikes_differ_in_small_things():
    recipe = pit_reid.PitReid(num_train_identities=80, num_test_identities=80, look_alike_share=0.5, look_alike_group=4)
    persons = [recipe.person(number) for number in range(160)]
    groups = collections.defaultdict(list)
    for number, human in enumerate(persons):
        if human.look_alike is not None:
            groups[human.look_alike].append(number)
    assert len(groups) == 20
    small = ("hair", "shoe", "print", "trim", "belt", "sock", "glasses", "beard")
    for first, members in groups.items():
        assert members == list(range(first, first + 4))
        looks = [persons[number].appearance for number in members]
        assert len(set(looks)) == 4
        fields = [one.to_json() for one in looks]
        differing = {name for name in fields[0] for one in fields if one[name] != fields[0][name]}
        assert all(name.startswith(small) for name in differing), differing
        heights = [persons[number].shape.height for number in members]
        assert 0 < np.ptp(heights) < 0.15
        assert len({persons[number].accessories for number in members}) == 1
    own = [human.appearance.colors for human in persons if human.look_alike is None]
    assert len(set(own)) == 80
    assert not any(pit_reid.PitReid(look_alike_share=0.0).person(number).look_alike is not None for number in range(9))
    # A set whose last group is not whole.
    everyone = dataclasses.replace(SMALL, look_alike_share=1.0)
    assert [everyone.person(number).look_alike for number in range(14)] == [*[0] * 4, 4, *[5] * 4, *[9] * 4, None]


def test_look_alikes_differ_in_what_is_seen():
    recipe = pit_reid.PitReid()
    hidden = {"trim": ("trim_color",), "print_front": ("print_seed", "print_colors")}
    boots = 0
    for first in range(0, 600, 4):
        group = [recipe.person(number) for number in range(first, first + 4)]
        if any(human.look_alike != first for human in group):
            continue
        looks = []
        for human in group:
            fields = human.appearance.to_json()
            for name, unseen in hidden.items():
                if fields[name] == "none" and (name == "trim" or fields["print_back"] == "none"):
                    fields |= dict.fromkeys(unseen)
            if human.appearance.shoe == "boot":  # socks do not show in them
                fields |= {"sock": None, "sock_color": None}
                boots += 1
            looks.append(fields)
        assert all(looks[k] != looks[j] for k in range(4) for j in range(k))
    assert boots > 20


def test_an_identity_keeps_its_accessories_mostly():
    shares = {"backpack": 0.5, "shoulder_bag": 0.0, "umbrella": 0.5, "folded_umbrella": 0.0}
    recipe = pit_reid.PitReid(accessories=AccessoryShares(**shares), images_per_identity=40, look_alike_share=0.0)
    seen, pictures, umbrellas = 0, 0, collections.Counter()
    for number in range(12):
        has = {accessory.kind for accessory in recipe.person(number).accessories}
        for index in recipe.group(number):
            shown = [Accessory.from_json(fields) for fields in recipe.plan(index).choices["accessories"]]
            kinds = {accessory.kind for accessory in shown}
            assert kinds <= has | {"folded_umbrella"}
            pictures += "backpack" in has
            seen += "backpack" in kinds
            umbrellas.update(kinds & {"umbrella", "folded_umbrella"})
    assert pictures >= 80
    assert 0.88 < seen / pictures < 1.0
    assert min(umbrellas["umbrella"], umbrellas["folded_umbrella"]) > 20


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
        ({"seed": -1}, "seed must be at least 0, found -1"),
        ({"seed": 1.5}, "seed must be an integer, found 1.5"),
        ({"num_cameras": 5}, "num_cameras must be at least 6, found 5"),
        ({"images_per_identity": 2}, "images_per_identity must be at least 3"),
        ({"num_distractors": -1}, "num_distractors must be at least 0"),
        ({"partial_queries_per_identity": -1}, "partial_queries_per_identity must be at least 0"),
        ({"look_alike_group": 1}, "look_alike_group must be at least 2, found 1"),
        ({"look_alike_share": 1.5}, r"look_alike_share must lie in \[0, 1\], found 1.5"),
        ({"look_alike_share": math.nan}, r"look_alike_share must lie in \[0, 1\], found nan"),
        ({"occluders": {"share": 3}}, r"occluders.share must be a number in \[0, 1\], found 3"),
        ({"occluders": {"query_cover": (0.7, 1.0)}}, "pit_reid: occluders.query_cover starts at 0.7, but"),
        ({"light": {"kinds": {"noon": 1.0}}}, "light.kinds knows no 'noon'"),
        ({"light": {"kinds": {"night": -1.0}}}, "light.kinds.night must be a weight of at least 0"),
        ({"wardrobe": {"female": 2.0}}, "wardrobe.female must be a number"),
        ({"accessories": {"backpack": -0.1}}, "accessories.backpack must be a probability"),
        ({"kept": {"head": 1.5}}, "kept.head must be a number"),
        ({"crowd": {"shar": 0.1}}, "pit_reid: crowd has no shar; there are: beside, most, share"),
        ({"crowd": 0.1}, "crowd must be a group of keys, found 0.1"),
        ({"num_camera": 6}, "pit_reid has no num_camera; there are: .*num_cameras"),
        ({"recipe": "pitt"}, "recipe is 'pitt'; expected one of pit, pit_reid"),
    ],
)
def test_impossible_parameters_are_named(fields: dict, message: str):
    with pytest.raises(base.RecipeError, match=message):
        build.make_recipe({"recipe": "pit_reid", **fields})


def test_what_a_recipe_does_not_draw_is_not_asked_for():
    benches = {"kinds": {"bench": 1.0}, "cover": (0.1, 0.15)}  # too low for the queries of a hidden person
    assert isinstance(build.make_recipe({"recipe": "pit", "occluders": benches}), pit.Pit)
    build.make_recipe({"recipe": "pit_reid", "occluded_queries_per_identity": 0, "occluders": benches})
    with pytest.raises(base.RecipeError, match=r"pit_reid: occluders\.query_cover"):
        build.make_recipe({"recipe": "pit_reid", "occluders": benches})


@pytest.mark.parametrize("recipe", [pit.Pit(num_textures=3), SMALL])
def test_parameters_hold_every_topic_as_json_and_give_the_recipe_back(recipe: build.Recipe):
    parameters = recipe.parameters()
    assert json.loads(files.canonical_json(parameters)) == parameters
    expected = {field.name for field in dataclasses.fields(recipe)} - {"seed"} | {"drawing_version"}
    assert set(parameters) == expected
    assert parameters["cloth_dir"] is None
    for name in ("drawing_version", "cloth_dir", "background_dir"):
        del parameters[name]
    again = build.make_recipe({"recipe": recipe.name, **parameters})
    assert again == recipe
    # Also what is drawn: JSON sorts the names of weights.
    assert again.plan(3) == recipe.plan(3)


def _write_photos(folder: pathlib.Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for name in ("a.png", "more/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 80, 3), np.uint8)).save(folder / name)


def test_folders_count_by_their_content(tmp_path: pathlib.Path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        _write_photos(tmp_path / name, seed)
    one, two, other = (
        pit.Pit(cloth_dir=str(tmp_path / name)).parameters()["cloth_dir"] for name in ("one", "two", "other")
    )
    assert one == two
    assert one["files"] == other["files"] == 2
    assert one["digest"] != other["digest"]
    (tmp_path / "one" / "c.jpg").write_bytes(b"no picture")
    with pytest.raises(photo_folder.PhotoFolderError, match=r"c\.jpg"):
        pit.Pit(background_dir=str(tmp_path / "one")).parameters()


def test_photographs_of_a_folder_are_planned_by_name(tmp_path: pathlib.Path):
    _write_photos(tmp_path)
    scenes = SceneShares(photo_share=0.5)
    recipe = pit.Pit(background_dir=str(tmp_path), scenes=scenes)
    planned = [recipe.plan(index).choices["background"] for index in range(40)]
    assert {None if one is None else one["photo"] for one in planned} == {None, "a.png", "more/b.png"}
    assert all(pit.Pit().plan(index).choices["background"] is None for index in range(5))


@pytest.fixture(scope="module")
def studio() -> Studio:
    return pit.Pit().studio()


def test_drawing_is_a_function_of_the_record(studio: Studio):
    """Also of the record as it stands in the manifest, and whatever was drawn before."""
    recipe = pit.Pit(num_textures=2, meshes_per_texture=2)
    record = recipe.plan(1)
    first = studio.draw(record)
    studio.draw(recipe.plan(2))
    again = studio.draw(manifest.record_from_json(manifest.record_to_json(record), "test"))
    assert first == again
    assert set(first) == {record.image, record.texture, record.frontal}


def test_pictures_have_the_sizes_of_the_contract(studio: Studio):
    import io

    record = pit.Pit().plan(0)
    for name, content in studio.draw(record).items():
        image = Image.open(io.BytesIO(content))
        assert image.mode == "RGB"
        assert image.size == ((256, 256) if name == record.texture else (128, 256))


def test_person_stands_out_and_the_frontal_view_is_plain(studio: Studio):
    record = pit.Pit().plan(5)
    choices = Choices.from_json(record.choices)
    texture = painter.paint_texture(studio.body, choices.person.appearance)
    frontal = studio.frontal(choices, texture)
    assert (frontal[:, :6] == 128).all()
    assert (frontal[-3:] == 128).all()
    assert (frontal != 128).any(axis=-1).sum() > 4000
    picture = studio.picture(choices, texture)
    assert picture.dtype == np.uint8
    assert 40 < picture.mean() < 210


def test_people_wear_the_users_cloth_before_the_users_photographs(studio: Studio, tmp_path: pathlib.Path):
    _write_photos(tmp_path)
    wardrobe = Wardrobe(cloth_share=1.0)
    recipe = pit.Pit(cloth_dir=str(tmp_path), background_dir=str(tmp_path), wardrobe=wardrobe)
    record = recipe.plan(0)
    assert set(record.choices["appearance"]["cloth"]) <= {"a.png", "more/b.png"}
    with pytest.raises(base.RecipeError, match="needs the photograph"):
        studio.draw(record)
    there = pickle.loads(pickle.dumps(recipe)).studio()  # as a worker gets it
    files = there.draw(record)
    assert files == there.draw(record)
    plain = dataclasses.replace(record, choices={**record.choices, "background": None})
    others = there.draw(plain)
    assert {name for name in files if files[name] != others[name]} == {record.image}


def test_pictures_of_one_person_share_the_texture_file(studio: Studio):
    first, second = (studio.draw(SMALL.plan(index)) for index in list(SMALL.group(6))[:2])
    assert first["textures/0006.png"] == second["textures/0006.png"]
    assert len(first) == 2
