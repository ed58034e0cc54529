"""The paper's own PIT: SURREAL's textures on SMPL bodies, posed as people in photographs, before COCO's photographs.

Paper, section 3.1: 929 textures (451 female, 478 male) x 10 meshes = 9,290 pairs; meshes of SMPL with the pose and
shape that HMR inferred from COCO's persons, which gives the viewpoints, too; backgrounds drawn from COCO; the person in
the middle of 256x128 pixels; textures of 256x256 in SMPL's UV space; for Table 2 every pair also in one frontal pose.

The files are licensed to whoever registers for them and are not part of this project. `PaperPit.check` verifies all of
them before anything is drawn.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np

from render import manifest
from render.figure import mirror
from render.optics import light
from render.recipes import paper_inputs
from render.recipes.base import RecipeError, stream
from render.recipes.paper_choices import PaperChoices
from render.recipes.paper_files import MESH, PATHS, POSES, PaperFiles
from render.recipes.paper_inputs import Inputs
from render.recipes.paper_studio import PaperStudio
from render.smpl import model as smpl
from render.smpl import poses as smpl_poses
from render.smpl.surreal import SphericalHarmonics
from render.smpl.uv import read_uv

# Raised whenever the same record would be drawn differently.
DRAWING_VERSION = 1

NOTES = (
    "Textures are SURREAL's in SMPL's UV space (smpl_uv.obj), resized. What a person wears is painted on the body: "
    "nothing stands away from it."
)

LICENSE = (
    "The licences of SMPL (https://smpl.is.tue.mpg.de), of SURREAL's textures "
    "(https://www.di.ens.fr/willow/research/surreal/data/), of COCO's photographs "
    "(https://cocodataset.org/#termsofuse) and of the source of the poses, as granted to whoever rendered the pictures. San-JAX grants no rights beyond them."
)

LIGHTS = ("outdoor", "surreal")

# Photographs are taken by day, or are bright.
_DAYLIGHT = light.LightShares(kinds={**light.LightShares().kinds, "night": 0.0})


@dataclasses.dataclass(frozen=True)
class PaperPit(PaperFiles):
    """The paper's recipe.

    Attributes:
        light: "outdoor" (`render.optics.light`) or "surreal" (spherical harmonics).
        fill: Part of the crop's height, or width, that the person takes.
    """

    name: ClassVar[str] = "pit"
    notes: ClassVar[str] = NOTES
    license: ClassVar[str] = LICENSE

    light: str = "outdoor"
    fill: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_name("light", LIGHTS)
        if not 0.1 <= self.fill <= 1.0:
            raise RecipeError(f"fill must lie in [0.1, 1], found {self.fill}.")

    @functools.cached_property
    def inputs(self) -> Inputs:
        """What the files hold.

        Raises:
            PaperError: Lists all that is missing or malformed.
        """
        return paper_inputs.read_inputs(self)

    def check(self) -> tuple[Inputs | None, list[str]]:
        """Read every input, and list all that is missing or malformed, each with where to get it.

        Returns:
            The inputs, None where there is a problem, and the problems.
        """
        return paper_inputs.check_inputs(self)

    def parameters(self) -> dict[str, Any]:
        """Return all that the pairs depend on but the seed, JSON values: files by their digests, wherever they lie."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("seed", *PATHS)
        }
        return {"recipe": "paper", **fields, "inputs": self.inputs.digests, "drawing_version": DRAWING_VERSION}

    def mesh(self) -> mirror.Mesh:
        """Read SMPL's rest pose, X to the left and Z up, with the faces and UV that its textures are for."""
        path = self.model_path(self.genders[0])
        data = smpl.read_model(path)
        part = read_uv(self.smpl_uv, {path: data})
        return mirror.Mesh("SMPL", data.upright_template(), part.triangles, part.uv[part.faces], data.mirrored)

    def mirror_map(self) -> np.ndarray:
        """Compute how the recipe's textures are mirrored, uint16 [256 256 2], see `render.figure.mirror`."""
        return mirror.mirror_map([self.mesh()], tolerance=mirror.SMPL_TOLERANCE)

    def studio(self) -> PaperStudio:
        """Make what draws the recipe's records. Each process makes one."""
        return PaperStudio(self, self.inputs, self.fill)

    def plan(self, index: int) -> manifest.Record:
        """Return the record of pair `index`, with every choice."""
        number, mesh = divmod(index, self.meshes_per_texture)
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
            choices=self._choose(index).to_json(),
        )

    def _choose(self, index: int) -> PaperChoices:
        """Draw everything that pair `index` depends on."""
        inputs = self.inputs
        number, mesh = divmod(index, self.meshes_per_texture)
        texture = inputs.textures[number]
        rng = stream(self.seed, MESH, number, mesh)
        place = inputs.poses.locate(int(self._pose_order[index]))
        if inputs.shapes is None:
            betas = inputs.poses.shape(place)
        else:
            shapes = inputs.shapes[texture.gender]
            betas = shapes[int(rng.integers(len(shapes)))].tolist()
        return PaperChoices(
            gender=texture.gender,
            texture_file=texture.name,
            pose=place,
            betas=tuple(betas),
            offset=inputs.poses.offset(place) or (0.0, smpl_poses.sample_distance(rng), 0.0),
            # Motion capture knows no camera: SURREAL turns the body at random (`random_zrot`).
            yaw=float(rng.uniform(0.0, 2.0 * np.pi)) if self.poses == "surreal" else 0.0,
            light=SphericalHarmonics.sample(rng) if self.light == "surreal" else light.sample_light(rng, _DAYLIGHT),
            background=self.background(index, inputs.backgrounds),
        )

    @functools.cached_property
    def _pose_order(self) -> np.ndarray:
        """Number of the pose of every pair, int64 [num_pairs].

        No pose is used twice where there are enough, and none is ever used twice on one texture.
        """
        available = len(self.inputs.poses)
        rng = stream(self.seed, POSES)
        if available >= self.num_pairs:
            return rng.choice(available, self.num_pairs, replace=False)
        groups = [rng.choice(available, self.meshes_per_texture, replace=False) for _ in range(self.num_textures)]
        return np.concatenate(groups)
