"""Synthetic files in the formats of the paper's recipe; they hold nothing of SMPL, SURREAL, HMR, EFT, SPIN or COCO.

The body is a humanoid of capsules with SMPL's numbers of vertices, faces, UV coordinates and joints. Every capsule has
a cell of the UV square to itself; the middle of a cell's width is the capsule's front.
"""

import dataclasses
import json
import pathlib
import struct
from typing import Any

import numpy as np
from PIL import Image
from scipy import sparse

from render.smpl import model as smpl
from render.smpl.uv import NUM_UV

RINGS, COLUMNS = 23, 16
GRID = 5  # cells of the UV square a row

_JOINTS: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, -0.22, 0.0),
    "left_hip": (0.09, -0.30, 0.0),
    "spine1": (0.0, -0.11, 0.0),
    "left_knee": (0.10, -0.69, 0.0),
    "spine2": (0.0, 0.02, 0.0),
    "left_ankle": (0.10, -1.08, -0.02),
    "spine3": (0.0, 0.08, 0.0),
    "left_foot": (0.11, -1.13, 0.10),
    "neck": (0.0, 0.28, 0.0),
    "left_collar": (0.07, 0.20, 0.0),
    "head": (0.0, 0.36, 0.01),
    "left_shoulder": (0.18, 0.22, 0.0),
    "left_elbow": (0.44, 0.22, -0.01),
    "left_wrist": (0.68, 0.22, -0.01),
    "left_hand": (0.76, 0.22, -0.01),
}
# Part -> (joint that moves it, from, to, half width across, half width to the front).
_PARTS: dict[str, tuple[str, Any, Any, float, float]] = {
    "hips": ("pelvis", "pelvis", "spine1", 0.15, 0.11),
    "belly": ("spine1", "spine1", "spine3", 0.14, 0.10),
    "chest": ("spine3", "spine3", "neck", 0.16, 0.12),
    "neck": ("neck", "neck", "head", 0.05, 0.05),
    "head": ("head", (0.0, 0.38, 0.01), (0.0, 0.52, 0.01), 0.075, 0.09),
    "nose": ("head", (0.0, 0.43, 0.08), (0.0, 0.41, 0.13), 0.015, 0.02),
    "left_thigh": ("left_hip", "left_hip", "left_knee", 0.075, 0.08),
    "left_shin": ("left_knee", "left_knee", "left_ankle", 0.05, 0.055),
    "left_foot": ("left_ankle", "left_ankle", (0.12, -1.12, 0.17), 0.045, 0.03),
    "left_upper_arm": ("left_shoulder", "left_shoulder", "left_elbow", 0.045, 0.045),
    "left_forearm": ("left_elbow", "left_elbow", "left_wrist", 0.037, 0.037),
    "left_palm": ("left_wrist", "left_wrist", (0.84, 0.22, -0.01), 0.02, 0.04),
}


def part_names() -> list[str]:
    """Return the names of the capsules in the order of their UV cells, left ones followed by right ones."""
    names = []
    for name in _PARTS:
        names += [name, name.replace("left", "right")] if name.startswith("left") else [name]
    return names


def uv_of(part: str, across: float = 0.5, along: float = 0.5) -> tuple[float, float]:
    """Return the UV coordinates of a place of a capsule.

    Args:
        part: Name of the capsule.
        across: Place around it from the body's right to its left: 0.5 is the front, 0 and 1 the back.
        along: Place along it, 0 to 1 from start to end as in `_PARTS`.
    """
    row, column = divmod(part_names().index(part), GRID)
    return (column + 0.04 + 0.92 * across) / GRID, (row + 0.04 + 0.92 * along) / GRID


@dataclasses.dataclass
class Humanoid:
    """The arrays of a model file, and the mesh with its UV.

    Attributes:
        arrays: Arrays by their names in SMPL's files; J_regressor is a SciPy CSC matrix.
        uv: UV coordinates float [7576 2].
        faces_uv: UV coordinates of the faces' corners int [13776 3].
        part_of: Part of every vertex, int [6890].
    """

    arrays: dict[str, Any]
    uv: np.ndarray
    faces_uv: np.ndarray
    part_of: np.ndarray


