"""Where in our source a compiled kernel comes from."""

import dataclasses
import pathlib
from collections.abc import Iterator

from experiments.compiling import hlo
from experiments.compiling.costs import Kernel

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PACKAGES = ("san_jax", "experiments")
_OWN_FOLDER = ("experiments", "compiling")  # this package only traces the steps


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a kernel was made for.

    Attributes:
        op_name: The JAX operation with the transformations around it, such as "jit(reid_step)/jvp()/reduce_sum".
        source: Our innermost line on the stack with its function, such as "san_jax/models/layers.py:69
            BatchNorm.__call__"; "" for what XLA adds by itself, such as copies of parameters into another layout.
    """

    op_name: str
    source: str


def find(module: hlo.Module, kernel: Kernel) -> Origin:
    """Return where a kernel comes from. Of a fusion's instructions, the one that gives its result counts first."""
    candidates = list(_candidates(module, kernel.instruction))
    named = next((candidate for candidate in candidates if candidate.op_name), None)
    sources = (source for candidate in candidates if (source := _source(module, candidate)))
    if named is not None:
        return Origin(named.op_name, next(sources, ""))
    operands = " and ".join(kernel.instruction.operands[:2])
    return Origin(f"{kernel.instruction.opcode} of {operands}".removesuffix(" of "), next(sources, ""))


def _candidates(module: hlo.Module, instruction: hlo.Instruction) -> Iterator[hlo.Instruction]:
    yield instruction
    if instruction.opcode == "fusion":
        for name in instruction.called:
            for inner in reversed(module.computations[name].instructions.values()):
                yield from _candidates(module, inner)


def _source(module: hlo.Module, instruction: hlo.Instruction) -> str:
    for frame in module.stack(instruction):
        path = pathlib.Path(frame.file)
        if not path.is_relative_to(_ROOT):
            continue
        parts = path.relative_to(_ROOT).parts
        if parts[0] in _PACKAGES and parts[:2] != _OWN_FOLDER:
            return f"{'/'.join(parts)}:{frame.line} {frame.function}"
    return ""
