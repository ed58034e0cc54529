"""Compiles fast what runs a few times only: most of the time of a test with a network is XLA's and LLVM's."""

from typing import Any

import jax

_NO_OPTIMIZATION = {"xla_backend_optimization_level": 0}
_NO_EMITTERS = {"xla_cpu_use_fusion_emitters": False}  # halves the time; XLA's own option, which may go


def compile_quickly(step: Any, *arguments: Any) -> Any:
    """The executable of a jitted function for arguments like these."""
    lowered = step.lower(*arguments)
    try:
        return lowered.compile(compiler_options={**_NO_OPTIMIZATION, **_NO_EMITTERS})
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
    return lowered.compile(compiler_options=_NO_OPTIMIZATION)
