"""Compiles fast what runs a few times only: most of the time of a test with a network is XLA's and LLVM's."""

import functools
from typing import Any

import jax

_NO_OPTIMIZATION = {"xla_backend_optimization_level": 0}
_NO_EMITTERS = {"xla_cpu_use_fusion_emitters": False}  # halves the time; XLA's own option, which may go


def compile_quickly(step: Any, *arguments: Any) -> Any:
    """The executable of a jitted function for arguments like these."""
    return step.lower(*arguments).compile(compiler_options=_options())


def xla_flags() -> str:
    """The same for all that a process compiles, as its environment variable XLA_FLAGS."""
    return " ".join(f"--{name}={str(value).lower()}" for name, value in _options().items())


@functools.cache
def _options() -> dict[str, Any]:
    """Those that this XLA knows: in XLA_FLAGS, an unknown one ends the process."""
    options = {**_NO_OPTIMIZATION, **_NO_EMITTERS}
    try:
        jax.jit(lambda: 0).lower().compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return _NO_OPTIMIZATION
    return options
