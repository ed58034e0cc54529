"""`pit`, the paper's synthesized dataset ("PIT", Paired-Image-Texture): every texture on several meshes.

There are no identities, and every pair is also drawn in one fixed frontal pose.
"""

import dataclasses
from typing import ClassVar

from render import manifest
from render.recipes.base import PIT_MESH, PIT_TEXTURE, TexturesTimesMeshes, check_at_least, stream
from render.recipes.open_recipe import OpenRecipe


@dataclasses.dataclass(frozen=True)
class Pit(TexturesTimesMeshes, OpenRecipe):
    """Textures times meshes, without identities. The defaults are the paper's 929 x 10 = 9,290 pairs."""

    name: ClassVar[str] = "pit"

    num_textures: int = 929
    meshes_per_texture: int = 10

    def __post_init__(self) -> None:
        check_at_least(self, seed=0, num_textures=1, meshes_per_texture=1)

    def plan(self, index: int) -> manifest.Record:
        """Return the record of pair `index`, with every choice."""
        texture, mesh = divmod(index, self.meshes_per_texture)
        appearance = self.sample_appearance(stream(self.seed, PIT_TEXTURE, texture))
        rng = stream(self.seed, PIT_MESH, texture, mesh)
        human = self.sample_person(rng, appearance)
        name = f"{texture:04d}_{mesh:02d}"
        return manifest.Record(
            index=index,
            name=name,
            image=f"images/{name}.jpg",
            texture=f"textures/{texture:04d}.png",
            frontal=f"frontals/{name}.jpg",
            texture_id=texture,
            split="train",
            person_id=-1,
            camera_id=-1,
            choices=self.sample_picture(rng, human, self.sample_place(rng)).to_json(),
        )
