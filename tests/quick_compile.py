"""Makes XLA compile quickly: a test, and a program that it starts, compiles for longer than it computes."""

import os
import subprocess
import sys

# Halves the time of compiling. XLA's own option, which may go; an unknown one in XLA_FLAGS ends the process.
NO_EMITTERS = "--xla_cpu_use_fusion_emitters=false"


def in_all_processes() -> None:
    """Set what this process and those that it starts compile with, before JAX is imported.

    The code is what users run, less LLVM's optimisations. XLA_FLAGS in the environment wins: with XLA_FLAGS=" " and
    JAX_DISABLE_MOST_OPTIMIZATIONS=0 the tests compile as users do.
    """
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    if "XLA_FLAGS" not in os.environ:  # the workers of pytest-xdist find it there
        os.environ["XLA_FLAGS"] = NO_EMITTERS if _is_known(NO_EMITTERS) else ""


def _is_known(flag: str) -> bool:
    environment = {**os.environ, "XLA_FLAGS": flag}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
    return done.returncode == 0
