"""Which files the paper's recipe draws from, and which of their textures, poses and photographs meet."""

import dataclasses
import pathlib

from render.recipes.base import RecipeError, TexturesTimesMeshes, stream
from render.recipes.paper_choices import PhotoCrop
from render.smpl import poses as smpl_poses
from render.smpl import surreal

BODIES = ("neutral", "gendered")
SHAPES = ("poses", "surreal")

# First word of the random streams, apart from those of the open recipes.
TEXTURES, POSES, MESH, BACKGROUND = range(101, 105)

# Fields that are paths: what the pairs depend on is the content of the files.
PATHS = (
    "smpl_neutral",
    "smpl_female",
    "smpl_male",
    "smpl_uv",
    "surreal_dir",
    "poses_file",
    "coco_dir",
    "coco_instances",
)


@dataclasses.dataclass(frozen=True)
class PaperFiles(TexturesTimesMeshes):
    """The files of the paper's recipe, and how many of what they hold are used. A path that is "" is not given.

    Attributes:
        seed: Every random stream starts from it.
        num_textures: Number of textures; where the files hold more, this many are drawn at random.
        meshes_per_texture: Number of pairs of each texture.
        body: "neutral", the body that HMR, EFT and SPIN infer parameters of, or "gendered": female or male as the
            texture is.
        smpl_neutral, smpl_female, smpl_male: SMPL's model files, `.pkl` or `.npz`; those that `body` needs.
        smpl_uv: SMPL's UV layout `smpl_uv.obj`.
        surreal_dir: SURREAL's folder `smpl_data`, with `textures`, and `smpl_data.npz` where poses or shapes need it.
        texture_list: "all", "train" or "test" textures.
        clothing: "all", "grey" or "nongrey" textures.
        poses: Where the poses come from: "hmr", "eft", "spin" or "surreal".
        poses_file: File of the poses; not needed for "surreal".
        shapes: "poses": as inferred with the pose; "surreal": SURREAL's, by gender (motion capture needs them).
        coco_dir: A folder of COCO's photographs, such as `train2017`.
        person_free: Use only photographs in which no person is annotated; needs `coco_instances`.
        coco_instances: The annotations `instances_*.json` of these photographs.
    """

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

    def __post_init__(self) -> None:
        self._check_name("body", BODIES)
        self._check_name("texture_list", surreal.LISTS)
        self._check_name("clothing", surreal.CLOTHING)
        self._check_name("poses", smpl_poses.KINDS)
        self._check_name("shapes", SHAPES)
        for name in ("num_textures", "meshes_per_texture"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} must be at least 1, found {getattr(self, name)}.")
        if self.poses == "surreal" and self.shapes != "surreal":
            raise RecipeError("poses=surreal is motion capture without body shapes: set shapes=surreal as well.")

    def _check_name(self, name: str, allowed: tuple[str, ...]) -> None:
        """Check that a field has one of the values that it may have."""
        if getattr(self, name) not in allowed:
            raise RecipeError(f"{name} must be one of {', '.join(allowed)}, found {getattr(self, name)!r}.")

    @property
    def genders(self) -> tuple[str, ...]:
        """Which of SMPL's models are needed."""
        return ("neutral",) if self.body == "neutral" else surreal.GENDERS

    def model_path(self, gender: str) -> str:
        """Return the path of SMPL's model of a gender: "neutral", "female" or "male"."""
        return {"neutral": self.smpl_neutral, "female": self.smpl_female, "male": self.smpl_male}[gender]

    @property
    def smpl_data(self) -> str:
        """Path of SURREAL's `smpl_data.npz`; "" without SURREAL's folder."""
        return str(pathlib.Path(self.surreal_dir) / "smpl_data.npz") if self.surreal_dir else ""

    @property
    def poses_path(self) -> str:
        """Path of the poses: `poses_file`, or SURREAL's own file where that is meant."""
        return self.poses_file or (self.smpl_data if self.poses == "surreal" else "")

    def background(self, index: int, photographs: tuple[str, ...]) -> PhotoCrop:
        """Draw the background of pair `index`; it depends on nothing but the names of the photographs."""
        rng = stream(self.seed, BACKGROUND, *divmod(index, self.meshes_per_texture))
        file = photographs[int(rng.integers(len(photographs)))]
        size, x, y = rng.uniform(size=3).tolist()
        return PhotoCrop(file, (size, x, y))
