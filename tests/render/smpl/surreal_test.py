"""SURREAL's textures and light, COCO's photographs without persons."""

import json
import math
import pathlib

import numpy as np
import pytest
import trimesh

from render.smpl import coco, surreal
from render.smpl.array_files import ArrayFileError
from render.smpl.surreal import SphericalHarmonics
from tests.render import smpl_fixtures

COUNTS = {("female", "grey"): 1, ("female", "nongrey"): 3, ("male", "grey"): 2, ("male", "nongrey"): 2}


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    return smpl_fixtures.write_surreal(tmp_path / "smpl_data", textures=COUNTS)


def test_the_papers_numbers():
    assert sum(surreal.NUM_TEXTURES.values()) == 929
    assert sum(number for (gender, _), number in surreal.NUM_TEXTURES.items() if gender == "female") == 451


def test_textures_are_found_by_gender_and_clothing(root: pathlib.Path):
    textures, problems = surreal.list_textures(root)
    assert problems == []
    assert [one.gender for one in textures] == ["female"] * 4 + ["male"] * 4
    for (gender, clothing), number in COUNTS.items():
        assert sum((one.gender, one.clothing) == (gender, clothing) for one in textures) == number
    assert textures[0].name == "textures/female/nongrey_female_0001.jpg"
    grey, _ = surreal.list_textures(root, clothing="grey")
    assert grey == [one for one in textures if one.clothing == "grey"]


def test_lists_choose_textures(root: pathlib.Path):
    train, train_problems = surreal.list_textures(root, which="train")
    test, test_problems = surreal.list_textures(root, which="test")
    assert train_problems == test_problems == []
    everything, _ = surreal.list_textures(root)
    assert sorted(one.name for one in train + test) == sorted(one.name for one in everything)
    assert len(train) == 4


def test_all_that_is_wrong_with_textures_is_listed(root: pathlib.Path):
    (root / "textures" / "female" / "nongrey_female_0008.jpg").unlink()
    (root / "textures" / "male_train.txt").unlink()
    path = root / "textures" / "female_train.txt"
    path.write_text(path.read_text() + "textures/female/../../secret.jpg\ntextures/male/grey_male_0021.jpg\n")
    textures, problems = surreal.list_textures(root, which="train")
    text = "\n".join(problems)
    assert len(problems) == 4
    assert "nongrey_female_0008.jpg: listed in female_train.txt and missing" in text
    assert "male_train.txt: cannot be read" in text
    assert "'textures/female/../../secret.jpg' is no name of a female texture" in text
    assert "'textures/male/grey_male_0021.jpg' is no name of a female texture" in text
    assert all(one.gender == "female" for one in textures)
    assert surreal.list_textures(root / "nowhere") == (
        [],
        [
            f"{root / 'nowhere' / 'textures' / gender}: no such folder. {surreal.ADVICE}"
            for gender in ("female", "male")
        ],
    )


def test_links_that_lead_nowhere_are_named(root: pathlib.Path):
    (root / "textures" / "male" / "grey_male_0500.jpg").symlink_to("nowhere.jpg")
    textures, (problem,) = surreal.list_textures(root)
    assert len(textures) == 8
    assert "grey_male_0500.jpg: no file, or a link to none" in problem


