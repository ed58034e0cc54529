"""The paper's own PIT: SURREAL's textures on SMPL bodies, posed as people in photographs, before COCO's photographs.

Paper, section 3.1: 929 textures (451 female, 478 male) x 10 meshes = 9,290 pairs; meshes of SMPL with the pose and shape
that HMR inferred from COCO's persons, which gives the viewpoints, too; backgrounds drawn from COCO; the person in the
middle of 256x128 pixels; textures of 256x256 in SMPL's UV space; for Table 2 every pair also in one frontal pose.

The files are licensed to whoever registers for them and are not part of this project. `PaperPit.check` verifies all of
them before anything is drawn.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals

from render import manifest
from render.figure import mirror
from render.figure.body import TEXTURE_SIZE
from render.geometry.surface import vertex_normals
from render.optics import camera, light
from render.optics.rasterizer import Rasterizer
from render.recipes.base import RecipeError, TexturesTimesMeshes, encode_jpeg, encode_png, stream
from render.scene.photo_folder import PhotoFolder, PhotoFolderError
from render.smpl import coco, surreal
from render.smpl import model as smpl
from render.smpl import poses as smpl_poses
from render.smpl.array_files import ArrayFileError
from render.smpl.poses import Poses
from render.smpl.surreal import SphericalHarmonics, TextureFile

# Raised whenever the same record would be drawn differently.
DRAWING_VERSION = 1

NOTES = (
    "Textures are SURREAL's in SMPL's UV space (smpl_uv.obj), resized. What a person wears is painted on the body: nothing "
    "stands away from it."
)

LICENSE = (
    "The licences of SMPL (https://smpl.is.tue.mpg.de), of SURREAL's textures "
    "(https://www.di.ens.fr/willow/research/surreal/data/), of COCO's photographs (https://cocodataset.org/#termsofuse) and of "
    "the source of the poses, as granted to whoever rendered the pictures. San-JAX grants no rights beyond them."
)

T = TypeVar("T")
R = TypeVar("R")

BODIES = ("neutral", "gendered")
SHAPES = ("poses", "surreal")
LIGHTS = ("outdoor", "surreal")

# First word of the random streams, apart from those of `render.recipes.base`.
TEXTURES, POSES, MESH, BACKGROUND = range(101, 105)

# Photographs are taken by day, or are bright.
_DAYLIGHT = light.LightShares(kinds={**light.LightShares().kinds, "night": 0.0})
_CLEARANCE = 0.5  # metres between the camera and who is before it
_LEVEL = np.stack([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], axis=1)  # a camera that looks along +Y


class PaperError(RecipeError):
    """Files of the paper's recipe that are missing or malformed. The message lists every one and where to get it."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the files hold, as far as planning needs it.

    Attributes:
        textures: One a group, in order.
        poses: Where poses, and mostly shapes, come from.
        shapes: SURREAL's shapes by gender, float64 [N 10]; None where shapes come with the poses.
        backgrounds: Names of the photographs to choose from.
        digests: SHA-256 of every input by its key.
        counts: How much there is of each, for people.
    """

    textures: tuple[TextureFile, ...]
    poses: Poses
    shapes: dict[str, np.ndarray] | None
    backgrounds: tuple[str, ...]
    digests: dict[str, str]
    counts: dict[str, str]


@dataclasses.dataclass(frozen=True)
class PaperPit(TexturesTimesMeshes):
    """The paper's recipe. Paths that are "" are not given.

    Attributes:
        seed: Every random stream starts from it.
        num_textures: Of the textures that there are; fewer are drawn at random.
        meshes_per_texture: Pairs of each.
        body: "neutral", which HMR, EFT and SPIN infer parameters of, or "gendered": female and male by the texture.
        smpl_neutral, smpl_female, smpl_male: SMPL's model files, `.pkl` or `.npz`; those that `body` needs.
        smpl_uv: `smpl_uv.obj`.
        surreal_dir: SURREAL's folder `smpl_data`, with `textures`, and `smpl_data.npz` where poses or shapes need it.
        texture_list: "all", "train" or "test" textures.
        clothing: "all", "grey" or "nongrey" textures.
        poses: One of `smpl_poses.KINDS`.
        poses_file: Its file; not needed for "surreal".
        shapes: "poses": as inferred with the pose; "surreal": SURREAL's, by gender (mocap poses need them).
        coco_dir: A folder of COCO's photographs, such as `train2017`.
        person_free: Use only photographs in which no person is annotated; needs `coco_instances`.
        coco_instances: `instances_*.json` of these photographs.
        light: "outdoor" (`render.optics.light`) or "surreal" (spherical harmonics).
        fill: Part of the crop's height, or width, that the person takes.
    """

    name: ClassVar[str] = "pit"
    notes: ClassVar[str] = NOTES
    license: ClassVar[str] = LICENSE

    seed: int = 0
    num_textures: int = 929
    meshes_per_texture: int = 10
    body: str = "neutral"
    smpl_neutral: str = ""
    smpl_female: str = ""
    smpl_male: str = ""
    smpl_uv: str = ""
    surreal_dir: str = ""
    texture_list: str = "all"
    clothing: str = "all"
    poses: str = "hmr"
    poses_file: str = ""
    shapes: str = "poses"
    coco_dir: str = ""
    person_free: bool = False
    coco_instances: str = ""
    light: str = "outdoor"
    fill: float = 0.9

    def __post_init__(self) -> None:
        for name, allowed in (
            ("body", BODIES),
            ("texture_list", surreal.LISTS),
            ("clothing", surreal.CLOTHING),
            ("poses", smpl_poses.KINDS),
            ("shapes", SHAPES),
            ("light", LIGHTS),
        ):
            if getattr(self, name) not in allowed:
                raise RecipeError(f"{name} must be one of {', '.join(allowed)}, found {getattr(self, name)!r}.")
        for name in ("num_textures", "meshes_per_texture"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} must be at least 1, found {getattr(self, name)}.")
        if not 0.1 <= self.fill <= 1.0:
            raise RecipeError(f"fill must lie in [0.1, 1], found {self.fill}.")
        if self.poses == "surreal" and self.shapes != "surreal":
            raise RecipeError("poses=surreal is motion capture without body shapes: set shapes=surreal as well.")

    @functools.cached_property
    def inputs(self) -> Inputs:
        """What the files hold.

        Raises:
            PaperError: Lists all that is missing or malformed.
        """
        inputs, problems = self.check()
        if inputs is None:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            raise PaperError(f"{len(problems)} of the paper's inputs are missing or malformed:{lines}")
        return inputs

    @functools.cached_property
    def _pose_order(self) -> np.ndarray:
        """Number of the pose of every pair, int64 [num_pairs]; no pose twice where there are enough, and never twice on
        one texture."""
        available = len(self.inputs.poses)
        rng = stream(self.seed, POSES)
        if available >= self.num_pairs:
            return rng.choice(available, self.num_pairs, replace=False)
        groups = [rng.choice(available, self.meshes_per_texture, replace=False) for _ in range(self.num_textures)]
        return np.concatenate(groups)

    def _background(self, index: int, photographs: tuple[str, ...]) -> dict[str, Any]:
        """The photograph behind pair `index` and the place in it; the check knows it without knowing anything else."""
        rng = stream(self.seed, BACKGROUND, *divmod(index, self.meshes_per_texture))
        return {"file": photographs[int(rng.integers(len(photographs)))], "crop": rng.uniform(size=3).tolist()}

    def parameters(self) -> dict[str, Any]:
        """Everything but the seed that the pairs depend on, JSON values: files by their digests, wherever they lie."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("seed", *_PATHS)
        }
        return {"recipe": "paper", **fields, "inputs": self.inputs.digests, "drawing_version": DRAWING_VERSION}

    def mesh(self) -> mirror.Mesh:
        """SMPL's rest pose, X to the left and Z up, with the faces and UV that its textures are for."""
        data = smpl.read_model(self._model_path(self.genders[0]))
        part = smpl.read_uv(self.smpl_uv, {self._model_path(self.genders[0]): data})
        return mirror.Mesh("SMPL", data.upright_template(), part.triangles, part.uv[part.faces], data.mirrored)

    def mirror_map(self) -> np.ndarray:
        """How the recipe's textures are mirrored, uint16 [256 256 2], see `render.figure.mirror`."""
        return mirror.mirror_map([self.mesh()], tolerance=mirror.SMPL_TOLERANCE)

    def studio(self) -> "PaperStudio":
        """What draws the recipe's records. One a process."""
        return PaperStudio(self)

    def plan(self, index: int) -> manifest.Record:
        """The record of pair `index`, with every choice."""
        inputs = self.inputs
        number, mesh = divmod(index, self.meshes_per_texture)
        texture = inputs.textures[number]
        rng = stream(self.seed, MESH, number, mesh)
        place = inputs.poses.locate(int(self._pose_order[index]))
        betas = inputs.poses.shape(place)
        if inputs.shapes is not None:
            shapes = inputs.shapes[texture.gender]
            betas = shapes[int(rng.integers(len(shapes)))].tolist()
        offset = inputs.poses.offset(place) or (0.0, smpl_poses.sample_distance(rng), 0.0)
        # Motion capture looks wherever it did; SURREAL turns it at random (`random_zrot`).
        yaw = float(rng.uniform(0.0, 2.0 * np.pi)) if self.poses == "surreal" else 0.0
        lit = SphericalHarmonics.sample(rng) if self.light == "surreal" else light.sample_light(rng, _DAYLIGHT)
        name = f"{number:04d}_{mesh:02d}"
        return manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{number:04d}.png",
            frontal=f"frontals/{name}.jpg",
            texture_id=number,
            split="train",
            person_id=-1,
            camera_id=-1,
            choices={
                "gender": texture.gender,
                "texture_file": texture.name,
                "pose": place,
                "betas": betas,
                "camera": {"offset": list(offset), "yaw": yaw},
                "light": lit.to_json(),
                "background": self._background(index, inputs.backgrounds),
            },
        )

    # ------------------------------------------------------------------------------------------------------- the files

    def _model_path(self, gender: str) -> str:
        return {"neutral": self.smpl_neutral, "female": self.smpl_female, "male": self.smpl_male}[gender]

    @property
    def genders(self) -> tuple[str, ...]:
        """Which of SMPL's models are needed."""
        return ("neutral",) if self.body == "neutral" else surreal.GENDERS

    @property
    def _smpl_data(self) -> str:
        return str(pathlib.Path(self.surreal_dir) / "smpl_data.npz") if self.surreal_dir else ""

    def check(self) -> tuple[Inputs | None, list[str]]:
        """Reads every input: what they hold, and all that is missing or malformed, each with where to get it.

        The inputs are None where there is a problem.
        """
        problems: list[str] = []
        digests: dict[str, str] = {}
        counts: dict[str, str] = {}

        @contextlib.contextmanager
        def collecting(key: str, advice: str) -> Iterator[None]:
            try:
                yield
            except (ArrayFileError, PhotoFolderError) as error:
                problems.append(f"{key}: {error}" + ("" if advice in str(error) else f" {advice}"))
            except mirror.MirrorError as error:
                problems.append(
                    f"{key}: has no vert_sym_idxs, as official .pkl files do, and its template is too far from symmetric "
                    f"to find left and right without ({error}) {advice}"
                )

        def given(key: str, path: str, advice: str) -> bool:
            """Whether a path is set; its digest is taken along."""
            if not path:
                problems.append(f"{key}: no path given; set --config.{key}=PATH. {advice}")
                return False
            if pathlib.Path(path).is_file():
                with contextlib.suppress(OSError):  # who reads it next says so
                    digests[key] = _digest_file(path)
            return True

        models: dict[str, smpl.SmplData] = {}
        for gender in self.genders:
            key = f"smpl_{gender}"
            if given(key, self._model_path(gender), smpl.SMPL_ADVICE):
                with collecting(key, smpl.SMPL_ADVICE):
                    data = models[self._model_path(gender)] = smpl.read_model(self._model_path(gender))
                    if data.mirrored is None and gender == self.genders[0]:
                        mirror.vertex_correspondence(data.v_template, mirror.SMPL_TOLERANCE, chosen=data.faces)
                    counts[key] = (
                        f"{smpl.NUM_VERTICES} vertices, {smpl.NUM_BETAS} of {data.num_shapedirs} shape directions"
                    )
        if given("smpl_uv", self.smpl_uv, smpl.UV_ADVICE):
            with collecting("smpl_uv", smpl.UV_ADVICE):
                counts["smpl_uv"] = f"{len(smpl.read_uv(self.smpl_uv, models).faces)} triangles"

        textures: tuple[TextureFile, ...] = ()
        if given("surreal_dir", self.surreal_dir, surreal.ADVICE):
            textures = self._check_textures(problems, digests, counts)

        poses = None
        poses_file = self.poses_file or (self._smpl_data if self.poses == "surreal" else "")
        if given("poses_file", poses_file, smpl_poses.ADVICE[self.poses]):
            with collecting("poses_file", smpl_poses.ADVICE[self.poses]):
                poses = smpl_poses.read_poses(self.poses, poses_file)
                counts["poses_file"] = f"{len(poses)} poses ({self.poses})"
                if len(poses) < self.meshes_per_texture:
                    problems.append(
                        f"poses_file: {poses_file}: {len(poses)} poses, {self.meshes_per_texture} are needed for the "
                        f"different meshes of a texture. {smpl_poses.ADVICE[self.poses]}"
                    )
                if isinstance(poses, smpl_poses.MocapPoses):
                    problems += [f"poses_file: {problem}" for problem in poses.problems()]
        shapes = None
        if self.shapes == "surreal" and self.surreal_dir:
            with collecting("smpl_data", surreal.ADVICE):
                shapes = smpl_poses.read_surreal_shapes(self._smpl_data)
                same = poses_file == self._smpl_data
                digests["smpl_data"] = digests["poses_file"] if same else _digest_file(self._smpl_data)
                counts["shapes"] = ", ".join(f"{len(rows)} {gender}" for gender, rows in shapes.items())

        backgrounds: tuple[str, ...] = ()
        if given("coco_dir", self.coco_dir, coco.ADVICE):
            with collecting("coco_dir", coco.ADVICE):
                photographs = PhotoFolder(self.coco_dir)
                backgrounds = photographs.names
                passed_over = f"; {photographs.passed_over}" if photographs.passed_over else ""
                counts["coco_dir"] = f"{len(backgrounds)} photographs{passed_over}"
        if self.person_free:
            backgrounds, everything = (), backgrounds
            if given("coco_instances", self.coco_instances, coco.ADVICE):
                with collecting("coco_instances", coco.ADVICE):
                    person_free = coco.read_person_free(self.coco_instances)
                    backgrounds = tuple(coco.without_persons(everything, person_free))
                    if everything and not backgrounds:
                        problems.append(
                            f"{self.coco_dir}: none of its {len(everything)} photographs is a person-free image of "
                            f"{self.coco_instances}; do the two belong together? {coco.ADVICE}"
                        )
                    counts["coco_instances"] = f"{len(backgrounds)} photographs without persons"
        if backgrounds:
            with collecting("coco_dir", coco.ADVICE):
                problems += self._check_backgrounds(backgrounds, digests, counts)
        if problems or poses is None:
            return None, problems
        return Inputs(textures, poses, shapes, backgrounds, digests, counts), problems

    def _check_textures(
        self, problems: list[str], digests: dict[str, str], counts: dict[str, str]
    ) -> tuple[TextureFile, ...]:
        found, wrong = surreal.list_textures(self.surreal_dir, which=self.texture_list, clothing=self.clothing)
        problems += wrong
        numbers = {
            key: sum((one.gender, one.clothing) == key for one in found)
            for key in surreal.NUM_TEXTURES
            if self.clothing in ("all", key[1])
        }
        summary = ", ".join(f"{number} {gender} {clothing}" for (gender, clothing), number in numbers.items())
        counts["textures"] = f"{len(found)} ({summary})"
        if len(found) < self.num_textures:
            paper = ", ".join(f"{number} {' '.join(key)}" for key, number in surreal.NUM_TEXTURES.items())
            problems.append(
                f"{self.surreal_dir}: {len(found)} textures ({summary}), {self.num_textures} are asked for; "
                f"SURREAL has {sum(surreal.NUM_TEXTURES.values())} ({paper}). {surreal.ADVICE}"
            )
        if not found:
            return ()
        if len(found) > self.num_textures:
            chosen = stream(self.seed, TEXTURES).choice(len(found), self.num_textures, replace=False)
            found = [found[index] for index in sorted(chosen.tolist())]
        try:
            folder = PhotoFolder(self.surreal_dir, [one.name for one in found])
        except PhotoFolderError as error:
            problems.append(f"surreal_dir: {error} {surreal.ADVICE}")
            return ()

        def read(texture: TextureFile) -> tuple[str, str]:
            """The texture's digest, and what is wrong with it."""
            try:
                pixels = folder.read(texture.name)
            except PhotoFolderError as error:
                return "", f"{self.surreal_dir}: {error}. {surreal.ADVICE}"
            height, width, _ = pixels.shape
            if height != width:
                return "", f"{texture.name}: a square texture expected, found {width} x {height}. {surreal.ADVICE}"
            return hashlib.sha256(f"{texture.name} {height} ".encode() + pixels.tobytes()).hexdigest(), ""

        results = _in_threads(read, found)
        problems += [problem for _, problem in results if problem]
        digests["textures"] = hashlib.sha256(" ".join(digest for digest, _ in results).encode()).hexdigest()
        return tuple(found)

    def _check_backgrounds(
        self, photographs: tuple[str, ...], digests: dict[str, str], counts: dict[str, str]
    ) -> list[str]:
        """Decodes every photograph that the plan uses, and adds their digest and number."""
        names = sorted({self._background(index, photographs)["file"] for index in range(self.num_pairs)})
        folder = PhotoFolder(self.coco_dir, names)

        def read(name: str) -> str:
            try:
                folder.read(name)
            except PhotoFolderError as error:
                return f"{self.coco_dir}: {error}. {coco.ADVICE}"
            return ""

        problems = [problem for problem in _in_threads(read, names) if problem]
        if not problems:
            listed = hashlib.sha256("\0".join(photographs).encode()).hexdigest()
            digests["backgrounds"] = hashlib.sha256(f"{listed} {folder.digest}".encode()).hexdigest()
            counts["backgrounds"] = f"{len(names)} photographs used"
        return problems


