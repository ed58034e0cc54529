"""Textures: what is painted where, and what changes with each field of an appearance."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from render.figure import body, coverage
from render.figure.body import SUPERSAMPLING, TEXTURE_SIZE, Body
from render.paint import brushes, fabrics, painter, prints
from render.people import appearance as looks
from render.people.appearance import Appearance
from render.people.sample import sample_appearance, vary_slightly


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


@pytest.fixture(scope="module")
def plain() -> Appearance:
    """A woman in a plain red tee and plain blue trousers."""
    base = sample_appearance(np.random.default_rng(5))
    return dataclasses.replace(
        base,
        female=True,
        top="tee",
        fabric="jersey",
        pattern="plain",
        print_front="none",
        print_back="none",
        trim="none",
        wear=0.3,
        colors=((0.8, 0.1, 0.1), *base.colors[1:]),
        sleeve=0.6,
        hem=0.03,
        neckline=0.01,
        v_neck=False,
        open_front=False,
        hood="none",
        tucked=False,
        bottom="trousers",
        bottom_color=(0.1, 0.1, 0.7),
        bottom_accent=(0.9, 0.9, 0.2),
        bottom_fabric="jersey",
        bottom_pattern="plain",
        belt=False,
        leg=1.97,
        skirt_length=0.0,
        skin=(0.7, 0.5, 0.4),
        hair_style="long",
        hair_color=(0.4, 0.3, 0.15),
        hair_highlight=0.0,
        beard=0.0,
        makeup=0.0,
        freckles=0.0,
        tights=False,
        sock="plain",
    )


def _texels_near(figure: Body, texture: np.ndarray, point: tuple[float, float, float], radius: float) -> np.ndarray:
    """Texels [n 3] in [0, 1] that show the surface around a point of the reference body."""
    near = np.linalg.norm(figure.atlas.surface.position - point, axis=1) < radius
    rows, columns = np.divmod(figure.atlas.covered[near], figure.atlas.size)
    assert len(rows) > 5
    return texture[rows // SUPERSAMPLING, columns // SUPERSAMPLING] / 255.0


def test_json_round_trip() -> None:
    for seed in range(20):
        person = sample_appearance(np.random.default_rng(seed))
        assert Appearance.from_json(json.loads(json.dumps(person.to_json()))) == person
        assert person == sample_appearance(np.random.default_rng(seed))
    fields = sample_appearance(np.random.default_rng(0)).to_json()
    del fields["skin"]
    with pytest.raises(ValueError, match=r"missing \['skin'\], unknown \['hat'\]"):
        Appearance.from_json(fields | {"hat": 1})


def test_appearances_are_consistent_and_varied() -> None:
    people = [sample_appearance(np.random.default_rng(seed)) for seed in range(2000)]
    for person in people:
        assert person.has_skirt == (person.bottom == "skirt" or person.top in ("coat", "dress"))
        assert not (person.top == "dress" and person.bottom != "skirt")
        assert not (person.female and person.beard)
        for value in dataclasses.asdict(person).values():
            if isinstance(value, tuple) and value != person.cloth:
                assert 0.0 <= np.min(value) <= np.max(value) <= 1.0
    for field, options in (
        ("top", looks.TOPS),
        ("bottom", looks.BOTTOMS),
        ("pattern", looks.PATTERNS),
        ("hair_style", looks.HAIR_STYLES),
        ("shoe", looks.SHOES),
        ("shoe_design", looks.SHOE_DESIGNS),
        ("print_front", looks.PRINTS),
        ("fabric", looks.FABRICS),
        ("trim", looks.TRIMS),
        ("sock", looks.SOCKS),
        ("beard_style", looks.BEARDS),
    ):
        assert {getattr(person, field) for person in people} == set(options)
    tops = np.array([person.colors[0] for person in people])
    assert (tops.std(axis=0) > 0.2).all()
    skins = np.array([person.skin for person in people])
    assert skins.max() < 0.88  # not over-bright
    assert skins[:, 0].std() > 0.1


def test_same_inputs_give_the_same_bytes(figure: Body, plain: Appearance) -> None:
    first = painter.paint_texture(figure, plain)
    np.random.seed(1)  # noqa: NPY002 - the painter must not listen to the global generator
    again = painter.paint_texture(figure, Appearance.from_json(json.loads(json.dumps(plain.to_json()))))
    assert first.shape == (TEXTURE_SIZE, TEXTURE_SIZE, 3)
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes()
    assert painter.paint_texture(figure, dataclasses.replace(plain, seed=plain.seed + 1)).tobytes() != first.tobytes()


def test_identities_can_be_told_apart(figure: Body) -> None:
    textures = [
        painter.paint_texture(figure, sample_appearance(np.random.default_rng(seed))).astype(np.float32)
        for seed in range(16)
    ]
    for index, texture in enumerate(textures):
        for other in textures[:index]:
            assert np.abs(texture - other).mean() > 6  # of 255


def test_colours_are_where_they_belong(figure: Body, plain: Appearance) -> None:
    texture = painter.paint_texture(figure, plain)
    surface = figure.reference.joints
    chest = _texels_near(figure, texture, (0.03, -0.142, 0.38), 0.04)
    np.testing.assert_allclose(np.median(chest, axis=0), plain.colors[0], atol=0.08)
    thigh = _texels_near(figure, texture, (0.13, -0.11, -0.1), 0.05)
    np.testing.assert_allclose(np.median(thigh, axis=0), plain.bottom_color, atol=0.08)
    forearm = _texels_near(figure, texture, tuple((surface["lowerarm01.L"] + surface["wrist.L"]) / 2), 0.05)
    np.testing.assert_allclose(np.median(forearm, axis=0), plain.skin, atol=0.08)
    forehead = _texels_near(figure, texture, (0.0, -0.15, 0.845), 0.012)
    np.testing.assert_allclose(np.median(forehead, axis=0), plain.skin, atol=0.08)
    crown = _texels_near(figure, texture, (0.0, -0.05, 0.91), 0.03)
    np.testing.assert_allclose(np.median(crown, axis=0), plain.hair_color, atol=0.12)
    # A face: mouth, brows and eyes are darker than the cheek; the lips are redder.
    cheek = np.median(_texels_near(figure, texture, (0.045, -0.13, 0.75), 0.008), axis=0)
    for point in ((0.0, -0.157, 0.727), (0.03, -0.148, 0.824), (0.031, -0.14, 0.806)):
        assert _texels_near(figure, texture, point, 0.006).min(axis=0).mean() < 0.75 * cheek.mean()
    lip = np.median(_texels_near(figure, texture, (0.0, -0.157, 0.722), 0.005), axis=0)
    assert lip[0] / lip[1] > cheek[0] / cheek[1]


def test_left_and_right_get_the_same_plain_cloth(figure: Body, plain: Appearance) -> None:
    texture = painter.paint_texture(figure, plain)
    for x, y, z in ((0.1, -0.12, 0.3), (0.13, -0.11, -0.1), (0.35, -0.03, 0.38)):
        left = np.median(_texels_near(figure, texture, (x, y, z), 0.05), axis=0)
        right = np.median(_texels_near(figure, texture, (-x, y, z), 0.05), axis=0)
        np.testing.assert_allclose(left, right, atol=0.15)  # folds differ, the cloth does not


def test_texels_outside_islands_are_filled(figure: Body, plain: Appearance) -> None:
    texture = painter.paint_texture(figure, plain)
    covered = np.zeros(figure.atlas.size**2, bool)
    covered[figure.atlas.covered] = True
    blocks = covered.reshape(TEXTURE_SIZE, SUPERSAMPLING, TEXTURE_SIZE, SUPERSAMPLING)
    outside = ~blocks.any(axis=(1, 3))
    assert outside.mean() > 0.1
    # Every colour outside occurs inside, or is a mean of two neighbouring ones: nothing black, nothing white is left.
    assert texture[outside].max(axis=1).min() > 12
    inside = texture[~outside].reshape(-1, 3).astype(np.int32)
    distance = np.abs(texture[outside][::97, None].astype(np.int32) - inside[None, ::7]).sum(axis=2).min(axis=1)
    assert np.quantile(distance, 0.95) < 25


def test_every_garment_can_be_painted(figure: Body, plain: Appearance) -> None:
    """Each name paints something of its own."""

    def distinct(field: str, names: tuple[str, ...], **others: object) -> None:
        person = dataclasses.replace(plain, **others)  # pyright: ignore[reportArgumentType]
        painted = [painter.paint_texture(figure, dataclasses.replace(person, **{field: name})) for name in names]
        assert len({texture.tobytes() for texture in painted}) == len(names)

    seen = set()
    for top in looks.TOPS:
        for open_front in (False, True):
            person = dataclasses.replace(
                plain, top=top, open_front=open_front and top in ("jacket", "coat"),
                bottom="skirt" if top == "dress" else "jeans", skirt_length=0.6 if top in ("dress", "coat") else 0.0,
            )  # fmt: skip
            seen.add(painter.paint_texture(figure, person).tobytes())
    assert len(seen) == len(looks.TOPS) + 2
    distinct("pattern", looks.PATTERNS, print_front="star")
    distinct("fabric", looks.FABRICS)
    distinct("print_front", looks.PRINTS)
    distinct("print_back", looks.PRINTS)
    distinct("trim", looks.TRIMS)
    distinct("bottom_pattern", looks.BOTTOM_PATTERNS)
    distinct("bottom_pattern", looks.BOTTOM_PATTERNS[3::4], bottom="skirt", skirt_length=0.6)
    distinct("bottom_fabric", looks.FABRICS)
    distinct("shoe", looks.SHOES)
    distinct("shoe_design", looks.SHOE_DESIGNS, bottom="shorts", leg=0.8)
    distinct("sock", looks.SOCKS, bottom="shorts", leg=0.8)
    distinct("hair_style", ("bald", "cropped", "short", "parted", "curly"))
    distinct("beard_style", looks.BEARDS, female=False, beard=0.9)


def test_patterns_keep_to_their_colours(figure: Body, plain: Appearance) -> None:
    """Red, green and blue cloth has no white, black or yellow; the seams at sides and back do not show."""
    person = dataclasses.replace(plain, colors=((0.7, 0.1, 0.1), (0.1, 0.7, 0.1), (0.1, 0.1, 0.7), (0.9, 0.9, 0.9)))
    surface = figure.atlas.surface
    span = figure.atlas.span("trunk", "trunk")
    chest = (surface.position[span, 2] > 0.25) & (surface.position[span, 2] < 0.42) & (surface.is_arm[span] < 0.01)
    rows, columns = np.divmod(figure.atlas.covered[span][chest], figure.atlas.size)
    for name in looks.PATTERNS:
        texture = painter.paint_texture(figure, dataclasses.replace(person, pattern=name, wear=0.0)) / 255.0
        cloth = texture[rows // SUPERSAMPLING, columns // SUPERSAMPLING]
        if name != "camouflage":  # its fourth colour is a darker first one
            np.testing.assert_allclose(np.median(cloth.sum(axis=1)), 0.9, atol=0.15, err_msg=name)
        assert np.quantile(cloth.max(axis=1), 0.98) < 0.93  # ridges of folds are lighter
    weave = fabrics.weave_of_top(figure.atlas)
    trunk = weave.arm < 0.5
    for period in (0.03, 0.05, 0.09, 0.26, 0.9):
        # Half a girth to the left is half a girth to the right: the same place of the pattern.
        count = weave.columns(period)[trunk] / weave.around[trunk] * weave.girth[trunk]
        np.testing.assert_allclose(count, np.maximum(np.rint(count), 1.0), rtol=1e-4)


def test_cloth_images_dress_top_and_bottom(figure: Body, plain: Appearance) -> None:
    rng = np.random.default_rng(8)
    pixels = np.linspace(0, 1, 90)[:, None, None] * [40, 0, 0] + rng.uniform(-15, 15, (90, 140, 3)) + [60, 130, 180]
    images = {"a/blue.jpg": pixels.astype(np.uint8), "grey.png": np.full((3, 2, 3), 100, np.uint8)}
    person = dataclasses.replace(plain, cloth=("a/blue.jpg", "grey.png"), cloth_scale=0.2)
    texture = painter.paint_texture(figure, person, images)
    chest = _texels_near(figure, texture, (0.0, -0.13, 0.3), 0.11)
    np.testing.assert_allclose(chest.mean(axis=0), images["a/blue.jpg"].mean(axis=(0, 1)) / 255.0, atol=0.05)
    thigh = _texels_near(figure, texture, (0.13, -0.11, -0.1), 0.05)
    np.testing.assert_allclose(np.median(thigh, axis=0), 100 / 255, atol=0.05)
    assert texture.tobytes() == painter.paint_texture(figure, person, images).tobytes()
    with pytest.raises(ValueError, match=r"cloth images \['a/blue.jpg'\].*only \['grey.png'\]"):
        painter.paint_texture(figure, person, {"grey.png": images["grey.png"]})


def test_prints_lie_on_chest_and_back_and_differ(figure: Body, plain: Appearance) -> None:
    bare = painter.paint_texture(figure, plain)
    front, back = (0.0, -0.14, 0.355), (0.0, 0.08, 0.40)
    for field, here, there in (("print_front", front, back), ("print_back", back, front)):
        changes: dict[str, Any] = {field: "heart", "print_colors": ((0.1, 0.8, 0.9), (0.9, 0.9, 0.1))}
        person = dataclasses.replace(plain, **changes)
        texture = painter.paint_texture(figure, person)
        assert np.abs(_texels_near(figure, texture, here, 0.05) - _texels_near(figure, bare, here, 0.05)).mean() > 0.2
        same = _texels_near(figure, texture, there, 0.12) == _texels_near(figure, bare, there, 0.12)
        assert same.all()
    for kind in ("word", "lines", "arc", "number", "picture"):
        assert any(
            (prints.print_layers(kind, seed, False) != prints.print_layers(kind, seed, True)).any() for seed in range(3)
        )
    # Letters read from left to right for who looks: on the front that is from -X to +X, on the back from +X to -X.
    position = figure.atlas.surface.position
    for field, behind, level, side in (("print_front", False, 0.41, 1.0), ("print_back", True, 0.45, -1.0)):
        layers = (prints.print_layers("bolt", seed, behind) for seed in range(20))
        seed = next(seed for seed, layer in enumerate(layers) if not layer[..., 1].any())  # without a disc
        upper = prints.print_layers("bolt", seed, behind)[: prints.PRINT_SIZE // 4].any(axis=(0, 2))
        assert np.flatnonzero(upper).mean() > prints.PRINT_SIZE / 2 + 3  # its upper part leans to the right
        changes: dict[str, Any] = {field: "bolt", "print_seed": seed}
        texture = painter.paint_texture(figure, dataclasses.replace(plain, **changes))
        changed = (texture != bare).any(axis=-1).repeat(SUPERSAMPLING, 0).repeat(SUPERSAMPLING, 1).ravel()
        shown = changed[figure.atlas.covered] & (position[:, 2] > level)
        assert side * position[shown, 0].mean() > 0.005


def test_small_things_change_little_else(figure: Body, plain: Appearance) -> None:
    """A change of shoes keeps every other texel."""
    person = dataclasses.replace(plain, bottom="shorts", leg=0.8)
    base = painter.paint_texture(figure, person)
    shares = {
        "shoe_design": ("two_tone", 0.04),
        "sock": ("bands", 0.02),
        "print_front": ("badge", 0.02),
        "trim": ("bands", 0.12),
        "hair_color": ((0.05, 0.05, 0.05), 0.35),
    }
    for field, (value, most) in shares.items():
        other = painter.paint_texture(figure, dataclasses.replace(person, **{field: value}))
        changed = (other != base).any(axis=-1).mean()
        assert 0.0 < changed < most, field


def test_look_alikes_differ_in_small_things_only(figure: Body) -> None:
    small = {"shoe_design", "shoe_colors", "shoe_accent", "hair_style", "hair_color", "print_front", "print_seed"}
    small |= {"print_colors", "trim", "trim_color", "belt", "sock", "sock_color"}
    seen: set[str] = set()
    for seed in range(60):
        person = sample_appearance(np.random.default_rng(seed))
        other = vary_slightly(np.random.default_rng(seed), person)
        assert other == vary_slightly(np.random.default_rng(seed), person)
        changed = {name for name, value in person.to_json().items() if other.to_json()[name] != value}
        assert changed
        assert changed <= small
        seen |= changed
        if seed < 4:
            assert painter.paint_texture(figure, person).tobytes() != painter.paint_texture(figure, other).tobytes()
    assert seen >= small - {"belt"}


def test_faces_differ(figure: Body, plain: Appearance) -> None:
    """Two people with the same skin, hair and clothes have different faces, and each field of a face shows."""
    base = painter.paint_texture(figure, plain)
    points = {
        "brow_weight": (1.4, (0.034, -0.148, 0.827)),
        "brow_arch": (0.9 if plain.brow_arch < 0.5 else 0.1, (0.034, -0.148, 0.827)),
        "lip_fullness": (0.7 if plain.lip_fullness > 1.0 else 1.3, (0.0, -0.157, 0.729)),
        "eye_color": ((0.3, 0.5, 0.7), (0.0305, -0.139, 0.799)),
        "makeup": (1.0, (0.0, -0.157, 0.725)),
        "freckles": (1.0, (0.025, -0.14, 0.775)),
        "beard": (0.9, (0.0, -0.15, 0.70)),
    }
    for field, (value, point) in points.items():
        changes: dict[str, Any] = {field: value, "beard_style": "full"}
        texture = painter.paint_texture(figure, dataclasses.replace(plain, **changes))
        there = np.abs(_texels_near(figure, texture, point, 0.012) - _texels_near(figure, base, point, 0.012))
        assert there.max() > 0.03, field
    iris = _texels_near(figure, base, (0.0305, -0.139, 0.799), 0.0045)
    white = _texels_near(figure, base, (0.0415, -0.135, 0.7985), 0.004)
    assert iris.mean() < 0.7 * white.max(axis=0).mean()


def test_cloth_ends_where_it_should(figure: Body, plain: Appearance) -> None:
    s = figure.surface
    top = coverage.cover_top(plain, s, 0.003)
    bottom = coverage.cover_bottom(plain, s, 0.003)
    assert (top[s.group("hand") > 0.9] == 0).all()
    assert (top[s.group("head") > 0.9] == 0).all()
    assert (top[(s.is_arm > 0.9) & (s.arm > plain.sleeve + 0.05)] == 0).all()
    assert (top[(s.is_arm > 0.9) & (s.arm > 0.1) & (s.arm < plain.sleeve - 0.05)] == 1).all()
    assert (bottom[s.position[:, 2] > coverage.WAIST + 0.01] == 0).all()
    torso = (s.group("trunk") > 0.9) & (s.part == 0)
    assert ((top + bottom)[torso & (s.position[:, 2] < 0.5)] > 0.99).all()  # no skin between shirt and trousers
    np.testing.assert_array_equal(
        coverage.cover_sock(dataclasses.replace(plain, tights=True), s, 0.003)[s.leg > 1.0][:9], 1
    )


def test_edges_are_antialiased() -> None:
    value = np.linspace(-0.01, 0.01, 2001)
    np.testing.assert_allclose(brushes.edge(value, 0.004).mean(), 0.5, atol=1e-3)
    assert brushes.edge(np.array([0.0]), 0.004) == 0.5
    long = np.linspace(0.0, 1.0, 100_001)[:-1]
    for duty in (0.2, 0.5, 0.8):
        # Stripes keep their share of the cloth: the ramps at their two edges balance.
        np.testing.assert_allclose(brushes.stripes(long, 0.1, duty, 0.3).mean(), duty, atol=1e-3)
    color = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], np.float32)
    brushes.mix(color, (0.5, 1.0, 0.0), np.array([0.5, 1.0]))
    np.testing.assert_allclose(color, [[0.25, 0.5, 0.0], [0.5, 1.0, 0.0]])


def _contrast(figure: Body, person: Appearance, *, low: float, high: float) -> float:
    """Spread of the luminance of trouser legs between two places along the leg, relative to its mean."""
    texture = painter.paint_texture(figure, person).astype(np.float64).mean(axis=2)
    samples = np.flatnonzero((figure.atlas.surface.leg > low) & (figure.atlas.surface.leg < high))
    row, column = np.divmod(figure.atlas.covered[samples], figure.atlas.size)
    legs = texture[row // SUPERSAMPLING, column // SUPERSAMPLING]
    return float(legs.std() / legs.mean())


def test_trousers_fold_at_the_knee_and_black_ones_show_it(figure: Body, plain: Appearance) -> None:
    knees, shins, black = [], [], []
    for seed in range(3):
        person = dataclasses.replace(plain, seed=seed, bottom_color=(0.5, 0.5, 0.5))
        knees.append(_contrast(figure, person, low=0.95, high=1.1))
        shins.append(_contrast(figure, person, low=1.3, high=1.5))
        dark = dataclasses.replace(person, bottom_color=(0.07, 0.07, 0.07))
        black.append(_contrast(figure, dark, low=0.95, high=1.1))
    assert np.mean(knees) > 1.4 * np.mean(shins)
    assert np.mean(knees) > 0.12
    assert np.mean(black) > 1.15 * np.mean(knees)


def test_prints_end_before_the_armpits(figure: Body, plain: Appearance) -> None:
    without = painter.paint_texture(figure, plain).astype(int)
    s = figure.atlas.surface
    for kind in ("number", "word", "bars", "picture"):
        wide = dataclasses.replace(plain, print_front=kind, pattern_scale=1.6)
        changed = np.abs(painter.paint_texture(figure, wide).astype(int) - without).max(axis=2) > 8
        row, column = np.divmod(figure.atlas.covered, figure.atlas.size)
        inside = changed[row // SUPERSAMPLING, column // SUPERSAMPLING] & (s.is_arm < 0.5) & (s.part == 0)
        assert inside.any()
        assert np.abs(s.position[inside, 0]).max() < 0.13


def test_a_coat_has_no_bands_at_the_hips(figure: Body, plain: Appearance) -> None:
    coat = dataclasses.replace(plain, top="coat", hem=-0.02, sleeve=1.96, skirt_length=0.5, trim_color=(0.9, 0.9, 0.9))
    with_bands = painter.paint_texture(figure, dataclasses.replace(coat, trim="bands")).astype(int)
    changed = np.abs(with_bands - painter.paint_texture(figure, coat)).max(axis=2) > 60
    s = figure.atlas.surface
    row, column = np.divmod(figure.atlas.covered, figure.atlas.size)
    hips = (s.is_arm < 0.1) & (s.position[:, 2] > 0.0) & (s.position[:, 2] < 0.2) & (s.group("trunk") > 0.9)
    assert changed.any()
    assert not changed[row // SUPERSAMPLING, column // SUPERSAMPLING][hips].any()
