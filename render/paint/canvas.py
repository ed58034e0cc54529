"""The canvas that the layers of a texture are painted on: colours of the atlas's samples, noise, folds and cloth."""

from collections.abc import Mapping

import numpy as np

from render.figure.body import Atlas
from render.geometry.surface import Surface
from render.geometry.uv_bake import NOISE_BANDS
from render.paint import fabrics
from render.paint.fabrics import Creases, Design, Weave
from render.people.appearance import Appearance

_SHEEN = 0.11  # how much ridges of folds shine, whatever the colour
SOFT = 0.0025  # metres: half the width of the edge of a garment


class Canvas:
    """Colours float32 [N 3] of the atlas's samples, painted from the skin outwards, a run of regions at a time.

    Attributes:
        a: Whom to paint.
        atlas: Where the samples lie.
        color: Colours so far, float32 [N 3].
        rng: Source of the noise of the layer that is being painted.
    """

    def __init__(self, atlas: Atlas, appearance: Appearance, cloth: Mapping[str, np.ndarray]) -> None:
        self.a = appearance
        self.atlas = atlas
        self.color = np.empty_like(atlas.surface.position)
        self.color[:] = appearance.skin
        self.rng = np.random.default_rng(appearance.seed)
        self._cloth = cloth

    def start_layer(self, number: int) -> None:
        """Give the next layer a stream of noise of its own."""
        self.rng = np.random.default_rng([self.a.seed, number])

    def take(self, span: slice) -> tuple[Surface, np.ndarray]:
        """Return the attributes of some samples and a view of their colours [n 3]."""
        return self.atlas.surface.take(span), self.color[span]

    def noise(self, name: str, span: slice) -> np.ndarray:
        """Draw a fresh sample [n] of a noise band on some regions, about unit variance."""
        fields = self.atlas.noise[list(NOISE_BANDS).index(name)]
        weights = self.rng.normal(0.0, 1.0, len(fields)).astype(np.float32)
        weights /= np.sqrt((weights**2).sum())
        return weights @ fields[:, span]

    def folds(self, span: slice, hanging: np.ndarray | float, creases: tuple[Creases, ...] = ()) -> np.ndarray:
        """Draw hills and valleys [n] of cloth, about -1 to 1: soft hills, and creases that are narrow and dark.

        Args:
            span: The samples.
            hanging: 1 where folds run down, 0 where they run across a limb, [n].
            creases: Folds where a joint or a seam makes them.
        """
        across = self.noise("across", span)
        medium = self.noise("medium", span)
        soft = 0.45 * medium + 0.60 * (across + hanging * (self.noise("down", span) - across))
        crease = np.maximum(1.0 - 2.8 * np.abs(soft - 0.30), 0.0)
        folds = 0.75 * soft - (0.45 + 0.35 * self.a.wear) * crease
        for run in creases:
            amount = float(self.rng.uniform(0.7, 1.5)) * (0.8 + 0.5 * self.a.wear)
            wobble = run.ridge + 0.4 * medium[run.index] + float(self.rng.uniform())
            folds[run.index] += amount * run.depth * (1.6 * np.abs(np.sin(np.pi * wobble)) - 1.0)
        return folds

    def cloth_of_top(self, span: slice, weave: Weave, *, coarse: bool = False) -> np.ndarray:
        """Return the colours float32 [n 3] of the top's cloth, flat: its pattern, or the user's image.

        Args:
            span: The samples.
            weave: Where they lie on the cloth.
            coarse: The texels are large: dots are drawn no smaller than these can show.
        """
        a = self.a
        scale = self._scale(a.pattern, coarse=coarse)
        design = Design(a.pattern, a.colors[0], a.colors[1], a.colors[2], scale, a.pattern_phase)
        return self._flat_cloth(span, weave, a.cloth[0], design)

    def cloth_of_bottom(self, span: slice, weave: Weave, *, coarse: bool = False) -> np.ndarray:
        """Return the colours float32 [n 3] of the bottom's cloth, as `cloth_of_top` does."""
        a = self.a
        red, green, blue = a.bottom_color
        third = (0.6 * red, 0.6 * green, 0.6 * blue)
        phase = (a.pattern_phase * 7.0) % 1.0
        scale = self._scale(a.bottom_pattern, coarse=coarse)
        design = Design(a.bottom_pattern, a.bottom_color, a.bottom_accent, third, scale, phase)
        return self._flat_cloth(span, weave, a.cloth[1], design)

    def _scale(self, pattern: str, *, coarse: bool) -> float:
        return max(self.a.pattern_scale, 1.35) if coarse and pattern == "dots" else self.a.pattern_scale

    def _flat_cloth(self, span: slice, weave: Weave, image: str, design: Design) -> np.ndarray:
        color = np.empty((len(weave.along), 3), np.float32)
        color[:] = design.main
        if image:
            fabrics.lay_cloth(color, self._cloth[image], weave, self.a.cloth_scale, self.a.pattern_phase)
        else:
            fabrics.lay_pattern(color, design, weave, lambda noise: self.noise(noise, span))
        return color

    def shade_cloth(
        self, color: np.ndarray, span: slice, fabric: str, weave: Weave, folds: np.ndarray, lit: np.ndarray
    ) -> None:
        """Lay light and shade over the colours [n 3] of cloth (in place).

        Args:
            color: Flat colours.
            span: The samples.
            fabric: One of `appearance.FABRICS`.
            weave: Where the samples lie on the cloth.
            folds: Hills and valleys [n], from `folds`.
            lit: Light of folds, seams and shadows, a factor [n].
        """
        factor, gloss = fabrics.weave_shading(fabric, weave, folds, lambda noise: self.noise(noise, span))
        color *= (lit * factor)[:, None]
        color += (_SHEEN * np.maximum(lit - 1.0, 0.0))[:, None]  # dark cloth shows its folds by this alone
        if gloss is not None:
            color += gloss[:, None] * (0.25 + 0.75 * np.sqrt(color.mean(axis=0)))
