"""Paints faces: what all faces share is worked out once, and what makes a person is laid over it.

Heights and widths are those of the reference face, measured on the mesh: the slits of mouth and eyes lie where its
lips and lids part, so that paint and shape agree.
"""

import dataclasses
import functools

import numpy as np

from render.figure.body import Atlas
from render.figure.coverage import EYE_LEVEL, HEAD_CENTRE_Y
from render.geometry.surface import smoothstep
from render.geometry.uv_bake import NOISE_BANDS
from render.paint.brushes import bump, edge, mix
from render.paint.canvas import Canvas
from render.people.appearance import Appearance

_MOUTH, _MOUTH_HALF_WIDTH = 0.7294, 0.0265
_EYE_X, _EYE_Z = 0.0305, 0.7990
# The lids of the open eye: distance from the middle plane, height of the lower and of the upper one.
_LID_X = np.array([0.0160, 0.0200, 0.0240, 0.0280, 0.0320, 0.0360, 0.0400, 0.0440, 0.0460])
_LOWER_LID = np.array([0.7965, 0.7958, 0.7953, 0.7948, 0.7946, 0.7950, 0.7962, 0.7980, 0.7988])
_UPPER_LID = np.array([0.7967, 0.7982, 0.8007, 0.8019, 0.8026, 0.8021, 0.8009, 0.7992, 0.7990])

_BLOOD = np.array([0.25, 1.0, 0.85], np.float32)  # how much of each channel flushed skin absorbs


@dataclasses.dataclass(frozen=True)
class FaceMap:
    """What all faces share, on the n samples of the region "face"; float32 [n] unless stated otherwise.

    Attributes:
        shade: Factor of the painted hollows and ridges.
        flush: Blood in cheeks, nose, ears and chin.
        wrinkles: Lines of old faces.
        freckles: Where freckles would be.
        beards: Style -> where that beard grows.
        eyes, mouth: Indices int64 of the samples around them.
        x, z: Position, metres.
        across: Distance |x| from the middle, metres.
        front: 1 where the face looks forward.
        hairs: Strands, about unit variance.
    """

    shade: np.ndarray
    flush: np.ndarray
    wrinkles: np.ndarray
    freckles: np.ndarray
    beards: dict[str, np.ndarray]
    eyes: np.ndarray
    mouth: np.ndarray
    x: np.ndarray
    z: np.ndarray
    across: np.ndarray
    front: np.ndarray
    hairs: np.ndarray


@functools.lru_cache(maxsize=2)
def face_map(atlas: Atlas) -> FaceMap:
    """Return what all faces share; made once for an atlas."""
    span = atlas.span("face", "face")
    s = atlas.surface.take(span)
    x, y, z = np.ascontiguousarray(s.position.T)
    across = np.abs(x)
    front = smoothstep(-y, 0.085, 0.115)
    grain = atlas.noise[list(NOISE_BANDS).index("grain"), :, span]
    spots = smoothstep(grain[0] + grain[1], 1.6, 2.4)
    freckles = spots * front * bump(np.hypot(across - 0.026, (z - 0.772) * 1.2), 0.028)
    near = -y > 0.10
    return FaceMap(
        shade=_shade(x, y, z, front).astype(np.float32),
        flush=_flush(x, z, front).astype(np.float32),
        wrinkles=(_wrinkles(x, z) * front).astype(np.float32),
        freckles=freckles.astype(np.float32),
        beards={name: area.astype(np.float32) for name, area in _beards(x, y, z, front).items()},
        eyes=np.flatnonzero(near & (z > 0.776) & (z < 0.842) & (across < 0.072)),
        mouth=np.flatnonzero(near & (z > 0.708) & (z < 0.748) & (across < 0.036)),
        x=x,
        z=z,
        across=across,
        front=front.astype(np.float32),
        hairs=(0.7 * (grain[3] + grain[4])).astype(np.float32),
    )


