"""Left-right partners of the vertices of a body."""

import numpy as np
import pytest
import trimesh

from render.figure import mirror
from render.smpl.partners import partners_by_faces


def test_partners_follow_from_the_faces_where_positions_mislead():
    """SMPL's template is a mean of scans: for some vertices the nearest to their mirror image is a neighbour."""
    sphere = trimesh.creation.icosphere(subdivisions=4)
    exact = np.asarray(sphere.vertices) * [0.3, 0.9, 0.2]
    expected = mirror.vertex_correspondence(exact, 1e-6)
    template = exact + np.random.default_rng(0).uniform(-0.006, 0.006, exact.shape)
    with pytest.raises(mirror.MirrorError):
        mirror.vertex_correspondence(template, 0.01)
    faces = np.asarray(sphere.faces)
    np.testing.assert_array_equal(partners_by_faces(template, faces), expected)
    # A face that is not the mirror image of any, and a surface in two pieces, have no partners.
    assert partners_by_faces(template, faces[1:]) is None
    two = np.concatenate([faces, faces + len(template)])
    assert partners_by_faces(np.concatenate([template, 3.0 + template]), two) is None
