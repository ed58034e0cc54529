"""What a record says of a picture, sorted into values; colours and skin tones by name."""

import copy
import math

import numpy as np
import pytest

from experiments.scoring import colour_names, facets
from experiments.scoring.facets import FACETS, FacetError
from render.people import accessories, appearance
from render.recipes.pit_reid import PitReid
from tests.experiments.microscope_data import CHOICES

BY_NAME = {facet.name: facet for facet in FACETS}


def value(name, **changes):
    """Sorts one picture whose choices are CHOICES but for `changes`."""
    choices = copy.deepcopy(CHOICES)
    for key, change in changes.items():
        choices[key] = {**choices[key], **change} if isinstance(change, dict) else change
    found = facets.sort_pictures(BY_NAME[name], {"a.jpg": choices})
    (group,) = found.groups
    return None if group < 0 else found.labels[group]


@pytest.mark.parametrize("place", [(0.0, 5.0), (3.0, 4.0), (-6.0, 2.0)])
@pytest.mark.parametrize(
    ("turned", "view"),
    [(0, "front"), (44, "front"), (-44, "front"), (46, "side"), (-134, "side"), (136, "back"), (180, "back")],
)
def test_view_is_the_angle_to_the_camera_wherever_the_person_stands(place, turned, view):
    x, y = place
    towards_camera = math.atan2(-x, y)  # yaw 0 faces -y, and the camera stands over (0, 0)
    assert value("view", position=list(place), yaw=towards_camera + math.radians(turned)) == view


@pytest.mark.parametrize(
    ("sun", "night", "light"),
    [(1.5, False, "hard"), (1.4, False, "soft"), (0.3, False, "soft"), (0.2, False, "even"), (9, True, "night")],
)
def test_light_is_sun_over_sky(sun, night, light):
    assert value("light", light={"sun": [9, sun, 9], "sky": [9, 1.0, 9], "night": night}) == light


def test_what_hides_and_what_is_cut_off():
    assert value("occlusion", occluders=[]) == "nothing"
    assert value("occlusion", occluders=[{"cover": 0.39}]) == "up to 40 %"
    assert value("occlusion", occluders=[{"cover": 0.3}, {"cover": 0.3}]) == "more than 40 %"  # 0.7 * 0.7 are seen
    assert value("cut", framing={"cut": [0, 0, 0, 0]}) == "nothing"
    assert value("cut", framing={"cut": [0.0, 0.0, 0.0, 0.5]}) == "up to half"
    assert value("cut", framing={"cut": [0.2, 0.0, 0.0, 0.4]}) == "more than half"  # 0.8 * 0.6


def test_clothes_and_person():
    assert value("bag", accessories=[{"kind": "cap"}]) == "none"
    assert value("bag", accessories=[{"kind": "tote"}]) == "in the hand"
    assert value("bag", accessories=[{"kind": "tote"}, {"kind": "backpack"}]) == "on back or shoulder"
    assert value("pattern", appearance={"pattern": "tartan"}) == "checks"
    assert value("garment", appearance={"top": "polo"}) == "shirts"
    assert value("lower_colour", appearance={"bottom_color": [0.1, 0.1, 0.1]}) == "black"
    assert value("lower_colour", appearance={"top": "dress"}) is None
    assert value("gender", appearance={"female": False}) == "man"
    assert value("look_alikes", look_alike=7) == "some"


def test_every_kind_that_is_drawn_has_a_value():
    assert {value("pattern", appearance={"pattern": one}) for one in appearance.PATTERNS} == set(facets.PATTERN_GROUPS)
    assert {value("garment", appearance={"top": one}) for one in appearance.TOPS} == set(BY_NAME["garment"].values)
    bags = {*accessories.PLACES["back"], *accessories.PLACES["hand"]} - {"papers"}
    assert "none" not in {value("bag", accessories=[{"kind": one}]) for one in bags}
    assert value("bag", accessories=[{"kind": "papers"}]) == "none"


