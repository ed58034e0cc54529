"""Meshes of accessories, fitted to a dressed and posed figure.

What lies on the clothes (straps, scarves, hats) is anchored at points of the body's surface, which are found once on
the reference body and known on every shape, dress and pose. Bags on the back are fitted to the actual back and turn
with the chest. What hangs from a hand hangs straight down. Accessories are modelled for the left side; on the right
side they are the mirror image, texture included.
"""

from collections.abc import Callable, Sequence

import numpy as np
import trimesh

from render.accessories import bags, head, held
from render.accessories.head import press_hair
from render.accessories.shape import Shape
from render.accessories.textures import paint
from render.accessories.wearer import Wearer
from render.people.accessories import Accessory

__all__ = ["Wearer", "make_meshes", "press_hair"]

_MAKERS: dict[str, Callable[[Accessory, Wearer], Shape]] = {
    "backpack": bags.backpack,
    "shoulder_bag": bags.shoulder_bag,
    "handbag": held.hand_bag,
    "tote": held.hand_bag,
    "shopping_bag": held.hand_bag,
    "briefcase": held.hand_bag,
    "suitcase": held.suitcase,
    "umbrella": held.umbrella,
    "folded_umbrella": held.folded_umbrella,
    "papers": held.papers,
    "phone": held.phone,
    "cap": head.cap,
    "beanie": head.beanie,
    "hat": head.hat,
    "headphones": head.headphones,
    "glasses": head.glasses,
    "sunglasses": head.glasses,
    "scarf": head.scarf,
}


def make_meshes(accessories: Sequence[Accessory], wearer: Wearer) -> list[trimesh.Trimesh]:
    """Make a mesh for each accessory, in the frame of the wearer's meshes.

    Returns:
        Meshes with smooth normals and UV coordinates, closed but for hats, which end inside the hair. Their `metadata`
        holds "part", the kind; "double_sided", always False; "texture", uint8 [64 n 64 3], one array that holds the n
        accessories one below the other, so that they are drawn together; "in_box", whether a detector's box would take
        the accessory in (an open umbrella and a suitcase are left out); and, where triangles are too large to cast a
        shadow by their corners alone, "fill", float32 [N 3], points on the surface.
    """
    if not accessories:
        return []
    texture = np.concatenate([paint(a.kind, a.pattern, a.colors, a.seed) for a in accessories])
    return [
        _MAKERS[accessory.kind](accessory, wearer).mesh(accessory.kind, texture, row, len(accessories))
        for row, accessory in enumerate(accessories)
    ]
