"""Meshes of accessories: sound, where they belong, mirrored, and the same for the same choices."""

import dataclasses
import json

import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree

from render import person
from render.accessories import straps
from render.accessories.wearer import Wearer
from render.figure import body
from render.figure.body import Body, BodyShape
from render.geometry.surface import BODY
from render.optics import light
from render.people import accessories, poses
from render.people.accessories import Accessory, AccessoryShares, sample_accessories
from render.people.appearance import Appearance
from render.people.poses import Pose
from render.people.sample import sample_appearance
from render.person import Figure

HANGING = (*accessories.PLACES["hand"][:4], "folded_umbrella")


THINGS = [(kind, variant) for kind in accessories.KINDS for variant in accessories.VARIANTS.get(kind, ("",))]


SHAPES = (  # weight, height, gender
    BodyShape(0.9, 0.7, 0.4, 0.15, 0.30, 0.4),
    BodyShape(0.1, 0.7, 0.5, 0.50, 0.42, 0.5),
    BodyShape(0.5, 0.8, 0.4, 0.93, 0.35, 0.6),
)


@pytest.fixture(scope="module")
def figure() -> Body:
    return body.load_body()


def _looks(seed: int, **changes: object) -> Appearance:
    plain: dict[str, object] = {"hood": "none", "hair_style": "short"}
    return dataclasses.replace(sample_appearance(np.random.default_rng(seed)), **(plain | changes))


def _thing(kind: str, variant: str, side: str = "left", size: float = 1.0, pattern: str = "panel") -> Accessory:
    colors = ((0.1, 0.1, 0.3), (0.8, 0.2, 0.1), (0.1, 0.1, 0.1))
    return Accessory(kind, variant, side, size, pattern, colors, seed=5)


@dataclasses.dataclass
class Case:
    """One thing on one figure."""

    thing: Accessory
    pose: Pose
    wearer: Figure
    mesh: trimesh.Trimesh
    vertices: np.ndarray
    normals: np.ndarray


def _wear(wearer: Figure, thing: Accessory, pose: Pose) -> Case:
    meshes = wearer.meshes(pose, (thing,))
    normals = np.zeros((len(wearer.body.surface.part), 3))
    normals[wearer.body.part.vertex_map] = meshes[0].vertex_normals
    return Case(thing, pose, wearer, meshes[-1], wearer.pose(pose).vertices, normals)


@pytest.fixture(scope="module")
def cases(figure: Body) -> list[Case]:
    """Every kind on three bodies in two poses, in both hands."""
    tops = (
        {"top": "tee", "bottom": "jeans"},
        {"top": "coat", "skirt_length": 0.5},
        {"top": "dress", "skirt_length": 0.5},
    )
    wearers = [
        Figure(figure, _looks(seed, **{"skirt_length": 0.0, **top}), shape)
        for seed, (shape, top) in enumerate(zip(SHAPES, tops, strict=True))
    ]
    result = []
    for number, (kind, variant) in enumerate(THINGS):
        for index, wearer in enumerate(wearers):
            for side in accessories.SIDES:
                thing = _thing(kind, variant, side, size=(0.85, 1.0, 1.2)[(index + number) % 3])
                pose = poses.sample_pose(np.random.default_rng(10 * number + index), (thing,))
                result.append(_wear(wearer, thing, pose))
    return result


