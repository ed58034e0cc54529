"""Strict JAX for every test: 8 CPU devices, no implicit dtype or rank promotion, shapes checked at run time."""

import collections
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["SAN_JAX_COMPILATION_CACHE"] = "off"  # no test writes to the user's cache folder

from tests import quick_compile

quick_compile.in_all_processes()

from jaxtyping import install_import_hook

# Before the first import of the package: every annotated function is checked by beartype.
_hook = install_import_hook("san_jax", "beartype.beartype")

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
# The files that take longest, in this order: a long one that began last would keep one worker busy while others idle.
SLOWEST_FIRST = REPOSITORY / "tests" / "slowest_first.txt"
LISTED_FROM, LISTED_FILES = 600.0, 60  # seconds of testing from which the slowest files are listed, and how many
LEAST_SECONDS = 0.1  # of compiling, for an entry in the folders of `compiled_steps`


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of SLOWEST_FIRST come first; tests marked `shared`, which read ../shared, run on the founders' machines only."""
    places = {REPOSITORY / name: place for place, name in enumerate(SLOWEST_FIRST.read_text().split())}
    items.sort(key=lambda item: places.get(item.path, len(places)))  # the order is kept within a file
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason=f"{SHARED} is absent: these tests compare with material that is not shipped")
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the files that took longest, so that SLOWEST_FIRST can be kept true."""
    seconds: collections.Counter[str] = collections.Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if sum(seconds.values()) < LISTED_FROM:
        return
    terminalreporter.section("slowest files, seconds")
    for file, duration in seconds.most_common(LISTED_FILES):
        terminalreporter.write_line(f"{duration:6.0f} {file}")


@pytest.fixture(scope="session")
def shared_by_workers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A temporary folder that all pytest-xdist workers see as the same; what is made in it needs a lock."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session", autouse=True)
def compiled_steps(tmp_path_factory: pytest.TempPathFactory, shared_by_workers: pathlib.Path) -> None:
    """What one test compiled no later one compiles again: a folder for this process, and one for those that tests start.

    The second is shared by the xdist workers. The first is not, for JAX writes its entries in place, and a half-written
    one is a warning to its reader, hence an error here.
    """
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(shared_by_workers / "compiled_steps")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(LEAST_SECONDS)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled_here")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    compilation_cache.reset_cache()  # a module of tests that compiled when it was imported has fixed the folder


@pytest.fixture
def shared() -> pathlib.Path:
    """The folder ../shared (for tests marked `shared`)."""
    return SHARED
