"""The paper's recipe: what it plans, what it checks, and that drawing is a function of the record and the files."""

import dataclasses
import io
import json
import pathlib
import pickle
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from render import manifest
from render.figure import mirror
from render.recipes import paper
from render.recipes.base import RecipeError
from render.recipes.paper_choices import PaperChoices, PhotoCrop
from render.recipes.paper_inputs import PaperError
from render.recipes.paper_studio import PaperStudio
from render.smpl import poses as smpl_poses
from render.smpl.array_files import ArrayFileError
from render.smpl.poses import PosePlace
from render.smpl.surreal import SphericalHarmonics
from san_jax.files import canonical_json
from tests.render import smpl_fixtures


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Fields of a recipe whose files are all there."""
    return smpl_fixtures.write_paper_inputs(tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def recipe(files: dict[str, Any]) -> paper.PaperPit:
    return paper.PaperPit(**files)


@pytest.fixture(scope="module")
def studio(recipe: paper.PaperPit) -> PaperStudio:
    return recipe.studio()


def test_defaults_are_the_papers():
    recipe = paper.PaperPit()
    assert recipe.num_pairs == 9290
    assert recipe.num_groups == 929
    assert recipe.name == "pit"
    assert recipe.group(928) == range(9280, 9290)
    assert recipe.poses == "hmr"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"poses": "openpose"}, "poses must be one of hmr, eft, spin, surreal, found 'openpose'"),
        ({"body": "female"}, "body must be one of neutral, gendered"),
        ({"num_textures": 0}, "num_textures must be at least 1, found 0"),
        ({"fill": 3.0}, "fill must lie in"),
        ({"poses": "surreal"}, "set shapes=surreal as well"),
    ],
)
def test_impossible_parameters_are_named(fields: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=message):
        paper.PaperPit(**fields)


def test_plan_holds_every_choice(recipe: paper.PaperPit):
    records = [recipe.plan(index) for index in range(recipe.num_pairs)]
    assert [record.index for record in records] == list(range(6))
    first = records[0]
    assert (first.name, first.image, first.texture, first.frontal) == (
        "0000_00",
        "images/0000_00.jpg",
        "textures/0000.png",
        "frontals/0000_00.jpg",
    )
    assert (first.split, first.person_id, first.camera_id) == ("train", -1, -1)
    assert set(first.choices) == {"gender", "texture_file", "pose", "betas", "camera", "light", "background"}
    assert json.loads(manifest.record_to_json(first))["choices"] == first.choices
    assert all(PaperChoices.from_json(record.choices).to_json() == record.choices for record in records)
    for group in map(recipe.group, range(recipe.num_groups)):
        assert len({records[index].choices["texture_file"] for index in group}) == 1
    assert len({json.dumps(record.choices["pose"]) for record in records}) == 6  # no pose twice
    assert len({json.dumps(record.choices["background"]) for record in records}) == 6
    assert {record.choices["gender"] for record in records} <= {"female", "male"}
    # Shape and camera are those of the pose's row.
    theta = np.load(recipe.poses_file)[first.choices["pose"]["row"]]
    np.testing.assert_allclose(first.choices["betas"], theta[75:], rtol=1e-6)
    np.testing.assert_allclose(first.choices["camera"]["offset"][1], 500.0 / (112.0 * theta[0]), rtol=1e-6)


def test_plan_depends_on_seed_and_files_not_on_paths(
    recipe: paper.PaperPit, files: dict[str, Any], tmp_path: pathlib.Path
):
    moved = {**files, "poses_file": str(tmp_path / "other.npy"), "coco_dir": str(tmp_path / "photos")}
    shutil.copy(files["poses_file"], moved["poses_file"])
    shutil.copytree(files["coco_dir"], moved["coco_dir"])
    other = paper.PaperPit(**moved)
    assert other.plan(4) == recipe.plan(4)
    assert other.parameters() == recipe.parameters()
    assert str(tmp_path) not in json.dumps(other.parameters())
    assert paper.PaperPit(**files, seed=1).plan(4) != recipe.plan(4)
    np.save(moved["poses_file"], np.load(files["poses_file"])[::-1])
    changed = paper.PaperPit(**moved).parameters()
    differing = {key for key, digest in changed["inputs"].items() if digest != recipe.parameters()["inputs"][key]}
    assert differing == {"poses_file"}
    json.loads(canonical_json(changed))


def test_a_background_that_changes_changes_the_digests(files: dict[str, Any], tmp_path: pathlib.Path):
    shutil.copytree(files["coco_dir"], tmp_path / "photos")
    recipe = paper.PaperPit(**{**files, "coco_dir": str(tmp_path / "photos")})
    before = recipe.parameters()["inputs"]["backgrounds"]
    name = recipe.plan(0).choices["background"]["file"]
    Image.new("RGB", (200, 200), (1, 2, 3)).save(tmp_path / "photos" / name)
    assert dataclasses.replace(recipe).parameters()["inputs"]["backgrounds"] != before


def test_drawing_is_a_function_of_the_record(recipe: paper.PaperPit, studio: PaperStudio):
    record = recipe.plan(1)
    first = studio.draw(record)
    studio.draw(recipe.plan(5))
    again = studio.draw(manifest.record_from_json(manifest.record_to_json(record), "test"))
    assert first == again
    assert set(first) == {record.image, record.texture, record.frontal}
    sizes = {name: Image.open(io.BytesIO(content)).size for name, content in first.items()}
    assert sizes == {record.image: (128, 256), record.texture: (256, 256), record.frontal: (128, 256)}


def test_the_stored_texture_is_surreals_made_smaller(recipe: paper.PaperPit, studio: PaperStudio):
    record = recipe.plan(0)
    stored = Image.open(io.BytesIO(studio.draw(record)[record.texture]))
    with Image.open(pathlib.Path(recipe.surreal_dir) / record.choices["texture_file"]) as original:
        assert original.size == (512, 512)
        expected = original.reduce(2)
    # Another filter than the mean of 2x2: equal but at the borders of colours.
    difference = np.abs(np.asarray(stored, float) - np.asarray(expected, float))
    assert np.median(difference) <= 1.0
    assert difference.mean() < 3.0


def _row_choices(recipe: paper.PaperPit, row: int) -> PaperChoices:
    """A record's choices for the pose in `row`, evenly lit."""
    poses = recipe.inputs.poses
    place = PosePlace(recipe.poses, row)
    offset = poses.offset(place)
    assert offset is not None
    return PaperChoices(
        gender="female",
        texture_file=recipe.inputs.textures[0].name,
        pose=place,
        betas=(0.0,) * 10,
        offset=offset,
        yaw=0.0,
        light=SphericalHarmonics((1 / 0.886227, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
        background=PhotoCrop(recipe.inputs.backgrounds[0], (0.5, 0.5, 0.5)),
    )


def _marked(part: str) -> np.ndarray:
    """A grey texture with the front half of a capsule in red."""
    texture = np.full((256, 256, 3), 128, np.uint8)
    for across in np.linspace(0.3, 0.7, 40):
        for along in np.linspace(0.3, 0.7, 40):
            u, v = smpl_fixtures.uv_of(part, across, along)
            texture[int((1.0 - v) * 256), int(u * 256)] = [255, 0, 0]
    return texture


def _red(picture: np.ndarray) -> np.ndarray:
    """Rows and columns of the red pixels."""
    return np.argwhere((picture[..., 0] > 180) & (picture[..., 1] < 60) & (picture[..., 2] < 60))


def test_a_person_who_faces_hmrs_camera_is_seen_from_the_front(recipe: paper.PaperPit, studio: PaperStudio):
    """Row 0 faces the camera, row 6 of 12 shows the back: the chest's front is seen in one of the pictures only."""
    facing = _red(studio.picture(_row_choices(recipe, 0), _marked("chest")))
    assert len(facing) > 100
    assert abs(facing[:, 1].mean() - 63.5) < 3.0  # the person is in the middle
    assert 50 < facing[:, 0].mean() < 110  # and stands upright: the chest is in the upper half
    assert len(_red(studio.picture(_row_choices(recipe, 6), _marked("chest")))) == 0
    for part, side in (("left_thigh", 1.0), ("right_thigh", -1.0), ("left_forearm", 1.0)):
        found = _red(studio.picture(_row_choices(recipe, 0), _marked(part)))
        assert len(found) > 20
        assert (found[:, 1].mean() - 63.5) * side > 3.0  # the left of who faces us is on the right


def test_frontal_view_shows_the_front_of_whoever_was_seen_from_behind(recipe: paper.PaperPit, studio: PaperStudio):
    choices = _row_choices(recipe, 6)
    for part, low, high in (("head", 30, 60), ("chest", 60, 115), ("left_shin", 180, 240)):
        found = _red(studio.frontal(choices, _marked(part)))
        assert len(found) > 10
        assert low < found[:, 0].min() <= found[:, 0].max() < high
    frontal = studio.frontal(choices, _marked("head"))
    np.testing.assert_array_equal(frontal[:5], 128)
    np.testing.assert_array_equal(frontal, studio.frontal(_row_choices(recipe, 3), _marked("head")))


def test_the_person_fills_the_crop_before_the_photograph(recipe: paper.PaperPit, studio: PaperStudio):
    choices = _row_choices(recipe, 0)
    red = np.full((64, 64, 3), [255, 0, 0], np.uint8)
    found = _red(studio.picture(choices, red))
    height, width = np.ptp(found, axis=0) + 1
    assert max(height / 256, width / 128) == pytest.approx(recipe.fill, abs=0.02)
    # The borders show the photograph (its blue falls along the rows, its green rises along the columns).
    picture = studio.picture(choices, red).astype(float)
    assert picture[2, :, 2].mean() > picture[-3, :, 2].mean() + 20
    assert picture[:, 2, 1].mean() < picture[:, -3, 1].mean() - 10


def test_every_source_of_poses_can_be_drawn(files: dict[str, Any], tmp_path: pathlib.Path):
    thetas = np.load(files["poses_file"])
    np.save(tmp_path / "coco_fits.npy", thetas[:, 3:])
    smpl_fixtures.write_eft(tmp_path / "eft.json", thetas)
    variants: dict[str, dict[str, Any]] = {
        "eft": {"poses_file": str(tmp_path / "eft.json")},
        "spin": {"poses_file": str(tmp_path / "coco_fits.npy"), "shapes": "surreal", "light": "surreal"},
        "surreal": {"poses_file": "", "shapes": "surreal", "light": "surreal"},
    }
    for kind, more in variants.items():
        recipe = paper.PaperPit(**{**files, "poses": kind, **more})
        record = recipe.plan(2)
        assert record.choices["pose"]["source"] == kind
        assert ("kind" in record.choices["light"]) == (kind != "eft")
        if kind != "eft":
            assert 5.0 <= record.choices["camera"]["offset"][1] <= 11.0
            shapes = smpl_poses.read_surreal_shapes(pathlib.Path(files["surreal_dir"]) / "smpl_data.npz")
            assert record.choices["betas"] in shapes[record.choices["gender"]].tolist()
        assert (record.choices["camera"]["yaw"] > 0.0) == (kind == "surreal")
        picture = recipe.studio().picture(
            PaperChoices.from_json(record.choices), np.full((64, 64, 3), [255, 0, 0], np.uint8)
        )
        assert picture.shape == (256, 128, 3)


def test_gendered_bodies_go_with_their_textures(files: dict[str, Any], tmp_path: pathlib.Path):
    tall = smpl_fixtures.humanoid()
    tall.arrays["v_template"] = tall.arrays["v_template"] * 1.15
    tall.arrays["posedirs"] = tall.arrays["posedirs"].astype(np.float32)
    (tmp_path / "male.pkl").write_bytes(smpl_fixtures.python2_pickle(tall.arrays))
    recipe = paper.PaperPit(
        **{**files, "body": "gendered", "smpl_female": files["smpl_neutral"], "smpl_male": str(tmp_path / "male.pkl")}
    )
    assert "smpl_neutral" not in recipe.parameters()["inputs"]
    studio = recipe.studio()
    red = np.full((64, 64, 3), [255, 0, 0], np.uint8)
    heights = {
        gender: np.ptp(_red(studio.frontal(dataclasses.replace(_row_choices(recipe, 0), gender=gender), red))[:, 0])
        for gender in ("female", "male")
    }
    assert heights["male"] == pytest.approx(1.15 * heights["female"], rel=0.02)


def test_photographs_with_persons_are_not_used(files: dict[str, Any]):
    everything = paper.PaperPit(**files)
    recipe = paper.PaperPit(**files, person_free=True)
    assert len(everything.inputs.backgrounds) == 5
    assert recipe.inputs.backgrounds == ("000000000009.jpg", "000000000012.jpg", "000000581929.jpg")
    used = {recipe.plan(index).choices["background"]["file"] for index in range(recipe.num_pairs)}
    assert used <= set(recipe.inputs.backgrounds)


# ---------------------------------------------------------------------------------------------------------- the check


def test_everything_that_is_missing_is_listed_at_once():
    with pytest.raises(PaperError) as caught:
        paper.PaperPit(body="gendered", person_free=True, shapes="surreal").plan(0)
    message = str(caught.value)
    assert message.startswith("7 of the paper's inputs are missing or malformed:")
    for key, place in (
        ("smpl_female", "smpl.is.tue.mpg.de"),
        ("smpl_male", "smpl.is.tue.mpg.de"),
        ("smpl_uv", "smpl.is.tue.mpg.de"),
        ("surreal_dir", "di.ens.fr/willow/research/surreal"),
        ("poses_file", "github.com/akanazawa/hmr"),
        ("coco_dir", "cocodataset.org"),
        ("coco_instances", "cocodataset.org"),
    ):
        (line,) = [line for line in message.splitlines() if f"- {key}: no path given; set --config.{key}=PATH" in line]
        assert place in line


def test_everything_that_is_malformed_is_listed_at_once(files: dict[str, Any], tmp_path: pathlib.Path):
    """Many defects in one go; what is in order is not named."""
    surreal_dir = tmp_path / "smpl_data"
    shutil.copytree(files["surreal_dir"], surreal_dir)
    broken = surreal_dir / "textures" / "female" / "nongrey_female_0001.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    Image.new("RGB", (64, 100)).save(surreal_dir / "textures" / "male" / "grey_male_0021.jpg")
    (surreal_dir / "smpl_data.npz").write_bytes(b"no zip")
    hostile = tmp_path / "SMPL_NEUTRAL.pkl"
    hostile.write_bytes(b"cposix\nsystem\n(S'touch " + str(tmp_path / "pwned").encode() + b"'\ntR.")
    thetas = np.load(files["poses_file"])
    thetas[3, 20] = np.nan
    np.save(tmp_path / "thetas.npy", thetas)
    (tmp_path / "instances.json").write_text("{}")
    recipe = paper.PaperPit(
        **{
            **files,
            "num_textures": 4,
            "smpl_neutral": str(hostile),
            "smpl_uv": str(tmp_path / "nowhere.obj"),
            "surreal_dir": str(surreal_dir),
            "poses_file": str(tmp_path / "thetas.npy"),
            "shapes": "surreal",
            "person_free": True,
            "coco_instances": str(tmp_path / "instances.json"),
        }
    )
    inputs, problems = recipe.check()
    assert inputs is None
    for part in (
        "smpl_neutral: " + str(hostile) + ": the pickle asks for posix.system, which is refused",
        "smpl_uv: " + str(tmp_path / "nowhere.obj") + ": cannot be read",
        "nongrey_female_0001.jpg: not a readable picture",
        "grey_male_0021.jpg: a square texture expected, found 64 x 100",
        "thetas.npy, row 3: holds numbers that are not finite",
        "smpl_data.npz: no .npz file",
        "instances.json: expected COCO's lists",
    ):
        assert sum(part in problem for problem in problems) == 1, (part, problems)
    assert len(problems) == 7
    assert all("https://" in problem for problem in problems)
    assert not (tmp_path / "pwned").exists()


def test_a_layout_of_another_mesh_is_neither_checked_nor_drawn(files: dict[str, Any], tmp_path: pathlib.Path):
    path = tmp_path / "smpl_uv.obj"
    lines = (line.split() for line in pathlib.Path(files["smpl_uv"]).read_text().splitlines())
    path.write_text("".join(" ".join([kind, *(rest[::-1] if kind == "f" else rest)]) + "\n" for kind, *rest in lines))
    recipe = paper.PaperPit(**{**files, "smpl_uv": str(path)})
    _, problems = recipe.check()
    (problem,) = problems
    assert problem.startswith(f"smpl_uv: {path}: not the mesh of {files['smpl_neutral']}: 13,776 of its 13,776 faces")
    with pytest.raises(PaperError, match="reversed winding"):
        recipe.studio()
    with pytest.raises(ArrayFileError, match="reversed winding"):
        recipe.mirror_map()


def test_every_body_is_held_against_the_layout(files: dict[str, Any], tmp_path: pathlib.Path):
    other = smpl_fixtures.humanoid()
    other.arrays["f"] = other.arrays["f"][:, [0, 2, 1]]
    other.arrays["posedirs"] = other.arrays["posedirs"].astype(np.float16)
    (tmp_path / "male.pkl").write_bytes(smpl_fixtures.python2_pickle(other.arrays))
    fields = {"body": "gendered", "smpl_female": files["smpl_neutral"], "smpl_male": str(tmp_path / "male.pkl")}
    _, problems = paper.PaperPit(**{**files, **fields}).check()
    (problem,) = problems
    assert f"not the mesh of {tmp_path / 'male.pkl'}" in problem


def test_the_check_says_how_many_shape_directions_are_used(files: dict[str, Any], tmp_path: pathlib.Path):
    arrays = smpl_fixtures.humanoid(num_betas=20).arrays
    arrays["posedirs"] = arrays["posedirs"].astype(np.float16)
    path = tmp_path / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl"
    path.write_bytes(smpl_fixtures.python2_pickle(arrays))
    inputs, problems = paper.PaperPit(**{**files, "smpl_neutral": str(path)}).check()
    assert problems == []
    assert inputs is not None
    assert inputs.counts["smpl_neutral"] == "6890 vertices, 10 of 20 shape directions"


def test_broken_pictures_are_listed_beside_all_else(files: dict[str, Any], tmp_path: pathlib.Path):
    """One round of mending will do: what is missing elsewhere hides no broken photograph or texture."""
    shutil.copytree(files["coco_dir"], tmp_path / "photos")
    shutil.copytree(files["surreal_dir"], tmp_path / "smpl_data")
    for path in [*(tmp_path / "photos").iterdir(), tmp_path / "smpl_data/textures/male/grey_male_0021.jpg"]:
        path.write_bytes(path.read_bytes()[:200])
    changed = {"num_textures": 5, "smpl_uv": "", "coco_dir": str(tmp_path / "photos")}
    _, problems = paper.PaperPit(**{**files, **changed, "surreal_dir": str(tmp_path / "smpl_data")}).check()
    for part in ("smpl_uv: no path given", "4 textures", "grey_male_0021.jpg: not a readable picture"):
        assert sum(part in problem for problem in problems) == 1
    assert (
        sum(f"{tmp_path / 'photos'}: 0" in problem and "not a readable picture" in problem for problem in problems) >= 3
    )


def test_meshes_of_a_texture_differ_with_few_poses(files: dict[str, Any], tmp_path: pathlib.Path):
    """12 poses for 4 x 8 pairs: none twice on a texture. Fewer than a texture needs are an error."""
    recipe = paper.PaperPit(**{**files, "num_textures": 4, "meshes_per_texture": 8})
    for number in range(4):
        rows = [recipe.plan(index).choices["pose"]["row"] for index in recipe.group(number)]
        assert len(set(rows)) == 8
    np.save(tmp_path / "thetas.npy", np.load(files["poses_file"])[:2])
    _, problems = paper.PaperPit(**{**files, "poses_file": str(tmp_path / "thetas.npy")}).check()
    (problem,) = problems
    assert "2 poses, 3 are needed" in problem


def test_nobody_reaches_behind_the_camera(recipe: paper.PaperPit, studio: PaperStudio):
    choices = dataclasses.replace(_row_choices(recipe, 0), offset=(0.0, 0.05, 0.0))
    assert len(_red(studio.picture(choices, np.full((64, 64, 3), [255, 0, 0], np.uint8)))) > 500


def test_too_few_textures_are_counted(files: dict[str, Any]):
    with pytest.raises(PaperError) as caught:
        paper.PaperPit(**{**files, "num_textures": 929}).plan(0)
    assert "4 textures (1 female grey, 1 female nongrey, 1 male grey, 1 male nongrey), 929 are asked for" in str(
        caught.value
    )
    assert "88 female grey, 363 female nongrey, 69 male grey, 409 male nongrey" in str(caught.value)
    grey = paper.PaperPit(**{**files, "clothing": "grey"}).inputs
    assert [one.clothing for one in grey.textures] == ["grey", "grey"]


def test_broken_backgrounds_are_found_before_drawing(files: dict[str, Any], tmp_path: pathlib.Path):
    shutil.copytree(files["coco_dir"], tmp_path / "photos")
    for path in (tmp_path / "photos").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    inputs, problems = paper.PaperPit(**{**files, "coco_dir": str(tmp_path / "photos")}).check()
    assert inputs is None
    assert len(problems) >= 2
    assert all("not a readable picture" in problem and "cocodataset.org" in problem for problem in problems)


def test_files_beside_the_backgrounds_are_named(files: dict[str, Any], tmp_path: pathlib.Path):
    shutil.copytree(files["coco_dir"], tmp_path / "photos")
    (tmp_path / "photos" / "notes.txt").touch()
    inputs, _ = paper.PaperPit(**{**files, "coco_dir": str(tmp_path / "photos")}).check()
    assert inputs is not None
    assert inputs.counts["coco_dir"].startswith("5 photographs; passed over, as they are not named like pictures")
    assert inputs.counts["coco_dir"].endswith(": notes.txt")


def test_annotations_of_other_photographs_are_an_error(files: dict[str, Any], tmp_path: pathlib.Path):
    _, instances = smpl_fixtures.write_coco(tmp_path, persons={1000: ""})
    _, problems = paper.PaperPit(**files | {"person_free": True, "coco_instances": str(instances)}).check()
    (problem,) = problems
    assert "none of its 5 photographs is a person-free image" in problem


def test_mirror_map_is_of_smpls_layout(recipe: paper.PaperPit, files: dict[str, Any], tmp_path: pathlib.Path):
    index_map = recipe.mirror_map()
    mesh = recipe.mesh()
    assert np.ptp(mesh.vertices[:, 2]) > 1.5 > np.ptp(mesh.vertices[:, 1])  # Z is up

    # A template that is not symmetric: the file's own pairs say what positions do not.
    arrays = smpl_fixtures.humanoid().arrays
    partner = mirror.vertex_correspondence(mesh.vertices, 0.001, chosen=mesh.triangles)
    arrays["v_template"] = arrays["v_template"] + 0.01 * np.sin(40.0 * arrays["v_template"][:, [1, 2, 0]])
    arrays["posedirs"] = arrays["posedirs"].astype(np.float16)
    (tmp_path / "bent.pkl").write_bytes(pickle.dumps(arrays, 2))
    bent = paper.PaperPit(**{**files, "smpl_neutral": str(tmp_path / "bent.pkl")})
    inputs, problems = bent.check()
    assert inputs is None
    (problem,) = problems
    assert "smpl_neutral: has no vert_sym_idxs" in problem
    (tmp_path / "bent.pkl").write_bytes(pickle.dumps({**arrays, "vert_sym_idxs": partner}, 2))
    inputs, problems = dataclasses.replace(bent).check()
    assert problems == []
    np.testing.assert_array_equal(bent.mirror_map(), index_map)