def test_meshes_are_sound(cases: list[Case]) -> None:
    for case in cases:
        mesh = case.mesh
        assert mesh.metadata["part"] == case.thing.kind
        assert mesh.metadata["in_box"] == (case.thing.kind not in ("umbrella", "suitcase"))
        assert np.isfinite(mesh.vertices).all()
        assert 40 < len(mesh.faces) < 600
        assert len(np.unique(mesh.faces)) == len(mesh.vertices)
        np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1.0, atol=1e-4)
        uv = mesh.visual.uv
        assert uv.shape == (len(mesh.vertices), 2)
        assert 0.0 < uv.min() < uv.max() < 1.0
        texture = mesh.metadata["texture"]
        assert texture.dtype == np.uint8
        assert texture.shape == (64, 64, 3)
        assert len(np.unique(texture.reshape(-1, 3) // 32, axis=0)) > 1  # more than one colour


def test_faces_wind_outwards(cases: list[Case]) -> None:
    """Smooth normals point to the same side as the faces, and the volume of what is closed is positive."""
    for case in cases:
        mesh = case.mesh
        corners = np.asarray(mesh.vertices)[mesh.faces]
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        smooth = np.asarray(mesh.vertex_normals)[mesh.faces].mean(axis=1)
        assert np.einsum("nc,nc->n", facing, smooth).sum() > 0.0, case.thing
        if case.thing.kind not in ("cap", "beanie", "hat"):  # open below, inside the hair
            centred = corners - corners.mean(axis=(0, 1))
            assert np.einsum("nc,nc->n", centred[:, 0], np.cross(centred[:, 1], centred[:, 2])).sum() > 0.0, case.thing


def _surface_points(mesh: trimesh.Trimesh) -> np.ndarray:
    """Corners, middles and thirds of the triangles."""
    corners = np.asarray(mesh.vertices)[mesh.faces]
    shares = np.array([[1, 0, 0], [1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [1, 1, 0], [0, 1, 1], [1, 0, 1]], float)
    return np.einsum("sk,nkc->nsc", shares / shares.sum(axis=1, keepdims=True), corners).reshape(-1, 3)


def _body_points(case: Case, *limbs: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the dressed body [N 3], their normals, and whether they belong to one of these groups."""
    s, triangles = case.wearer.body.surface, case.wearer.body.part.triangles
    triangles = triangles[(s.part[triangles] == BODY).all(axis=1)]
    middle, normal = case.vertices[triangles].mean(axis=1), case.normals[triangles].mean(axis=1)
    limb = s.group(*limbs)[triangles].max(axis=1) > 0.3
    return middle, normal / np.linalg.norm(normal, axis=1, keepdims=True), limb


def test_everything_touches_the_body_and_nothing_sinks_in(cases: list[Case]) -> None:
    for case in cases:
        kind = case.thing.kind
        middle, normal, forearm = _body_points(case, "hand", "lower_arm")
        nearest = KDTree(middle).query(_surface_points(case.mesh))[0].min()
        assert nearest < 0.01, case.thing
        # Fingers close around what they hold, all else is outside.
        outside = ~forearm if kind in accessories.HELD else np.ones(len(middle), bool)
        points = np.asarray(case.mesh.vertices)
        distance, index = KDTree(middle[outside]).query(points)
        depth = -np.einsum("nc,nc->n", points - middle[outside][index], normal[outside][index])
        # A scarf's lower edge is hidden where neck and shoulder meet.
        assert depth[distance < 0.08].max(initial=0.0) < (0.032 if kind == "scarf" else 0.02), case.thing


def test_heights_are_plausible(cases: list[Case]) -> None:
    for case in cases:
        kind = case.thing.kind
        low, high = case.mesh.vertices[:, 2].min(), case.mesh.vertices[:, 2].max()
        top = case.vertices[:, 2].max()
        if kind == "suitcase":
            assert abs(low) < 0.01  # on its wheels
        elif kind in (*HANGING, "shoulder_bag", "backpack"):
            assert low > 0.04, case.thing
        if kind in accessories.PLACES["head"]:
            assert top < high < top + 0.13
            assert low > top - 0.28
        elif kind in accessories.PLACES["eyes"]:
            assert top - 0.18 < low < high < top - 0.06
        elif kind == "umbrella":
            assert top + 0.1 < high < top + 0.5
            assert np.abs(np.median(case.mesh.vertices[:, :2], axis=0)).max() < 0.45  # over the head
        else:
            assert high < top - 0.1, case.thing


def test_bags_hang_straight_down_from_the_hand(cases: list[Case]) -> None:
    for case in cases:
        if case.thing.kind not in HANGING:
            continue
        joints = case.wearer.pose(case.pose).transforms
        suffix = "L" if case.thing.side == "left" else "R"
        name = f"finger3-2.{suffix}"
        move = joints[figure_joint(case, name)]
        grip = move[:3, :3] @ case.wearer.rest.joints[name] + move[:3, 3]
        points = np.asarray(case.mesh.vertices, float)
        lowest = points[points[:, 2] < points[:, 2].min() + 0.03].mean(axis=0)
        aside, down = np.linalg.norm((lowest - grip)[:2]), grip[2] - lowest[2]
        limit = 0.11 if case.thing.kind == "folded_umbrella" else 0.08  # the hook is beside the shaft
        assert aside < 0.21 * down + limit, case.thing
        assert np.sign(points[:, 0].mean()) == (1.0 if suffix == "L" else -1.0)


def figure_joint(case: Case, name: str) -> int:
    return case.wearer.body.joint_index[name]


def test_straps_lie_on_the_clothes(figure: Body) -> None:
    for shape in SHAPES:
        wearer = Figure(figure, _looks(3, top="sweater", skirt_length=0.0), shape)
        for name, thickness in (("backpack", 0.009), ("across", 0.005), ("shoulder", 0.005), ("scarf_end", 0.014)):
            case = _wear(wearer, _thing("backpack", "two_straps"), poses.sample_pose(np.random.default_rng(2)))
            posed = wearer.pose(case.pose)
            wears = Wearer(figure, wearer.rest, posed.transforms, posed.vertices, case.normals, posed.worn)
            for sign in (1.0, -1.0):
                band = straps.strap(wears, name, sign, thickness)
                middle, normal, arm = _body_points(case, "hand", "lower_arm", "upper_arm")
                middle, normal = middle[~arm], normal[~arm]
                outer = band[:, 1:3].mean(axis=1)  # the middle of the upper side
                index = KDTree(middle).query(outer)[1]
                height = np.einsum("nc,nc->n", outer - middle[index], normal[index])
                assert height.min() > 0.0, name
                assert height.max() < 0.03 + thickness, name
                assert np.linalg.norm(np.diff(outer, axis=0), axis=1).max() < 0.12  # no leap from one limb to another


def test_backpacks_are_behind_and_hats_around_the_head(figure: Body) -> None:
    wearer = Figure(figure, _looks(3, top="tee", skirt_length=0.0), SHAPES[1])
    pose = poses.frontal_pose()
    pack = _wear(wearer, _thing("backpack", "two_straps"), pose)
    assert (
        np.quantile(pack.mesh.vertices[:, 1], 0.6) > pack.vertices[figure.surface.group("trunk") > 0.9, 1].max() - 0.1
    )
    lean = dataclasses.replace(pose, lean=20.0)
    assert _wear(wearer, pack.thing, lean).mesh.vertices[:, 1].mean() < pack.mesh.vertices[:, 1].mean() - 0.05
    hat = _wear(wearer, _thing("hat", "wide"), pose)
    nod = _wear(wearer, hat.thing, dataclasses.replace(pose, head_yaw=30.0))
    assert np.linalg.norm(hat.mesh.vertices - nod.mesh.vertices, axis=1).max() > 0.05  # it turns with the head
    np.testing.assert_allclose(hat.mesh.edges_unique_length, nod.mesh.edges_unique_length, atol=5e-3)


def test_hats_press_long_hair(figure: Body) -> None:
    wearer = Figure(figure, _looks(3, hair_style="long", top="tee"), SHAPES[1])
    pose = poses.frontal_pose()
    bare = {mesh.metadata["part"]: mesh for mesh in wearer.meshes(pose)}
    capped = {mesh.metadata["part"]: mesh for mesh in wearer.meshes(pose, (_thing("cap", ""),))}
    (hair,) = (name for name in bare if name.startswith("hair"))
    before, after = bare[hair].vertices, capped[hair].vertices
    crown = before[:, 2] > before[:, 2].max() - 0.05
    assert np.abs(after[crown, 0]).max() < np.abs(before[crown, 0]).max()
    hanging = before[:, 2] < before[:, 2].max() - 0.25
    np.testing.assert_allclose(after[hanging], before[hanging], atol=1e-6)
    cap = capped["cap"].vertices
    assert cap[:, 2].max() > after[:, 2].max()


@pytest.mark.parametrize(("kind", "variant"), THINGS)
def test_mirrored_things_are_mirror_images(figure: Body, kind: str, variant: str) -> None:
    wearer = Figure(figure, _looks(3, top="tee", skirt_length=0.0), SHAPES[1])
    thing = _thing(kind, variant)
    pose = poses.sample_pose(np.random.default_rng(4), (thing,))
    assert thing.mirrored().mirrored() == thing
    mesh = wearer.meshes(pose, (thing,))[-1]
    image = wearer.meshes(pose.mirrored(), (thing.mirrored(),))[-1]
    np.testing.assert_array_equal(mesh.visual.uv, image.visual.uv)  # the texture is mirrored with the mesh
    np.testing.assert_allclose(mesh.vertices * [-1, 1, 1], image.vertices, atol=3e-3)
    np.testing.assert_allclose(mesh.vertex_normals * [-1, 1, 1], image.vertex_normals, atol=0.15)


def test_same_choices_give_the_same_bytes(figure: Body) -> None:
    wearer = Figure(figure, _looks(1), SHAPES[0])
    rng = np.random.default_rng(3)
    worn = sample_accessories(rng, wearer.appearance, AccessoryShares(backpack=1.0, shoulder_bag=0.0, cap=0.9))
    pose = poses.sample_pose(rng, worn)
    again = tuple(Accessory.from_json(json.loads(json.dumps(thing.to_json()))) for thing in worn)
    assert again == worn
    for mesh, same in zip(wearer.meshes(pose, worn), wearer.meshes(pose, again), strict=True):
        assert mesh.vertices.tobytes() == same.vertices.tobytes()
    without = person.build_person(figure, wearer.appearance, SHAPES[0], pose)
    assert [mesh.metadata["part"] for mesh in wearer.meshes(pose, worn)][len(without) :] == [t.kind for t in worn]


def test_an_umbrella_shades_its_owner(figure: Body) -> None:
    wearer = Figure(figure, _looks(1, hair_style="bald"), SHAPES[1])
    thing = _thing("umbrella", "")
    meshes = wearer.meshes(poses.sample_pose(np.random.default_rng(0), (thing,)), (thing,))
    sun = light.Light(0.3, 1.45, (1.0, 1.0, 1.0), (0.1, 0.1, 0.1), (0.1, 0.1, 0.1), 0.02)
    head = meshes[0].vertices[:, 2] > meshes[0].vertices[:, 2].max() - 0.08
    up = head & (meshes[0].vertex_normals[:, 2] > 0.8)
    in_the_sun = light.irradiance_of_meshes(meshes[:-1], sun)[0][up].mean()
    assert in_the_sun > 0.8
    assert light.irradiance_of_meshes(meshes, sun)[0][up].max() < 0.5 * in_the_sun  # no holes in the shadow


def test_things_worn_together_share_one_texture(figure: Body) -> None:
    wearer = Figure(figure, _looks(1, top="tee", skirt_length=0.0), SHAPES[1])
    worn = (_thing("backpack", "two_straps"), _thing("cap", "", pattern="plain"), _thing("sunglasses", ""))
    meshes = wearer.meshes(poses.frontal_pose(), worn)[-3:]
    assert len({id(mesh.metadata["texture"]) for mesh in meshes}) == 1
    for row, (thing, mesh) in enumerate(zip(worn, meshes, strict=True)):
        alone = wearer.meshes(poses.frontal_pose(), (thing,))[-1]
        size = len(alone.metadata["texture"])
        np.testing.assert_array_equal(
            mesh.metadata["texture"][row * size : (row + 1) * size], alone.metadata["texture"]
        )
        # Texel rows count downwards, v upwards.
        np.testing.assert_allclose(3.0 * (1.0 - mesh.visual.uv[:, 1]) - row, 1.0 - alone.visual.uv[:, 1], atol=1e-9)


def test_crossbody_bags_hang_in_several_places(figure: Body) -> None:
    wearer = Figure(figure, _looks(1, top="tee", bottom="jeans"), SHAPES[0])
    pose = poses.frontal_pose()
    places = []
    for seed in range(4):
        bag = dataclasses.replace(_thing("shoulder_bag", "across"), seed=seed)
        mesh = wearer.meshes(pose, (bag,))[-1]
        low = mesh.vertices[mesh.vertices[:, 2] < np.quantile(mesh.vertices[:, 2], 0.4)]
        places.append(float(low[:, 1].mean()))
    assert np.ptp(places) > 0.03