def _point(place: Any) -> np.ndarray:
    return np.array(_JOINTS[place] if isinstance(place, str) else place)


def _capsule(start: np.ndarray, end: np.ndarray, across: float, front: float) -> np.ndarray:
    """Rings and the two poles [RINGS * COLUMNS + 2, 3]; column COLUMNS / 2 looks to the front."""
    axis = (end - start) / np.linalg.norm(end - start)
    forward = np.array([0.0, 1.0, 0.0]) if abs(axis[2]) > 0.7 else np.array([0.0, 0.0, 1.0])
    forward = forward - axis * (axis @ forward)
    forward /= np.linalg.norm(forward)
    side = np.cross(axis, forward)
    half = np.linalg.norm(end - start) / 2 + 0.3 * min(across, front)
    phi = np.pi * np.arange(1, RINGS + 1) / (RINGS + 1)
    angle = 2 * np.pi * np.arange(COLUMNS) / COLUMNS - np.pi
    radius = np.minimum(1.0, 2.0 * np.sin(phi))[:, None]
    along = (-np.cos(phi) * half)[:, None, None] * axis
    ring = across * (radius * np.sin(angle))[..., None] * side + front * (radius * np.cos(angle))[..., None] * forward
    middle = (start + end) / 2
    return np.concatenate([(middle + along + ring).reshape(-1, 3), [middle - half * axis, middle + half * axis]])


def _capsule_faces() -> tuple[np.ndarray, np.ndarray]:
    """Faces [2 RINGS COLUMNS, 3] of a capsule, outwards, and those into its UV grid [RINGS, COLUMNS + 1] and poles."""
    faces, faces_uv = [], []
    south, north = RINGS * COLUMNS, RINGS * COLUMNS + 1
    wide = COLUMNS + 1
    for ring in range(RINGS):
        for column in range(COLUMNS):
            right = (column + 1) % COLUMNS
            a, b = ring * COLUMNS + column, ring * COLUMNS + right
            ua, ub = ring * wide + column, ring * wide + column + 1
            if ring + 1 < RINGS:
                c, d, uc, ud = b + COLUMNS, a + COLUMNS, ub + wide, ua + wide
                faces += [[a, b, c], [a, c, d]]
                faces_uv += [[ua, ub, uc], [ua, uc, ud]]
            if ring == 0:
                faces.append([south, b, a])
                faces_uv.append([RINGS * wide, ub, ua])
            if ring == RINGS - 1:
                faces.append([a, b, north])
                faces_uv.append([ua, ub, RINGS * wide + 1])
    return np.array(faces), np.array(faces_uv)