def test_every_facet_reads_the_records_of_the_recipe():
    recipe = PitReid(num_train_identities=1, num_test_identities=12, num_distractors=1)
    records = [recipe.plan(index) for index in range(12, recipe.num_pairs)]
    pictures = {record.image: record.choices for record in records}
    for facet in FACETS:
        found = facets.sort_pictures(facet, pictures)
        assert len(found.groups) == len(records)
        assert found.groups.max() < len(found.labels)
        assert (found.groups >= 0).any()
    hidden = facets.sort_pictures(BY_NAME["occlusion"], pictures).groups
    assert all(hidden[i] > 0 for i, record in enumerate(records) if record.split == "query_occluded")
    cut = facets.sort_pictures(BY_NAME["cut"], pictures).groups
    assert all(cut[i] > 0 for i, record in enumerate(records) if record.split == "query_partial")


def test_numbers_are_cut_into_thirds():
    pictures = {f"{n}.jpg": {**CHOICES, "position": [0.0, float(n)]} for n in (9, 1, 2, 3, 4, 5, 6, 7, 8)}
    found = facets.sort_pictures(BY_NAME["distance"], pictures)
    assert found.labels == ("below 3.67 m", "3.67 m to 6.33 m", "6.33 m or more")
    assert found.groups.tolist() == [2, 0, 0, 0, 1, 1, 1, 2, 2]
    alike = facets.sort_pictures(BY_NAME["distance"], {f"{n}.jpg": CHOICES for n in range(5)})
    assert len(set(alike.groups.tolist())) == 1


@pytest.mark.parametrize(
    ("name", "without", "says"),
    [
        ("view", {"yaw": None}, "The record of a.jpg cannot be sorted by view: "),
        ("light", {"light": {}}, "cannot be sorted by light: no 'night'. It was rendered by another version"),
        (
            "pattern",
            {"appearance": {**CHOICES["appearance"], "pattern": "paisley"}},
            "found 'paisley', expected one of plain",
        ),
    ],
)
def test_a_record_that_lacks_a_field_is_named(name, without, says):
    with pytest.raises(FacetError, match=says):
        facets.sort_pictures(BY_NAME[name], {"a.jpg": {**CHOICES, **without}})


def test_cielab_is_that_of_the_standard():
    """Bruce Lindbloom's values for sRGB's primaries, D65."""
    assert colour_names.cielab([1, 1, 1]) == pytest.approx((100.0, 0.0, 0.0), abs=0.01)
    assert colour_names.cielab([1, 0, 0]) == pytest.approx((53.24, 80.09, 67.20), abs=0.01)
    assert colour_names.cielab([0, 0, 1]) == pytest.approx((32.30, 79.19, -107.86), abs=0.01)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((0.08, 0.08, 0.09), "black"),
        ((0.5, 0.5, 0.52), "grey"),
        ((0.95, 0.94, 0.93), "white"),
        ((0.8, 0.1, 0.15), "red, pink"),
        ((0.9, 0.5, 0.65), "red, pink"),
        ((0.45, 0.3, 0.15), "orange to yellow"),
        ((0.9, 0.8, 0.2), "orange to yellow"),
        ((0.2, 0.6, 0.25), "green"),
        ((0.15, 0.2, 0.45), "blue"),
        ((0.3, 0.6, 0.9), "blue"),
        ((0.5, 0.2, 0.6), "purple"),
    ],
)
def test_colours_by_name(colour, name):
    assert colour_names.colour_name(colour) == name


def test_skin_tones_run_from_light_to_dark():
    lightest, darkest = np.array([0.80, 0.63, 0.545]), np.array([0.265, 0.175, 0.13])
    tones = [colour_names.skin_tone(lightest + share * (darkest - lightest)) for share in np.linspace(0, 1, 40)]
    assert list(dict.fromkeys(tones)) == list(colour_names.SKIN_TONES)
