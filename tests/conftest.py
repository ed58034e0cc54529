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


@pytest.fixture
def shared() -> pathlib.Path:
    """The folder ../shared (for tests marked `shared`)."""
    return SHARED