def humanoid(num_betas: int = 10) -> Humanoid:
    """Make the synthetic body."""
    vertices, faces, uv, faces_uv, part_of, weights, centres = [], [], [], [], [], [], []
    cell_faces, cell_faces_uv = _capsule_faces()
    grid_u = np.arange(COLUMNS + 1) / COLUMNS
    grid_v = np.arange(1, RINGS + 1) / (RINGS + 1)
    for number, name in enumerate(part_names()):
        side = -1.0 if name.startswith("right") else 1.0
        joint, start, end, across, front = _PARTS[name.replace("right", "left")]
        joint = joint.replace("left", "right") if side < 0 else joint
        points = _capsule(_point(start), _point(end), across, front) * [side, 1.0, 1.0]
        offset, offset_uv = len(vertices) * len(points), len(uv) * ((COLUMNS + 1) * RINGS + 2)
        # A mirrored capsule turns its faces round.
        faces.append((cell_faces if side > 0 else cell_faces[:, ::-1]) + offset)
        faces_uv.append((cell_faces_uv if side > 0 else cell_faces_uv[:, ::-1]) + offset_uv)
        u, v = np.meshgrid(grid_u, grid_v)
        local = np.concatenate([np.stack([u, v], axis=-1).reshape(-1, 2), [[0.5, 0.0], [0.5, 1.0]]])
        uv.append(np.array([uv_of(name, 0.5 + side * (across_ - 0.5), along) for across_, along in local]))
        vertices.append(points)
        part_of.append(np.full(len(points), number))
        index = smpl.JOINT_NAMES.index(joint)
        weight = np.zeros((len(points), smpl.NUM_JOINTS))
        share = 0.5 * np.clip(1.0 - np.append(np.repeat(grid_v, COLUMNS), [0.0, 1.0]) / 0.25, 0.0, 1.0)
        share *= name not in ("hips", "head", "nose")
        weight[:, index] = 1.0 - share
        weight[:, smpl.PARENTS[index]] += share
        weights.append(weight)
        centres += [
            (ring.mean(axis=0), offset + COLUMNS * k) for k, ring in enumerate(points[:-2].reshape(RINGS, -1, 3))
        ]
    template, weight = np.concatenate(vertices), np.concatenate(weights)
    padding = smpl.NUM_VERTICES - len(template)
    template = np.concatenate([template, np.tile(_point("pelvis"), (padding, 1))])
    weight = np.concatenate([weight, np.tile(np.eye(smpl.NUM_JOINTS)[0], (padding, 1))])
    all_faces, all_faces_uv = np.concatenate(faces), np.concatenate(faces_uv)
    more = smpl.NUM_FACES - len(all_faces)
    all_faces, all_faces_uv = (np.concatenate([one, one[:more]]) for one in (all_faces, all_faces_uv))
    all_uv = np.concatenate(uv)
    all_uv = np.concatenate([all_uv, np.full((NUM_UV - len(all_uv), 2), 0.99)])

    regressor = np.zeros((smpl.NUM_JOINTS, smpl.NUM_VERTICES))
    for index, name in enumerate(smpl.JOINT_NAMES):
        wanted = _point(name.replace("right", "left")) * [-1.0 if "right" in name else 1.0, 1.0, 1.0]
        _, first = min(centres, key=lambda centre: float(np.linalg.norm(centre[0] - wanted)))
        regressor[index, first : first + COLUMNS] = 1.0 / COLUMNS
    rng = np.random.default_rng(5)
    shapedirs = 0.002 * rng.normal(size=(smpl.NUM_VERTICES, 3, num_betas)) * np.linspace(1.0, 0.0, num_betas)
    shapedirs[:, :, 0] = 0.03 * template  # taller and wider
    shapedirs[:, :, 1] = 0.1 * template * [1.0, 0.0, 1.0]  # wider
    x, y, z = template.T[:, :, None] * rng.uniform(1.0, 5.0, (3, 1, 207))
    posedirs = 0.001 * np.stack([np.sin(x + y), np.sin(y + z), np.sin(z + x)], axis=1)
    parents = np.array([(2**32 - 1, *smpl.PARENTS[1:]), range(smpl.NUM_JOINTS)], np.uint32)
    arrays = {
        "v_template": template,
        "f": all_faces.astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": posedirs,
        "J_regressor": sparse.csc_matrix(regressor),
        "weights": weight,
        "kintree_table": parents,
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }
    return Humanoid(arrays, all_uv, all_faces_uv, np.concatenate([*part_of, np.full(padding, -1)]))


# Python 2 pickles


def python2_pickle(value: Any, *, chumpy: tuple[str, ...] = ()) -> bytes:
    """Return a pickle as Python 2 with NumPy, SciPy and chumpy of 2015 wrote it (protocol 2).

    Args:
        value: A dictionary of arrays, CSC matrices, strings, numbers, nested.
        chumpy: Keys whose arrays are chumpy arrays.
    """
    return b"\x80\x02" + _python2(value, chumpy) + b"."


def _python2(value: Any, chumpy: tuple[str, ...] = ()) -> bytes:
    if isinstance(value, dict):
        items = b"".join(
            _python2(key) + (_chumpy(item) if key in chumpy else _python2(item)) for key, item in value.items()
        )
        return b"}(" + items + b"u"
    if isinstance(value, sparse.csc_matrix):
        state = {"_shape": value.shape, "maxprint": 50}
        state |= {"indptr": value.indptr, "indices": value.indices, "data": value.data}
        return b"cscipy.sparse.csc\ncsc_matrix\n)\x81" + _python2(state) + b"b"
    if isinstance(value, np.ndarray):
        order = {"=": "<", "<": "<", "|": "|", ">": ">"}[value.dtype.byteorder]
        dtype = b"cnumpy\ndtype\n" + _python2(value.dtype.str[1:]) + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + _python2(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        return start + b"(K\x01" + _python2(value.shape) + dtype + b"\x89" + _python2(value.tobytes()) + b"tb"
    if isinstance(value, str):
        return _python2(value.encode("latin1"))
    if isinstance(value, bytes):
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_python2, value)) + b"t"
    if isinstance(value, int | np.integer):
        return b"J" + struct.pack("<i", value)
    raise TypeError(type(value))


