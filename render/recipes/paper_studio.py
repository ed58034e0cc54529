"""Draws the pairs of the paper's recipe."""

import dataclasses
import functools

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals

from render import manifest
from render.figure import body_parts
from render.figure.body import TEXTURE_SIZE
from render.geometry.surface import vertex_normals
from render.optics import camera, light
from render.optics.rasterizer import Rasterizer
from render.recipes import truths
from render.recipes.base import encode_jpeg, encode_png
from render.recipes.paper_choices import PaperChoices, PhotoCrop
from render.recipes.paper_files import PaperFiles
from render.recipes.paper_inputs import Inputs
from render.scene.photo_folder import PhotoFolder
from render.smpl import model as smpl
from render.smpl.surreal import SphericalHarmonics
from render.smpl.uv import read_uv

_CLEARANCE = 0.5  # metres between the camera and who is before it
_LEVEL = np.stack([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], axis=1)  # a camera that looks along +Y


@dataclasses.dataclass(frozen=True, eq=False)
class _Shown:
    """What a picture shows of the person.

    Attributes:
        mesh: The person's.
        rotations: Rotations [24 3 3] of the joints.
        origin: Where the mesh's frame has its origin in the frame of the posed body, metres [3].
        camera: In the mesh's frame.
    """

    mesh: trimesh.Trimesh
    rotations: np.ndarray
    origin: np.ndarray
    camera: camera.Camera