_PATHS = (
    "smpl_neutral",
    "smpl_female",
    "smpl_male",
    "smpl_uv",
    "surreal_dir",
    "poses_file",
    "coco_dir",
    "coco_instances",
)


def _in_threads(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The function of every item, on all cores: Pillow decodes outside of Python's lock."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def _digest_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class PaperStudio:
    """Draws the paper's pairs. One a process."""

    def __init__(self, recipe: PaperPit):
        self._recipe = recipe
        self._inputs = recipe.inputs
        models = {gender: smpl.read_model(recipe._model_path(gender)) for gender in recipe.genders}
        self._models = {gender: smpl.Smpl(data) for gender, data in models.items()}
        self._part = smpl.read_uv(recipe.smpl_uv, {recipe._model_path(gender): data for gender, data in models.items()})
        self._textures = PhotoFolder(recipe.surreal_dir, [one.name for one in self._inputs.textures])
        self._texture = functools.lru_cache(maxsize=4)(self._read_texture)
        self._rasterizer = Rasterizer()

    def draw(self, record: manifest.Record) -> dict[str, bytes]:
        """The files of a pair: path inside the folder -> content."""
        texture, png = self._texture(record.choices["texture_file"])
        files = {record.texture: png, record.image: encode_jpeg(self.picture(record.choices, texture))}
        if record.frontal is not None:
            files[record.frontal] = encode_jpeg(self.frontal(record.choices, texture))
        return files

    def _read_texture(self, name: str) -> tuple[np.ndarray, bytes]:
        """A texture as it is, which is drawn, and of the dataset's size, which is stored."""
        pixels = self._textures.read(name)
        small = Image.fromarray(pixels).resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.LANCZOS)
        return pixels, encode_png(np.asarray(small))

    def picture(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The person in the middle of the picture, before a photograph, uint8 [256 128 3]."""
        rotations = self._inputs.poses.pose(choices["pose"])
        rotations[0] = camera.rotation_about_z(choices["camera"]["yaw"]) @ rotations[0]
        mesh = self._mesh(self._vertices(choices, rotations))
        right, away, up = choices["camera"]["offset"]
        # Whatever was inferred, nobody reaches behind the camera.
        away = max(away, _CLEARANCE - float(mesh.vertices[:, 1].min()))
        sensor = camera.Camera(_LEVEL, -np.array([right, away, up]), 1.0, (0.0, 0.0))
        framing = camera.Framing(self._recipe.fill, (0.0, 0.0))
        crop, _ = camera.crop_around(sensor, np.asarray(mesh.vertices), framing)
        if choices["light"].get("kind") == "spherical_harmonics":
            lit = SphericalHarmonics.from_json(choices["light"]).irradiance_of_meshes([mesh])
        else:
            lit = light.Light.from_json(choices["light"])
        color, alpha = self._rasterizer.draw([mesh], texture, crop, lit)
        behind = self._background(choices["background"])
        return np.rint(255.0 * np.clip(color + (1.0 - alpha[..., None]) * behind, 0.0, 1.0)).astype(np.uint8)

    def frontal(self, choices: dict[str, Any], texture: np.ndarray) -> np.ndarray:
        """The same person in the fixed frontal pose, under neutral light on plain grey, uint8 [256 128 3]."""
        rotations = smpl.frontal_rotations()
        rotations[0] = smpl.UPRIGHT
        vertices = self._vertices(choices, rotations)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        mesh = self._mesh(vertices - [*(low + high)[:2] / 2.0, low[2]])
        color, alpha = self._rasterizer.draw([mesh], texture, camera.frontal_camera(), light.neutral_light())
        return np.rint(255.0 * (color + np.float32(0.5) * (1.0 - alpha[..., None]))).astype(np.uint8)

    def _vertices(self, choices: dict[str, Any], rotations: np.ndarray) -> np.ndarray:
        model = self._models["neutral" if "neutral" in self._models else choices["gender"]]
        return model.vertices(rotations, np.array(choices["betas"]))

    def _mesh(self, vertices: np.ndarray) -> trimesh.Trimesh:
        """The textured mesh of posed vertices; its normals are smooth across UV seams."""
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

    def _background(self, background: dict[str, Any]) -> np.ndarray:
        """A crop of a photograph, float32 [256 128 3] in [0, 1]."""
        photo = Image.fromarray(PhotoFolder(self._recipe.coco_dir, [background["file"]]).read(background["file"]))
        zoom, x, y = background["crop"]
        height = min(photo.height, photo.width * camera.IMAGE_HEIGHT / camera.IMAGE_WIDTH) * (0.6 + 0.4 * zoom)
        width = height * camera.IMAGE_WIDTH / camera.IMAGE_HEIGHT
        left, top = x * (photo.width - width), y * (photo.height - height)
        cut = photo.resize(
            (camera.IMAGE_WIDTH, camera.IMAGE_HEIGHT), Image.Resampling.BICUBIC, (left, top, left + width, top + height)
        )
        return np.asarray(cut, np.float32) / np.float32(255.0)
