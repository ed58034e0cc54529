"""Strict JAX for every test: 8 CPU devices, no implicit dtype or rank promotion, shapes checked at run time."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["SAN_JAX_COMPILATION_CACHE"] = "off"  # no test writes to the user's cache folder

from jaxtyping import install_import_hook

# Before the first import of the package: every annotated function is checked by beartype.
_hook = install_import_hook("san_jax", "beartype.beartype")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `shared` read ../shared, which only the founders' machines have."""
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason=f"{SHARED} is absent: these tests compare with material that is not shipped")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def compiled_steps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder of compiled steps for the processes that tests start, whichever xdist worker starts them.

    JAX has read its settings when this sets them, so the process of the tests itself compiles all it needs.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(root / "compiled_steps")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"


@pytest.fixture
def shared() -> pathlib.Path:
    """The folder ../shared (for tests marked `shared`)."""
    return SHARED
