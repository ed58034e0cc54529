"""SURREAL's assets (Varol et al., "Learning from Synthetic Humans", 2017): textures, body shapes, poses, lighting.

The folder `smpl_data/` comes from https://www.di.ens.fr/willow/research/surreal/data/ after its licence was accepted:

    textures/{female,male}/{grey,nongrey}_{female,male}_0123.jpg     numbers with gaps
    textures/{female,male}_{train,test,all}.txt                      paths relative to smpl_data/
    smpl_data.npz                                                    maleshapes, femaleshapes, pose_<sequence>, ...

Grey textures are scans in grey clothes (CAESAR), nongrey ones in people's own.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh

GENDERS = ("female", "male")
CLOTHING = ("all", "grey", "nongrey")
LISTS = ("all", "train", "test")
NUM_TEXTURES = {("female", "grey"): 88, ("female", "nongrey"): 363, ("male", "grey"): 69, ("male", "nongrey"): 409}
"""The paper's 929: 451 female and 478 male."""

ADVICE = (
    "Accept SURREAL's licence at https://www.di.ens.fr/willow/research/surreal/data/ and fetch smpl_data with "
    "download/download_smpl_data.sh of https://github.com/gulvarol/surreal."
)
KIND = "spherical_harmonics"
_NAME = re.compile(r"textures/(female|male)/(grey|nongrey)_(female|male)_(\d{4})\.jpg")


@dataclasses.dataclass(frozen=True)
class TextureFile:
    """A texture of SURREAL.

    Attributes:
        name: Path relative to `smpl_data/`, with forward slashes.
        gender: "female" or "male".
        clothing: "grey" or "nongrey".
    """

    name: str
    gender: str
    clothing: str


def list_textures(
    smpl_data: str | os.PathLike[str], *, which: str = "all", clothing: str = "all"
) -> tuple[list[TextureFile], list[str]]:
    """List the textures of a `smpl_data` folder, female ones first, by number.

    Args:
        smpl_data: The folder.
        which: "all" takes every file in the folder; "train" and "test" take those of the lists of that name.
        clothing: "grey", "nongrey" or "all".

    Returns:
        The textures, and what is wrong: a folder, a list or a listed file that is missing, lines that name no texture.
    """
    root = pathlib.Path(smpl_data)
    problems: list[str] = []
    textures = []
    for gender in GENDERS:
        if which == "all":
            folder = root / "textures" / gender
            if not folder.is_dir():
                problems.append(f"{folder}: no such folder. {ADVICE}")
                continue
            names = [path.relative_to(root).as_posix() for path in folder.glob("*.jpg")]
        else:
            path = root / "textures" / f"{gender}_{which}.txt"
            try:
                names = [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
            except (OSError, UnicodeError) as error:
                problems.append(f"{path}: cannot be read ({error.__class__.__name__}). {ADVICE}")
                continue
        for name in sorted(set(names), key=lambda one: (one[-8:], one)):
            match = _NAME.fullmatch(name)
            if match is None or match[1] != gender or match[3] != gender:
                problems.append(f"{root / 'textures'}: {name!r} is no name of a {gender} texture.")
            elif not (root / name).is_file():
                what = "no file, or a link to none" if which == "all" else f"listed in {gender}_{which}.txt and missing"
                problems.append(f"{root / name}: {what}. {ADVICE}")
            elif clothing in ("all", match[2]):
                textures.append(TextureFile(name, gender, match[2]))
    return textures, problems


@dataclasses.dataclass(frozen=True)
class SphericalHarmonics:
    """SURREAL's light: irradiance by direction, in nine spherical harmonics.

    The order and the constants are those of `datageneration/spher_harm/sh.osl` (after Ramamoorthi and Hanrahan 2001,
    eq. 13), the axes those of SURREAL's scene, seen from its camera (`datageneration/main_part1.py`): X to the camera,
    Y down, Z to the left of the picture.

    Attributes:
        coefficients: The nine coefficients.
    """

    coefficients: tuple[float, float, float, float, float, float, float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "SphericalHarmonics":
        """Draw a light as `main_part1.py` does: ambient 0.5 to 1.4, light from above, the rest within 0.7."""
        values = 0.7 * (2.0 * rng.uniform(size=9) - 1.0)
        values[0] = 0.5 + 0.9 * rng.uniform()
        values[1] = -0.7 * rng.uniform()
        return cls(tuple(values.tolist()))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values only; `kind` tells them from those of `render.optics.light.Light`."""
        return {"kind": KIND, "coefficients": list(self.coefficients)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "SphericalHarmonics":
        """Return the inverse of `to_json`."""
        return cls(tuple(fields["coefficients"]))

    def irradiance(self, normals: np.ndarray) -> np.ndarray:
        """Return the linear irradiance [...] on surfaces with unit normals [... 3], not below 0.

        Normals are in the renderer's axes, before a camera that looks along +Y: X to the right, Z up.
        """
        c1, c2, c3, c4, c5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
        l00, l1m1, l10, l11, l2m2, l2m1, l20, l21, l22 = self.coefficients
        x, y, z = -normals[..., 1], -normals[..., 2], -normals[..., 0]
        light = (
            c1 * l22 * (x * x - y * y)
            + c3 * l20 * z * z
            + c4 * l00
            - c5 * l20
            + 2.0 * c1 * (l2m2 * x * y + l21 * x * z + l2m1 * y * z)
            + 2.0 * c2 * (l11 * x + l1m1 * y + l10 * z)
        )
        return np.maximum(light, 0.0)

    def irradiance_of_meshes(self, meshes: Sequence[trimesh.Trimesh]) -> list[np.ndarray]:
        """Return the irradiance float32 [vertices 3] on the vertices of meshes with normals; nothing casts shadows."""
        return [
            np.repeat(self.irradiance(np.asarray(mesh.vertex_normals, np.float32))[:, None], 3, axis=1)
            for mesh in meshes
        ]
