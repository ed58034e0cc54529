"""Paints the texture of a person: skin, face, hair, garments and their folds, in the body's UV space.

Every layer is a function of the surface attributes of the texels, that is of the place on the reference body, so
patterns run on over UV seams. Painted at twice the resolution and averaged down. Shading that moves with the cloth
(folds, seams, the dark under the chin) is painted; light is not.
"""

import numpy as np

from render import garments
from render.appearance import Appearance
from render.body import SUPERSAMPLING, TEXTURE_SIZE, Body
from render.surface import EYE
from render.uv_bake import NOISE_BANDS


def paint_texture(body: Body, appearance: Appearance) -> np.ndarray:
    """The texture of a person.

    Args:
        body: From `load_body`.
        appearance: What to paint.

    Returns:
        uint8 [256 256 3] RGB, row 0 at v = 1. Texels outside the UV islands repeat the nearest one inside.
    """
    canvas = _Canvas(body, appearance)
    canvas.skin()
    canvas.garments()
    atlas = body.atlas
    samples = np.clip(canvas.color, 0.0, 1.0)[atlas.fill].reshape(
        TEXTURE_SIZE, SUPERSAMPLING, TEXTURE_SIZE, SUPERSAMPLING, 3
    )
    return np.rint(samples.mean(axis=(1, 3)) * 255.0).astype(np.uint8)


class _Canvas:
    def __init__(self, body: Body, appearance: Appearance) -> None:
        self.a = appearance
        self.s = body.atlas.surface
        self.noise_fields = body.atlas.noise
        self.rng = np.random.default_rng(appearance.seed)
        self.color = np.empty_like(self.s.position)
        self.color[:] = appearance.skin

    def noise(self, band: str) -> np.ndarray:
        fields = self.noise_fields[list(NOISE_BANDS).index(band)]
        weights = self.rng.normal(0.0, 1.0, len(fields)).astype(np.float32)
        weights /= np.linalg.norm(weights)
        total = np.zeros(fields.shape[1], np.float32)
        for weight, field in zip(weights, fields, strict=True):
            total += weight * field
        return total

    def blend(self, color, alpha) -> None:
        self.color += alpha[:, None] * (np.asarray(color, np.float32) - self.color)

    def skin(self) -> None:
        self.blend((0.9, 0.9, 0.9), (self.s.part == EYE).astype(np.float32))

    def garments(self) -> None:
        a = self.a
        cover = garments.coverage(a, self.s, 0.003)
        self.blend(a.sock_color, cover.sock)
        self.blend(a.bottom_color, np.maximum(cover.bottom, cover.skirt))
        self.blend(a.colors[0], cover.top)
        self.blend(a.shoe_colors[0], cover.shoe)
        self.blend(a.hair_color, cover.hair)
        fold = self.noise("medium")
        self.color *= (1.0 + 0.05 * fold)[:, None]