def _flush(x: np.ndarray, z: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Return the blood [n] in cheeks, nose, ears and chin."""
    across = np.abs(x)
    flush = 0.10 * bump(np.hypot(across - 0.043, z - 0.766), 0.020) + 0.09 * bump(np.hypot(x, z - 0.762), 0.012)
    return flush * front + 0.08 * (across > 0.075) * bump(z - 0.79, 0.04) + 0.03 * front * bump(z - 0.70, 0.02)


def _shade(x: np.ndarray, y: np.ndarray, z: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Return the factor [n] of hollows, which are darker, and of ridges that catch the sky, a little lighter."""
    across = np.abs(x)
    shade = np.ones_like(z)
    nose = smoothstep(z, 0.750, 0.765) * smoothstep(0.815 - z, 0.0, 0.02)
    for depth, place in (
        (0.15, bump(across - 0.0155 - 0.20 * (0.775 - z), 0.0045) * nose),  # sides of the nose
        (0.17, bump(across - 0.0175, 0.0032) * bump(z - 0.7585, 0.0075)),  # wings
        (0.52, bump(np.hypot((across - 0.0075) / 1.3, z - 0.7500), 0.0033)),  # nostrils
        (0.16, bump(x, 0.014) * bump(z - 0.7465, 0.0032)),  # under the nose
        (0.06, bump(x, 0.0035) * bump(z - 0.7425, 0.0045)),  # philtrum
        (0.13, bump(across - 0.027 - 0.45 * (0.752 - z), 0.0045) * bump(z - 0.744, 0.013)),  # cheek to mouth
        (0.16, bump(across - 0.020, 0.011) * bump(z - 0.8105, 0.0080)),  # inner corner of the eye's hollow
        (0.15, bump(across - _EYE_X - 0.002, 0.017) * bump(z - 0.8085, 0.0052)),  # fold of the upper lid
        (0.10, bump(across - 0.027, 0.015) * bump(z - 0.7875, 0.0050)),  # bag below the eye
        (0.20, bump(x, 0.017) * bump(z - 0.7140, 0.0042)),  # below the lower lip
        (0.08, smoothstep(across, 0.040, 0.062) * bump(z - 0.742, 0.020)),  # below the cheekbone
        (0.10, smoothstep(across, 0.050, 0.068) * bump(z - 0.835, 0.030)),  # temple
        (0.16, smoothstep(0.700 - z, -0.004, 0.016) * smoothstep(-y, 0.06, 0.10)),  # under the chin
        (-0.08, bump(x, 0.0050) * smoothstep(z, 0.768, 0.785) * smoothstep(0.822 - z, 0.0, 0.012)),  # bridge
        (-0.09, bump(np.hypot(x, z - 0.766), 0.0065)),  # tip of the nose
        (-0.05, bump(np.hypot((across - 0.043) / 1.4, z - 0.779), 0.012)),  # cheekbone
        (-0.05, bump(x / 1.7, 0.022) * bump(z - 0.846, 0.016)),  # forehead
        (-0.05, bump(np.hypot(x, z - 0.703), 0.012)),  # chin
        (-0.06, bump(across - 0.033, 0.014) * bump(z - 0.8155, 0.0035)),  # under the brow
    ):
        shade *= 1.0 - depth * place * front
    return shade


def _wrinkles(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the lines [n] of old faces."""
    across = np.abs(x)
    lines = bump((z - 0.838 + 0.004 * np.cos(x * 60.0)) % 0.0105 - 0.00525, 0.0011) * smoothstep(z, 0.833, 0.84)
    lines = 0.30 * lines * smoothstep(0.062 - across, 0.0, 0.03)
    lines += 0.50 * bump(across - 0.030 - 0.50 * (0.752 - z), 0.0026) * bump(z - 0.737, 0.014)
    lines += 0.28 * bump((z - EYE_LEVEL) - 0.35 * (across - 0.05), 0.0014) * bump(across - 0.055, 0.006)  # crow's feet
    lines += 0.28 * bump(z - 0.7855 + 0.25 * (across - 0.028), 0.0016) * bump(across - 0.028, 0.012)
    lines += 0.30 * bump(across - 0.0055, 0.0014) * bump(z - 0.822, 0.007)  # between the brows
    return lines


def _beards(x: np.ndarray, y: np.ndarray, z: np.ndarray, front: np.ndarray) -> dict[str, np.ndarray]:
    """Return where each style of beard grows: style -> [n]."""
    across = np.abs(x)
    jaw = edge(0.757 - 0.45 * np.minimum(0.050 - across, 0.0) - z - 0.30 * (0.055 - across), 0.016)
    jaw *= smoothstep(z - 0.670 - 0.55 * np.maximum(y + 0.135, 0.0), -0.006, 0.012)  # down to the edge of the jaw
    jaw *= smoothstep(HEAD_CENTRE_Y + 0.022 - y, 0.0, 0.045)
    # It thins out towards the ear, and goes on as sideburns up to the hair.
    sideburn = smoothstep(y + 0.102, 0.0, 0.026) * smoothstep(-0.050 - y, 0.0, 0.014)
    sideburn *= smoothstep(z, 0.735, 0.755) * smoothstep(0.835 - z, 0.0, 0.02) * (across < 0.078)
    jaw = np.maximum(jaw, 0.8 * sideburn)
    lips = edge(0.024 - across, 0.006) * edge(0.0085 - np.abs(z - 0.7285), 0.005)
    moustache = front * edge(0.028 - across, 0.008) * edge(0.0062 - np.abs(z - 0.7418 + 0.15 * across), 0.005)
    drop = front * edge(0.006 - np.abs(across - 0.0265), 0.006) * edge(0.016 - np.abs(z - 0.728), 0.008)
    chin = front * edge(0.024 - across, 0.010) * edge(0.717 - z, 0.006) * smoothstep(z, 0.665, 0.685)
    full = np.maximum(jaw * (1.0 - 0.95 * lips), moustache)
    strap = jaw * edge(np.maximum(across - 0.040, 0.700 - z), 0.012)
    return {
        "full": full,
        "stubble": 0.75 * full,
        "goatee": np.maximum(np.maximum(moustache, drop), chin),
        "moustache": moustache,
        "chin_strap": np.maximum(strap, 0.5 * moustache),
    }


def paint_face(canvas: Canvas, span: slice) -> None:
    """Paint a face over the skin of the region "face" (in place)."""
    color, a, m, rng = canvas.color[span], canvas.a, face_map(canvas.atlas), canvas.rng
    depth = float(rng.uniform(0.75, 1.25))
    flush = m.flush * float(rng.uniform(0.5, 1.5)) + 0.07 * a.makeup * m.front * bump(
        np.hypot(m.across - 0.048, m.z - 0.768), 0.016
    )
    color *= 1.0 - flush[:, None] * _BLOOD
    lit = 1.0 + depth * (m.shade - 1.0)
    if a.age > 0.78:
        lit *= 1.0 - min(1.0, 5.0 * (a.age - 0.78)) * m.wrinkles
    if a.freckles:
        lit *= 1.0 - 0.30 * a.freckles * m.freckles
    color *= lit[:, None]
    if a.beard > 0:
        hairy = np.clip(0.86 + 0.09 * m.hairs, 0.0, 1.0)
        density = 0.20 + 0.35 * a.beard if a.beard_style == "stubble" else 0.45 + 0.5 * a.beard
        hair = (
            0.35 * color + 0.65 * np.asarray(a.brow_color) if a.beard_style == "stubble" else np.asarray(a.hair_color)
        )
        mix(color, hair * 0.85, np.clip(m.beards[a.beard_style] * hairy * density, 0.0, 0.95))
    _paint_lips(color, m, a, rng)
    _paint_eyes(color, m, a, rng)


def _paint_lips(color: np.ndarray, m: FaceMap, a: Appearance, rng: np.random.Generator) -> None:
    index = m.mouth
    x, across, front = m.x[index], m.across[index], m.front[index]
    z = m.z[index] - _MOUTH - 0.0022 * smoothstep(across, 0.008, 0.027)  # friendlier than the mesh
    part = color[index]
    arch = np.clip(1.0 - (x / _MOUTH_HALF_WIDTH) ** 2, 0.0, 1.0)
    high, low = 0.0092 * a.lip_fullness, 0.0112 * a.lip_fullness
    bow = 0.80 + 0.20 * bump(across - 0.0065, 0.0045) - 0.10 * bump(x, 0.002)
    upper = edge(high * arch**0.8 * bow - z, 0.0022) * (z >= 0)
    lower = edge(low * arch**0.75 + z, 0.0026) * (z < 0)
    lips = front * (upper + lower) * (across < _MOUTH_HALF_WIDTH)
    tint = np.asarray(a.lip_color, np.float32)
    if a.makeup:
        red = np.array([[0.68, 0.13, 0.18], [0.72, 0.27, 0.33], [0.50, 0.10, 0.17], [0.66, 0.30, 0.26]])[
            rng.integers(4)
        ]
        tint = tint + 0.75 * a.makeup * (red * (0.45 + 0.6 * max(a.skin)) - tint)
    mix(part, tint, lips * (0.70 + 0.28 * a.makeup if a.female else 0.60))
    lit = 1.0 - 0.14 * upper * lips + (0.10 + 0.10 * a.makeup) * lips * bump(z + 0.0055, 0.0028) * bump(x, 0.012)
    lit *= 1.0 - 0.58 * front * bump(z, 0.0013) * edge(_MOUTH_HALF_WIDTH + 0.001 - across, 0.003)
    lit *= 1.0 - 0.22 * front * bump(np.hypot(across - 0.0285, z), 0.0035)  # corners
    color[index] = part * lit[:, None]


def _paint_eyes(color: np.ndarray, m: FaceMap, a: Appearance, rng: np.random.Generator) -> None:
    """Eyebrows, lids, lashes."""
    index = m.eyes
    across, z, front, hairs = m.across[index], m.z[index], m.front[index], m.hairs[index]
    part = color[index]
    if a.makeup > 0.4:
        hue = np.array([[0.35, 0.25, 0.30], [0.42, 0.30, 0.22], [0.25, 0.28, 0.36], [0.22, 0.20, 0.20]])[
            rng.integers(4)
        ]
        lid = bump(across - _EYE_X, 0.016) * smoothstep(z, 0.800, 0.804) * smoothstep(0.814 - z, 0.0, 0.006)
        mix(part, hue * (0.5 + 0.6 * max(a.skin)), 0.45 * (a.makeup - 0.2) * lid * front)

    height = 0.8225 + float(rng.normal(0.0, 0.0012))
    rise = 0.0025 + 0.0060 * a.brow_arch
    line = height + rise * smoothstep(across, 0.010, 0.040) - (0.003 + 0.7 * rise) * smoothstep(across, 0.038, 0.060)
    thick = 0.0031 * a.brow_weight * (1.0 - 0.62 * smoothstep(across, 0.030, 0.058))
    start = 0.0115 + float(rng.uniform(-0.002, 0.002))
    brow = edge(thick - np.abs(z - line), 0.0030) * smoothstep(across, start - 0.001, start + 0.008)
    brow *= smoothstep(0.0565 - across, 0.0, 0.010) * front
    mix(part, a.brow_color, 0.88 * brow * np.clip(0.88 + 0.14 * hairs, 0.0, 1.0))

    inside = smoothstep(across, 0.0140, 0.0180) * smoothstep(0.0485 - across, 0.0, 0.0030)
    upper, lower = np.interp(across, _LID_X, _UPPER_LID), np.interp(across, _LID_X, _LOWER_LID)
    outer = smoothstep(across, 0.028, 0.046)
    lash = bump(z - upper - 0.0006, 0.0013 + 0.0007 * a.makeup) * inside * (0.75 + 0.25 * outer)
    mix(part, (0.085, 0.06, 0.055), front * lash * (0.62 + 0.16 * a.female + 0.2 * a.makeup))
    mix(part, (0.20, 0.12, 0.10), front * bump(z - lower + 0.0006, 0.0011) * inside * (0.30 + 0.35 * a.makeup))
    between = edge(upper - z, 0.001) * edge(z - lower, 0.001) * inside
    part *= (1.0 - 0.45 * front * between)[:, None]  # the rim inside the lids
    color[index] = part


def paint_eyeballs(canvas: Canvas, span: slice) -> None:
    """Paint the balls of the eyes (in place)."""
    s, color = canvas.take(span)
    x, y, z = s.position.T
    side = np.abs(x) - _EYE_X
    color[:] = np.array([0.77, 0.75, 0.725]) * (0.70 + 0.30 * min(1.0, max(canvas.a.skin) / 0.6))
    mix(color, (0.66, 0.48, 0.44), 0.55 * smoothstep(np.abs(side), 0.008, 0.014))  # towards the corners
    off = np.hypot(side, z - _EYE_Z)
    seen = y < -0.12
    iris = np.asarray(canvas.a.eye_color, np.float32)
    mix(color, iris * 0.35, edge(0.0069 - off, 0.0012) * seen)
    mix(color, iris, edge(0.0056 - off, 0.0018) * seen * (0.75 + 0.25 * smoothstep(_EYE_Z - z, -0.003, 0.004)))
    mix(color, (0.025, 0.022, 0.022), edge(0.0028 - off, 0.0012) * seen)
    color *= (1.0 - 0.50 * smoothstep(z - _EYE_Z, 0.0008, 0.0040))[:, None]  # shade of the upper lid and lashes
    glint = edge(0.0012 - np.hypot(x - np.sign(x) * _EYE_X + 0.0022, z - _EYE_Z - 0.0018), 0.0010)
    mix(color, (0.95, 0.95, 0.95), 0.8 * glint * seen)
