"""Paints the texture of a person: skin, face, hair, garments and their folds, in the body's UV space.

Every layer is a function of the surface attributes of the texels, that is of the place on the reference body, so
patterns run on over UV seams. Textures are painted at twice their resolution and averaged down. Shading that moves with
the cloth (folds, seams, the dark under a hem or the chin) is painted; light is not.

Each layer draws its noise from a stream of its own, so a change of shoes leaves every other texel as it is.
"""

from collections.abc import Callable, Mapping

import numpy as np

from render.figure.body import SUPERSAMPLING, Body
from render.paint import bottoms, faces, hair, shoes, skin, tops
from render.paint.canvas import Canvas
from render.people.appearance import Appearance

# From the skin outwards: the layer, and the first and last region that it paints.
_LAYERS: tuple[tuple[Callable[[Canvas, slice], None], str, str], ...] = (
    (skin.paint_skin, "foot", "scalp"),
    (faces.paint_face, "face", "face"),
    (skin.paint_neck, "neck", "face"),
    (faces.paint_eyeballs, "eye", "eye"),
    (bottoms.paint_legs, "foot", "hip"),
    (bottoms.paint_skirt, "skirt", "skirt"),
    (tops.paint_layers, "panel", "hood"),
    (tops.paint_top, "hip", "neck"),
    (shoes.paint_shoes, "foot", "foot"),
    (hair.paint_hair, "neck", "hair"),
)


def paint_texture(body: Body, appearance: Appearance, cloth: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Paint the texture of a person.

    Args:
        body: From `load_body`.
        appearance: Whom to paint.
        cloth: The user's cloth images by name, uint8 [height width 3]: at least those that `appearance.cloth` names.

    Returns:
        uint8 [256 256 3] RGB, row 0 at v = 1. Texels outside the UV islands repeat the nearest one inside.

    Raises:
        ValueError: A cloth image that the appearance names is missing.
    """
    cloth = cloth or {}
    missing = sorted({name for name in appearance.cloth if name} - set(cloth))
    if missing:
        raise ValueError(
            f"The appearance is made of the cloth images {missing}, but only {sorted(cloth)} were handed over: "
            "draw with the folder of cloth images that the appearance was sampled with."
        )
    canvas = Canvas(body.atlas, appearance, cloth)
    for number, (paint, first, last) in enumerate(_LAYERS):
        canvas.start_layer(number)
        paint(canvas, body.atlas.span(first, last))
    samples = np.rint(np.clip(canvas.color, 0.0, 1.0) * 255.0).astype(np.uint16)[body.atlas.fill]
    samples = samples.reshape(body.atlas.size, body.atlas.size, 3)
    step = SUPERSAMPLING
    total = np.full((body.atlas.size // step, body.atlas.size // step, 3), step**2 // 2, np.uint16)
    for row in range(step):
        for column in range(step):
            total += samples[row::step, column::step]
    return (total // step**2).astype(np.uint8)
