"""Appearances and the textures painted from them."""

import dataclasses
import json

import numpy as np
import pytest

from render import appearance as looks
from render import body, garments, painter
from render.appearance import Appearance, sample_appearance
from render.body import SUPERSAMPLING, TEXTURE_SIZE, Body


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
        pattern="plain",
        colors=((0.8, 0.1, 0.1), *base.colors[1:]),
        sleeve=0.6,
        hem=0.03,
        neckline=0.01,
        v_neck=False,
        open_front=False,
        tucked=False,
        bottom="trousers",
        bottom_color=(0.1, 0.1, 0.7),
        bottom_pattern="plain",
        leg=1.97,
        skirt_length=0.0,
        skin=(0.7, 0.5, 0.4),
        hair_style="long",
        hair_color=(0.4, 0.3, 0.15),
        beard=0.0,
        tights=False,
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
    fields = person.to_json()
    del fields["skin"]
    with pytest.raises(ValueError, match=r"missing \['skin'\], unknown \['hat'\]"):
        Appearance.from_json(fields | {"hat": 1})


def test_appearances_are_consistent_and_varied() -> None:
    people = [sample_appearance(np.random.default_rng(seed)) for seed in range(400)]
    for person in people:
        assert person.has_skirt == (person.bottom == "skirt" or person.top in ("coat", "dress"))
        assert not (person.top == "dress" and person.bottom != "skirt")
        assert not (person.female and person.beard)
        for value in dataclasses.asdict(person).values():
            if isinstance(value, tuple):
                assert 0.0 <= np.min(value) <= np.max(value) <= 1.0
    for field, options in (
        ("top", looks.TOPS),
        ("bottom", looks.BOTTOMS),
        ("pattern", looks.PATTERNS),
        ("hair_style", looks.HAIR_STYLES),
        ("shoe", looks.SHOES),
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
        np.testing.assert_allclose(left, right, atol=0.06)


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
    seen = set()
    for top in looks.TOPS:
        for open_front in (False, True):
            person = dataclasses.replace(
                plain, top=top, open_front=open_front and top in ("jacket", "coat"),
                bottom="skirt" if top == "dress" else "jeans", skirt_length=0.6 if top in ("dress", "coat") else 0.0,
            )  # fmt: skip
            seen.add(painter.paint_texture(figure, person).tobytes())
    assert len(seen) == len(looks.TOPS) + 2
    seen = {
        painter.paint_texture(figure, dataclasses.replace(plain, pattern=name)).tobytes() for name in looks.PATTERNS
    }
    assert len(seen) == len(looks.PATTERNS)
    seen = {painter.paint_texture(figure, dataclasses.replace(plain, shoe=name)).tobytes() for name in looks.SHOES}
    assert len(seen) == len(looks.SHOES)
    beard = dataclasses.replace(plain, female=False, beard=0.9, hair_style="bald", age=1.0)
    assert painter.paint_texture(figure, beard).tobytes() not in seen
    for pattern in ("side", "plaid", "dots"):
        person = dataclasses.replace(plain, bottom="trousers" if pattern == "side" else "skirt", bottom_pattern=pattern)
        assert painter.paint_texture(figure, person).tobytes() not in seen


def test_cloth_ends_where_it_should(figure: Body, plain: Appearance) -> None:
    s = figure.surface
    top = garments.cover_top(plain, s, 0.003)
    bottom = garments.cover_bottom(plain, s, 0.003)
    assert (top[s.group("hand") > 0.9] == 0).all()
    assert (top[s.group("head") > 0.9] == 0).all()
    assert (top[(s.is_arm > 0.9) & (s.arm > plain.sleeve + 0.05)] == 0).all()
    assert (top[(s.is_arm > 0.9) & (s.arm > 0.1) & (s.arm < plain.sleeve - 0.05)] == 1).all()
    assert (bottom[s.position[:, 2] > garments.WAIST + 0.01] == 0).all()
    torso = (s.group("trunk") > 0.9) & (s.part == 0)
    assert ((top + bottom)[torso & (s.position[:, 2] < 0.5)] > 0.99).all()  # no skin between shirt and trousers
    np.testing.assert_array_equal(
        garments.cover_sock(dataclasses.replace(plain, tights=True), s, 0.003)[s.leg > 1.0][:9], 1
    )


def test_edges_are_antialiased() -> None:
    value = np.linspace(-0.01, 0.01, 2001)
    np.testing.assert_allclose(painter.edge(value, 0.004).mean(), 0.5, atol=1e-3)
    assert painter.edge(np.array([0.0]), 0.004) == 0.5
    long = np.linspace(0.0, 1.0, 100_001)[:-1]
    for duty in (0.2, 0.5, 0.8):
        # Stripes keep their share of the cloth: the ramps at their two edges balance.
        np.testing.assert_allclose(painter.stripes(long, 0.1, duty, 0.3).mean(), duty, atol=1e-3)
    color = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], np.float32)
    painter.mix(color, (0.5, 1.0, 0.0), np.array([0.5, 1.0]))
    np.testing.assert_allclose(color, [[0.25, 0.5, 0.0], [0.5, 1.0, 0.0]])
