"""Small programs that XLA compiles in a test, for this machine's CPU devices."""

from typing import Any

import jax

from experiments.compiling import costs, hlo


def compile_module(function: Any, *shapes: jax.ShapeDtypeStruct) -> hlo.Module:
    """The optimized HLO of a function of arrays of these shapes."""
    return hlo.parse(jax.jit(function).lower(*shapes).compile().as_text())


def kernels(function: Any, *shapes: jax.ShapeDtypeStruct) -> list[costs.Kernel]:
    """What the compiled function launches."""
    return costs.kernels(compile_module(function, *shapes))


def total(launched: list[costs.Kernel], name: str) -> int:
    """The sum of an attribute of kernels over all runs."""
    return sum(kernel.times * getattr(kernel, name) for kernel in launched)