class PaperStudio:
    """Draws the paper's pairs. Each process makes one.

    Args:
        files: The recipe's files.
        inputs: What they hold.
        fill: Part of the crop's height, or width, that the person takes.
    """

    def __init__(self, files: PaperFiles, inputs: Inputs, fill: float):
        self._files, self._inputs, self._fill = files, inputs, fill
        models = {gender: smpl.read_model(files.model_path(gender)) for gender in files.genders}
        self._models = {gender: smpl.Smpl(data) for gender, data in models.items()}
        self._part = read_uv(files.smpl_uv, {files.model_path(gender): data for gender, data in models.items()})
        self._textures = PhotoFolder(files.surreal_dir, [one.name for one in inputs.textures])
        self._texture = functools.lru_cache(maxsize=4)(self._read_texture)
        self._rasterizer = Rasterizer()

    def draw(self, record: manifest.Record) -> dict[str, bytes]:
        """Draw the files of a pair: path inside the folder -> content."""
        choices = PaperChoices.from_json(record.choices)
        texture, png = self._texture(choices.texture_file)
        pixels, shown = self._take(choices, texture)
        files = {record.texture: png, record.image: encode_jpeg(pixels)}
        files |= self._truths(record, "", choices, shown)
        if record.frontal is not None:
            pixels, shown = self._take_frontal(choices, texture)
            files[record.frontal] = encode_jpeg(pixels)
            files |= self._truths(record, "frontal_", choices, shown)
        return files

    def _read_texture(self, name: str) -> tuple[np.ndarray, bytes]:
        """Read a texture: its pixels, which are drawn, and a PNG of the dataset's size, which is stored."""
        pixels = self._textures.read(name)
        small = Image.fromarray(pixels).resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.LANCZOS)
        return pixels, encode_png(np.asarray(small))

    def picture(self, choices: PaperChoices, texture: np.ndarray) -> np.ndarray:
        """Draw the person in the middle of the picture, before a photograph, uint8 [256 128 3]."""
        return self._take(choices, texture)[0]

    def _take(self, choices: PaperChoices, texture: np.ndarray) -> tuple[np.ndarray, _Shown]:
        """Return the picture, and what its truths are told from."""
        rotations = self._inputs.poses.pose(choices.pose)
        rotations[0] = camera.rotation_about_z(choices.yaw) @ rotations[0]
        mesh = self._mesh(self._vertices(choices, rotations))
        right, away, up = choices.offset
        # Whatever was inferred, nobody reaches behind the camera.
        away = max(away, _CLEARANCE - float(mesh.vertices[:, 1].min()))
        sensor = camera.Camera(_LEVEL, -np.array([right, away, up]), 1.0, (0.0, 0.0))
        framing = camera.Framing(self._fill, (0.0, 0.0))
        crop, _ = camera.crop_around(sensor, np.asarray(mesh.vertices), framing)
        lit = choices.light
        if isinstance(lit, SphericalHarmonics):
            lit = lit.irradiance_of_meshes([mesh])
        color, alpha = self._rasterizer.draw([mesh], texture, crop, lit)
        behind = self._background(choices.background)
        pixels = np.rint(255.0 * np.clip(color + (1.0 - alpha[..., None]) * behind, 0.0, 1.0)).astype(np.uint8)
        return pixels, _Shown(mesh, rotations, np.zeros(3), crop)

    def frontal(self, choices: PaperChoices, texture: np.ndarray) -> np.ndarray:
        """Draw the same person in the fixed frontal pose, under neutral light on plain grey, uint8 [256 128 3]."""
        return self._take_frontal(choices, texture)[0]

    def _take_frontal(self, choices: PaperChoices, texture: np.ndarray) -> tuple[np.ndarray, _Shown]:
        rotations = smpl.frontal_rotations()
        rotations[0] = smpl.UPRIGHT
        vertices = self._vertices(choices, rotations)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        origin = np.array([*(low + high)[:2] / 2.0, low[2]])
        mesh, view = self._mesh(vertices - origin), camera.frontal_camera()
        color, alpha = self._rasterizer.draw([mesh], texture, view, light.neutral_light())
        pixels = np.rint(255.0 * (color + np.float32(0.5) * (1.0 - alpha[..., None]))).astype(np.uint8)
        return pixels, _Shown(mesh, rotations, origin, view)

    def _truths(self, record: manifest.Record, prefix: str, choices: PaperChoices, shown: _Shown) -> dict[str, bytes]:
        """Draw the truths that a record has of a picture: path inside the folder -> content."""
        names = truths.names(record, prefix)
        if not names:
            return {}
        model = self._model(choices)
        joints = model.joints(shown.rotations, np.array(choices.betas)) - shown.origin
        sight = truths.Sight(
            meshes=[shown.mesh],
            parts=body_parts.membership(smpl.JOINT_NAMES, model.data.weights, body_parts.part_of_smpl_joint)[
                self._part.vertex_map
            ],
            joints={name: joints[smpl.JOINT_NAMES.index(one.smpl)] for name, one in body_parts.JOINTS.items()},
            camera=shown.camera,
        )
        return truths.draw(self._rasterizer, sight, names)

    def _model(self, choices: PaperChoices) -> smpl.Smpl:
        return self._models["neutral" if "neutral" in self._models else choices.gender]

    def _vertices(self, choices: PaperChoices, rotations: np.ndarray) -> np.ndarray:
        """Pose the body of the choices, float32 [V 3]."""
        return self._model(choices).vertices(rotations, np.array(choices.betas))

    def _mesh(self, vertices: np.ndarray) -> trimesh.Trimesh:
        """Make the textured mesh of posed vertices; its normals are smooth across UV seams."""
        part = self._part
        normals = vertex_normals(vertices, part.triangles)
        mesh = trimesh.Trimesh(
            vertices=vertices[part.vertex_map],
            faces=part.faces,
            vertex_normals=normals[part.vertex_map],
            visual=TextureVisuals(uv=part.uv),
            process=False,
        )
        mesh.metadata["part"] = "body"
        mesh.metadata["double_sided"] = False
        return mesh

    def _background(self, background: PhotoCrop) -> np.ndarray:
        """Read the crop of a photograph, float32 [256 128 3] in [0, 1]."""
        photo = Image.fromarray(PhotoFolder(self._files.coco_dir, [background.file]).read(background.file))
        size, x, y = background.crop
        height = min(photo.height, photo.width * camera.IMAGE_HEIGHT / camera.IMAGE_WIDTH) * (0.6 + 0.4 * size)
        width = height * camera.IMAGE_WIDTH / camera.IMAGE_HEIGHT
        left, top = x * (photo.width - width), y * (photo.height - height)
        cut = photo.resize(
            (camera.IMAGE_WIDTH, camera.IMAGE_HEIGHT), Image.Resampling.BICUBIC, (left, top, left + width, top + height)
        )
        return np.asarray(cut, np.float32) / np.float32(255.0)