def _irradiance(coefficients: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Ramamoorthi and Hanrahan 2001, eq. 3 and 8: the sum over A_l L_lm Y_lm, in SURREAL's axes."""
    x, y, z = -normals[:, 1], -normals[:, 2], -normals[:, 0]
    ones = np.ones_like(x)
    root = math.sqrt(1.0 / math.pi)
    basis = [
        root / 2 * ones,
        root * math.sqrt(3.0) / 2 * y,
        root * math.sqrt(3.0) / 2 * z,
        root * math.sqrt(3.0) / 2 * x,
        root * math.sqrt(15.0) / 2 * x * y,
        root * math.sqrt(15.0) / 2 * y * z,
        root * math.sqrt(5.0) / 4 * (3.0 * z * z - 1.0),
        root * math.sqrt(15.0) / 2 * x * z,
        root * math.sqrt(15.0) / 4 * (x * x - y * y),
    ]
    weights = np.array([math.pi] + [2.0 * math.pi / 3.0] * 3 + [math.pi / 4.0] * 5)
    return np.sum(weights[:, None] * coefficients[:, None] * np.array(basis), axis=0)


def test_light_is_the_sum_of_the_basis_functions():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for _ in range(5):
        lit = SphericalHarmonics.sample(rng)
        expected = np.maximum(_irradiance(np.array(lit.coefficients), normals), 0.0)
        # sh.osl writes its constants with six digits.
        np.testing.assert_allclose(lit.irradiance(normals), expected, atol=3e-5)
        assert (lit.irradiance(normals) >= 0.0).all()


def test_light_comes_from_above_and_is_clamped():
    from_above = SphericalHarmonics((0.5, -0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    up, down = from_above.irradiance(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    np.testing.assert_allclose(up, 0.886227 * 0.5 + 2 * 0.511664 * 0.7)
    assert down == 0.0
    before = SphericalHarmonics((0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0))  # X is towards the camera
    towards, away = before.irradiance(np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert towards > away


def test_sampled_lights_are_surreals():
    rng = np.random.default_rng(1)
    lights = np.array([SphericalHarmonics.sample(rng).coefficients for _ in range(3000)])
    for column, (low, high) in enumerate([(0.5, 1.4), (-0.7, 0.0)] + [(-0.7, 0.7)] * 7):
        assert low <= lights[:, column].min() < low + 0.01
        assert high - 0.01 < lights[:, column].max() <= high
        np.testing.assert_allclose(lights[:, column].mean(), (low + high) / 2, atol=0.03)


def test_light_of_meshes_and_json():
    lit = SphericalHarmonics.sample(np.random.default_rng(2))
    assert SphericalHarmonics.from_json(json.loads(json.dumps(lit.to_json()))) == lit
    mesh = trimesh.creation.icosphere(subdivisions=1)
    (irradiance,) = lit.irradiance_of_meshes([mesh])
    assert irradiance.shape == (len(mesh.vertices), 3)
    np.testing.assert_allclose(irradiance[:, 1], lit.irradiance(np.asarray(mesh.vertex_normals)), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------------------- COCO


@pytest.mark.parametrize("style", ["2014", "2017"])
def test_photographs_with_persons_are_left_out(tmp_path: pathlib.Path, style: str):
    persons = {9: "", 25: "one", 30: "crowd", 581929: ""}
    folder, instances = smpl_fixtures.write_coco(tmp_path, persons=persons, style=style)
    person_free = coco.read_person_free(instances)
    assert person_free == {9, 581929}
    names = sorted(path.name for path in folder.iterdir())
    left = coco.without_persons([*names, "holiday.jpg", "000000000777.jpg"], person_free)
    assert [coco.image_id(name) for name in left] == [9, 581929]


def test_names_of_photographs():
    assert coco.image_id("COCO_train2014_000000000009.jpg") == 9
    assert coco.image_id("train2017/000000581929.jpg") == 581929
    assert coco.image_id("COCO_val2014_000000000042.jpg") == 42
    for name in ("9.jpg", "COCO_train2014_9.jpg", "000000000009.png", "x000000000009.jpg"):
        assert coco.image_id(name) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("annotations"), "expected COCO's lists"),
        (lambda content: content["categories"].pop(0), "category 1 is not 'person'"),
        (lambda content: content["categories"].pop(1), "knows persons only"),
        (lambda content: content["images"][1].pop("id"), "images without an integer id"),
        (lambda content: content["annotations"][1].update(category_id="1"), "annotations without integer"),
        (lambda content: content["annotations"].clear(), "annotations without"),
    ],
)
def test_other_annotations_are_errors(tmp_path: pathlib.Path, change, message: str):
    _, path = smpl_fixtures.write_coco(tmp_path, persons={9: "", 25: "one"})
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArrayFileError, match=message) as caught:
        coco.read_person_free(path)
    assert "cocodataset.org" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_annotations_that_are_no_json_are_errors(tmp_path: pathlib.Path, text: str):
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(ArrayFileError, match=r"instances\.json: (not JSON|expected COCO)"):
        coco.read_person_free(tmp_path / "instances.json")
