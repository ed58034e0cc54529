"""Baking of mesh attributes into UV space: which point of the body does a texel show?"""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def rasterize_uv(uv: np.ndarray, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate corner values over triangles in UV space, at texel centres.

    Args:
        uv: Corners float [T 3 2] in [0, 1], v up.
        values: Corner values float [T 3 C].
        size: Height and width of the texture.

    Returns:
        float32 [size size C], row 0 at v = 1, and bool [size size] telling which texels lie in a triangle.
    """
    points = uv * [size, -size] + [0, size]
    image = np.zeros((size, size, values.shape[-1]), np.float32)
    covered = np.zeros((size, size), bool)
    low = np.floor(points.min(axis=1) - 0.5).astype(int).clip(0, size - 1)
    high = np.ceil(points.max(axis=1) + 0.5).astype(int).clip(0, size - 1)
    for corners, corner_values, (x0, y0), (x1, y1) in zip(points, values, low, high, strict=True):
        (ax, ay), (bx, by), (cx, cy) = corners
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        x = np.arange(x0, x1 + 1)[None, :] + 0.5
        y = np.arange(y0, y1 + 1)[:, None] + 0.5
        second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        rows, columns = np.nonzero((second >= -1e-4) & (third >= -1e-4) & (second + third <= 1 + 1e-4))
        if len(rows):
            b, c = second[rows, columns, None], third[rows, columns, None]
            rows, columns = rows + y0, columns + x0
            image[rows, columns] = (1 - b - c) * corner_values[0] + b * corner_values[1] + c * corner_values[2]
            covered[rows, columns] = True
    return image, covered


def nearest_covered(covered: np.ndarray) -> np.ndarray:
    """Return for every texel the flat index [size size] of the nearest covered one (itself where covered)."""
    found = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
    rows, columns = np.asarray(found)
    return rows * covered.shape[1] + columns


def uv_islands(triangles_uv: np.ndarray, num_uv: int) -> np.ndarray:
    """Return the connected component int [T] of every triangle, given UV indices int [T 3]."""
    edges = np.concatenate([triangles_uv[:, [0, 1]], triangles_uv[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (num_uv, num_uv))
    return connected_components(graph, directed=False)[1][triangles_uv[:, 0]]


# Spatial frequencies of the noise bands, radians a metre (x, y, z): broad, fold-sized, fine, as fine as the texels
# show, hair strands, and folds that run down or across.
NOISE_BANDS: dict[str, tuple[float, float, float]] = {
    "broad": (14.0, 14.0, 14.0),
    "medium": (36.0, 36.0, 36.0),
    "fine": (120.0, 120.0, 120.0),
    "grain": (420.0, 420.0, 420.0),
    "strand": (480.0, 480.0, 32.0),
    "down": (62.0, 62.0, 11.0),
    "across": (16.0, 16.0, 70.0),
}
NOISE_FIELDS = 6


def noise_fields(position: np.ndarray) -> np.ndarray:
    """Return fixed smooth random fields at points [N 3], of about unit variance, float32 [bands `NOISE_FIELDS` N].

    Being functions of the position they have no UV seams. The painter mixes the fields of a band with random weights:
    a new sample of the same noise for a few multiplications.
    """
    fields = np.zeros((len(NOISE_BANDS), NOISE_FIELDS, len(position)), np.float32)
    rng = np.random.default_rng(20)
    for band, frequency in enumerate(NOISE_BANDS.values()):
        for field in range(NOISE_FIELDS):
            waves = rng.normal(size=(8, 3))
            waves *= rng.uniform(0.6, 1.5, (8, 1)) / np.linalg.norm(waves, axis=1, keepdims=True)
            phases = rng.uniform(0.0, 2 * np.pi, 8)
            total = sum(
                np.cos(position @ (wave * frequency) + phase) for wave, phase in zip(waves, phases, strict=True)
            )
            fields[band, field] = total * 0.5
    return fields
