"""Errors of the UV mirror map: what `python -m experiments.mirror_error` measures."""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from render import person
from render.figure import body, mirror
from render.optics import camera, light
from render.optics.rasterizer import Rasterizer
from render.paint import painter
from render.people import poses
from render.people.appearance import Appearance
from render.people.sample import sample_appearance

BORDER = 2  # pixels


@dataclasses.dataclass(frozen=True)
class Error:
    """How two pictures of a person differ, in units of 1/255.

    Attributes:
        inside: Mean over the pixels of the common silhouette more than `BORDER` pixels away from its border.
        border: Mean over the pixels within `BORDER` pixels of the border of either silhouette.
        far: Largest difference in coverage, 0 to 1, more than `BORDER` pixels away from either border.
    """

    inside: float
    border: float
    far: float


def compare(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> Error:
    """Compare two pictures, each colour [h w 3] in [0, 1], multiplied by alpha, and alpha [h w]."""
    (color, alpha), (other_color, other_alpha) = first, second
    difference = 255.0 * np.abs(color - other_color).mean(axis=-1)
    full, any_part = (alpha > 0.999) & (other_alpha > 0.999), (alpha > 0.001) | (other_alpha > 0.001)
    square = np.ones((2 * BORDER + 1,) * 2, bool)
    inside = np.asarray(ndimage.binary_erosion(full, square), bool)
    border = np.asarray(ndimage.binary_dilation(any_part, square), bool) ^ inside
    # Where only one silhouette covers a region, its border is far from the other's.
    edges = [
        np.asarray(ndimage.binary_dilation((one > 0.001) & (one < 0.999), square), bool) for one in (alpha, other_alpha)
    ]
    far = np.abs(alpha - other_alpha)[~(edges[0] | edges[1])]
    return Error(float(difference[inside].mean()), float(difference[border].mean()), float(far.max(initial=0.0)))


def mirrored_camera(view: camera.Camera, width: int) -> camera.Camera:
    """Return the camera whose picture, `width` pixels wide, of the mirrored person (x -> -x) is that of `view` flipped."""
    flip = np.diag([-1.0, 1.0, 1.0])
    # The mirror image of a camera, with its right axis reversed, as a camera must be right-handed.
    return dataclasses.replace(
        view,
        rotation=flip @ view.rotation @ flip,
        position=flip @ view.position,
        center=(width - view.center[0], view.center[1]),
    )


def mirrored_light(sun: light.Light) -> light.Light:
    """Mirror a light (x -> -x)."""
    return dataclasses.replace(sun, sun_azimuth=math.pi - sun.sun_azimuth)


def smooth_texture(figure: body.Body) -> np.ndarray:
    """Return a texture uint8 [256 256 3] that changes slowly over the body and has no symmetry."""
    position = figure.atlas.surface.position
    waves = np.array([[4.0, 3.0, 2.0], [-3.0, 4.0, -2.5], [2.0, -5.0, 3.0]])
    color = np.rint(255.0 * (0.5 + 0.3 * np.sin(position @ waves + [0.3, 1.1, 2.0])))[figure.atlas.fill]
    size, step = figure.atlas.size, body.SUPERSAMPLING
    return color.reshape(size // step, step, size // step, step, 3).mean(axis=(1, 3)).astype(np.uint8)


def measure(
    figure: body.Body,
    rasterizer: Rasterizer,
    index_map: np.ndarray,
    appearance: Appearance,
    rng: np.random.Generator,
) -> dict[str, Error]:
    """Return the errors "smooth", "painted" and "lit" of one person in a random shape, pose, view and light."""
    shape, pose = body.sample_shape(rng, appearance), poses.sample_pose(rng)
    site = camera.sample_site(rng)
    place, yaw = np.array([*camera.sample_position(rng, site), 0.0]), float(rng.uniform(0.0, 2.0 * math.pi))
    sun = light.sample_light(rng).seen_from(yaw)
    worn = person.Figure(figure, appearance, shape)
    meshes, mirrored_meshes = worn.meshes(pose), worn.meshes(pose.mirrored())
    points = light.surface_samples(meshes) @ camera.rotation_about_z(yaw).T + place
    crop, _ = camera.crop_around(site.camera(), points, camera.Framing(0.9, (0.0, 0.0)))
    view = crop.seen_from(place, yaw)
    mirrored_view = mirrored_camera(view, rasterizer.width)
    errors = {}
    painted = painter.paint_texture(figure, appearance)
    for name, texture, lit in (
        ("smooth", smooth_texture(figure), False),
        ("painted", painted, False),
        ("lit", painted, True),
    ):
        color, alpha = rasterizer.draw(meshes, texture, view, sun if lit else None)
        mirrored = rasterizer.draw(
            mirrored_meshes,
            mirror.mirror_texture(texture, index_map),
            mirrored_view,
            mirrored_light(sun) if lit else None,
        )
        errors[name] = compare((color[:, ::-1], alpha[:, ::-1]), mirrored)
    return errors


def twice(figure: body.Body, index_map: np.ndarray) -> tuple[float, float]:
    """Mirror texels on the body twice: return their mean distance in texels, and the share that comes back exactly."""
    covered = np.zeros(figure.atlas.size**2, bool)
    covered[figure.atlas.covered] = True
    step = body.SUPERSAMPLING
    covered = covered.reshape(body.TEXTURE_SIZE, step, body.TEXTURE_SIZE, step).all(axis=(1, 3))
    texels = np.moveaxis(np.indices(covered.shape), 0, -1)
    distance = np.linalg.norm((mirror.mirror_texture(index_map, index_map) - texels.astype(float))[covered], axis=-1)
    return float(distance.mean()), float((distance == 0.0).mean())


def run(count: int, seed: int) -> None:
    """Measure persons drawn from the distributions of `pit`, and print the errors of all and of the worst.

    Args:
        count: Number of persons.
        seed: Seed of the draw.
    """
    figure, rasterizer = body.load_body(), Rasterizer()
    index_map = mirror.body_mirror_map(figure)
    distance, exact = twice(figure, index_map)
    print(f"mirrored twice: {distance:.3f} texels away on average, {100 * exact:.1f} % where they were")
    rows: list[tuple[str, dict[str, Error]]] = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        appearance = sample_appearance(rng)
        errors = measure(figure, rasterizer, index_map, appearance, rng)
        what = f"{number:3d} {appearance.top}, {appearance.bottom}, {appearance.hair_style}"
        rows.append((what, errors))
    print(f"{'in units of 1/255':40s}{'inside':>8s}{'worst':>8s}{'border':>8s}{'worst':>8s}{'far':>8s}")
    for name in ("smooth", "painted", "lit"):
        chosen = [errors[name] for _, errors in rows]
        inside, border = np.array([error.inside for error in chosen]), np.array([error.border for error in chosen])
        far = max(error.far for error in chosen)
        print(f"{name:40s}{inside.mean():8.2f}{inside.max():8.2f}{border.mean():8.2f}{border.max():8.2f}{far:8.2f}")
    print("the worst, smooth:")
    for what, errors in sorted(rows, key=lambda row: -row[1]["smooth"].inside)[:8]:
        print(f"  {what:50s}" + "".join(f"{errors[name].inside:8.2f}" for name in errors))
