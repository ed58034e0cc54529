"""A synthetic SMPL body, its model file and its UV layout."""

import pytest

from render.figure.sheets import Part
from render.smpl import model as smpl
from render.smpl.uv import read_uv
from tests.render import smpl_fixtures


@pytest.fixture(scope="package")
def body() -> smpl_fixtures.Humanoid:
    return smpl_fixtures.humanoid()


@pytest.fixture(scope="package")
def model(body: smpl_fixtures.Humanoid, tmp_path_factory: pytest.TempPathFactory) -> smpl.Smpl:
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl"
    path.write_bytes(
        smpl_fixtures.python2_pickle(body.arrays, chumpy=("v_template", "shapedirs", "posedirs", "weights"))
    )
    return smpl.Smpl(smpl.read_model(path))


@pytest.fixture(scope="package")
def part(body: smpl_fixtures.Humanoid, tmp_path_factory: pytest.TempPathFactory) -> Part:
    return read_uv(smpl_fixtures.write_uv(tmp_path_factory.mktemp("uv") / "smpl_uv.obj", body), {})