def _chumpy(value: np.ndarray) -> bytes:
    """Pickle a chumpy array: its state also holds a set and bookkeeping (`Ch.__getstate__`)."""
    state = _python2({"x": value, "_itr": 9999, "_depends_on_deps": {}})[:-1]
    state += _python2("_dirty_vars") + b"c__builtin__\nset\n(" + b"]" + _python2("x") + b"atR" + b"u"
    return b"cchumpy.ch\nCh\n)\x81" + state + b"b"


# other formats


def write_uv(path: pathlib.Path, body: Humanoid) -> pathlib.Path:
    """Write the body as `smpl_uv.obj`."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in body.arrays["v_template"]]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in body.uv]
    faces, faces_uv = body.arrays["f"].astype(int) + 1, body.faces_uv + 1
    lines += [f"f {a}/{ua} {b}/{ub} {c}/{uc}" for (a, b, c), (ua, ub, uc) in zip(faces, faces_uv, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def part_texture(size: int = 512) -> np.ndarray:
    """Return a texture uint8 [size size 3]: a colour for each part, brighter towards its front, blue at its back."""
    texture = np.zeros((size, size, 3), np.uint8)
    palette = np.random.default_rng(3).integers(60, 256, (GRID * GRID, 3))
    cell = np.arange(size) * GRID // size
    number = (GRID - 1 - cell)[:, None] * GRID + cell[None, :]  # v is up
    across = (np.arange(size) * GRID / size) % 1.0
    front = 1.0 - 0.6 * np.abs(2.0 * across - 1.0)
    texture[:] = palette[number] * front[None, :, None]
    texture[:, np.abs(across - 0.5) > 0.38] = [20, 20, 90]
    return texture


def write_surreal(
    root: pathlib.Path, *, textures: dict[tuple[str, str], int], size: int = 64, shapes: int = 5
) -> pathlib.Path:
    """Write a folder `smpl_data` with textures by (gender, clothing), their lists, and `smpl_data.npz`."""
    rng = np.random.default_rng(1)
    for gender in ("female", "male"):
        folder = root / "textures" / gender
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for clothing in ("grey", "nongrey"):
            for number in range(textures.get((gender, clothing), 0)):
                name = f"textures/{gender}/{clothing}_{gender}_{7 * number + 20 * (clothing == 'grey') + 1:04d}.jpg"
                pixels = np.asarray(Image.fromarray(part_texture()).resize((size, size)))
                tint = rng.uniform(0.7, 1.0, 3)
                Image.fromarray((pixels * tint).astype(np.uint8)).save(root / name, quality=95)
                names.append(name)
        for which, chosen in (("all", names), ("train", names[::2]), ("test", names[1::2])):
            (root / "textures" / f"{gender}_{which}.txt").write_text("".join(f"{name}\n" for name in chosen))
    standing = np.zeros((4, 72))
    standing[:, 0] = np.pi / 2  # from Y up to Z up, as SURREAL's mocap
    walking = standing.repeat(2, axis=0)
    walking[:, 3] = np.linspace(-0.5, 0.5, 8)
    walking[:, 6] = np.linspace(0.5, -0.5, 8)
    np.savez(
        root / "smpl_data.npz",
        maleshapes=rng.normal(size=(shapes, 10)),
        femaleshapes=rng.normal(size=(shapes + 1, 10)),
        pose_01_01=standing,
        trans_01_01=np.zeros((4, 3)),
        pose_ung_02=walking,
        trans_ung_02=np.zeros((8, 3)),
        regression_verts=np.arange(10),
    )
    return root


def write_hmr(path: pathlib.Path, count: int = 12) -> pathlib.Path:
    """Write thetas [N 85]: persons that stand before the camera, seen from all sides, arms hanging."""
    rng = np.random.default_rng(2)
    thetas = np.zeros((count, 85), np.float32)
    for row, turn in enumerate(np.linspace(0.0, 2 * np.pi, count, endpoint=False)):
        thetas[row, :3] = 0.9, 0.02, 0.25
        pose = thetas[row, 3:75].reshape(24, 3)
        # About X by pi (Y down), after about the body's own Y by the turn.
        half = turn / 2
        pose[0] = np.pi * np.array([np.cos(half), 0.0, -np.sin(half)])
        pose[16, 2], pose[17, 2] = -1.1, 1.1
        thetas[row, 75:] = 0.5 * rng.normal(size=10)
    np.save(path, thetas)
    return path


def write_eft(path: pathlib.Path, thetas: np.ndarray) -> pathlib.Path:
    """Write the persons of HMR's thetas as EFT's JSON."""
    data = []
    for row, theta in enumerate(thetas):
        data.append(
            {
                "parm_pose": smpl.rotation_matrices(theta[3:75].reshape(24, 3)).tolist(),
                "parm_shape": theta[75:].tolist(),
                "parm_cam": [float(theta[0]), float(theta[1] * theta[0]), float(theta[2] * theta[0])],
                "bbox_scale": 1.2,
                "bbox_center": [100.0, 200.0],
                "joint_validity_openpose18": [True] * 18,
                "smpltype": "smpl",
                "annotId": row,
                "imageName": f"COCO_train2014_{row:012d}.jpg",
            }
        )
    path.write_text(json.dumps({"ver": 0.1, "data": data}))
    return path


def write_coco(
    root: pathlib.Path, *, persons: dict[int, str], style: str = "2017"
) -> tuple[pathlib.Path, pathlib.Path]:
    """Write a folder of photographs and its instances file.

    Args:
        root: Folder to write them in.
        persons: Image number -> "" (a dog only), "one" (a person) or "crowd" (an iscrowd annotation of persons).
        style: "2014" or "2017", how files are called.
    """
    folder = root / f"train{style}"
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number, kind in persons.items():
        name = f"COCO_train2014_{number:012d}.jpg" if style == "2014" else f"{number:012d}.jpg"
        row, column = np.mgrid[0:120, 0:160]
        pixels = np.stack([row + number % 90, column, 200 - row], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": number, "file_name": name, "height": 120, "width": 160})
        annotations.append(
            {"id": len(annotations), "image_id": number, "category_id": 18, "iscrowd": 0, "segmentation": [[1.0, 2.0]]}
        )
        if kind:
            fields = {"counts": [1, 2], "size": [120, 160]} if kind == "crowd" else [[1.0, 2.0]]
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": int(kind == "crowd"),
                    "segmentation": fields,
                }
            )
    categories = [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 18, "name": "dog", "supercategory": "animal"},
    ]
    path = root / f"instances_train{style}.json"
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations, "categories": categories}))
    return folder, path


def write_paper_inputs(root: pathlib.Path) -> dict[str, Any]:
    """Write every file of the paper's recipe; return the fields of a `PaperPit` of 2 textures x 3 meshes."""
    body = humanoid()
    body.arrays["posedirs"] = body.arrays["posedirs"].astype(np.float32)  # half the bytes
    (root / "SMPL_NEUTRAL.pkl").write_bytes(python2_pickle(body.arrays, chumpy=("shapedirs",)))
    textures = {(gender, clothing): 1 for gender in ("female", "male") for clothing in ("grey", "nongrey")}
    photographs, instances = write_coco(root, persons={9: "", 30: "one", 77: "crowd", 12: "", 581929: ""})
    return {
        "num_textures": 2,
        "meshes_per_texture": 3,
        "smpl_neutral": str(root / "SMPL_NEUTRAL.pkl"),
        "smpl_uv": str(write_uv(root / "smpl_uv.obj", body)),
        "surreal_dir": str(write_surreal(root / "smpl_data", textures=textures, size=512)),
        "poses_file": str(write_hmr(root / "thetas.npy")),
        "coco_dir": str(photographs),
        "coco_instances": str(instances),
    }
