"""Left-right partners of the vertices of a body: which vertex is the mirror image of which."""

import numpy as np
from scipy.spatial import KDTree

_SEEDS = 50  # faces that are tried as the first of a mirror image
_NEAR = 0.02  # metres between a vertex and the mirror image of its partner, in the mean


def are_partners(partner: np.ndarray, template: np.ndarray) -> bool:
    """Return whether vertices are each other's partners and lie near each other's mirror image.

    Args:
        partner: Partner of every vertex, int [V].
        template: Vertices float [V 3], left and right along x.
    """
    middle = (template[:, 0] + template[partner, 0]).mean() / 2
    image = template * [-1.0, 1.0, 1.0] + [2.0 * middle, 0.0, 0.0]
    mutual = np.array_equal(partner[partner], np.arange(len(partner)))
    return mutual and bool(np.linalg.norm(image - template[partner], axis=1).mean() < _NEAR)


def partners_by_faces(template: np.ndarray, faces: np.ndarray) -> np.ndarray | None:
    """Find the partners on a surface in one piece whose faces are their own mirror image, as SMPL's are.

    From a face and its mirror image, found by position, the partners of all others follow along the edges. Positions
    alone do not suffice: SMPL's template is so far from symmetric that the nearest vertex is often a neighbour of the
    right one.

    Args:
        template: Vertices float [V 3], left and right along x.
        faces: Triangles int [F 3].

    Returns:
        Partner of every vertex, int64 [V]; None where the faces are not their own mirror image.
    """
    image = template * [-1.0, 1.0, 1.0] + [template[:, 0].min() + template[:, 0].max(), 0.0, 0.0]
    distance, nearest = (np.asarray(one) for one in KDTree(template).query(image))
    third = {(a, b): c for a, b, c in np.concatenate([np.roll(faces, -step, axis=1) for step in range(3)]).tolist()}
    for row in np.argsort(distance[faces].max(axis=1))[:_SEEDS]:
        partner = _grow(faces[row], nearest, third)
        if partner is not None and partner.min() >= 0 and are_partners(partner, template):
            return partner
    return None


def _grow(face: np.ndarray, nearest: np.ndarray, third: dict[tuple[int, int], int]) -> np.ndarray | None:
    """Follow the edges of the surface and of its mirror image from one face on.

    Args:
        face: The first face, int [3].
        nearest: Vertex nearest to the mirror image of every vertex, int [V].
        third: The two first corners of a face -> its third one, for all faces and all of their corners.

    Returns:
        Partner of every vertex, int [V], -1 where the edges do not lead; None where they contradict each other.
    """
    a, b, c = face.tolist()
    partner = np.full(len(nearest), -1)
    partner[[a, b, c]] = nearest[[a, b, c]]
    if third.get((int(nearest[b]), int(nearest[a]))) != nearest[c]:
        return None  # the nearest vertices are not the corners of a face
    waiting = [(a, b), (b, c), (c, a)]
    while waiting:
        a, b = waiting.pop()
        c, there = third.get((b, a)), third.get((int(partner[a]), int(partner[b])))
        if c is None or there is None or partner[c] not in (-1, there):
            return None
        if partner[c] == -1:
            partner[c] = there
            waiting += [(a, c), (c, b)]
    return partner
