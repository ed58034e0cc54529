"""The messages that devices exchange: collectives in HLO, by themselves and inside of a TPU's fusions."""

import dataclasses
from collections.abc import Iterable, Iterator

from experiments.compiling import hlo

KINDS = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)
# Computations of fusions in which other work goes on while a collective does. Each shows the collective again.
OVERLAPPED = "async_collective_fusion"
_SCATTERED = "all-reduce-scatter"  # of fusions that reduce and keep their share


@dataclasses.dataclass(frozen=True)
class Message:
    """One collective of a program.

    Attributes:
        kind: One of `KINDS`.
        identity: What it has in common with its other appearances in the program, and with no other collective.
        bytes: Bytes of what a device gives to it or takes from it, whichever is more.
    """

    kind: str
    identity: tuple[str, tuple[hlo.Array, ...]]
    bytes: int


@dataclasses.dataclass(frozen=True)
class Collective:
    """The collectives of one kind.

    Attributes:
        kind: One of `KINDS`.
        count: How many of them a step runs.
        bytes: Their bytes, see `Message`, added up.
    """

    kind: str
    count: int
    bytes: int


def find(module: hlo.Module, computation: hlo.Computation, instruction: hlo.Instruction) -> Iterator[Message]:
    """Yield the collectives that an instruction is or that its fusion holds."""
    kind = instruction.opcode.removesuffix("-start")
    if kind in KINDS:
        results = computation.results(instruction)
        given = sum(array.content for operand in computation.operands(instruction) for array in operand.arrays)
        channel = instruction.attribute("channel_id=", ",") or instruction.name
        unpadded = tuple(dataclasses.replace(array, layout="") for array in results)
        kind = "reduce-scatter" if computation.name.startswith(_SCATTERED) else kind
        yield Message(kind, (channel, unpadded), max(given, sum(array.content for array in results)))
    elif instruction.opcode == "fusion":
        for name in instruction.called:
            fused = module.computations[name]
            for inner in fused.instructions.values():
                yield from find(module, fused, inner)


def by_kind(messages: Iterable[tuple[Message, int]]) -> list[Collective]:
    """Add messages up, each once.

    Args:
        messages: Messages, with how often each runs.

    Returns:
        The kinds, the one with most bytes first.
    """
    found: dict[str, Collective] = {}
    for (kind, _), (message, times) in {(each.kind, each.identity): (each, times) for each, times in messages}.items():
        before = found.get(kind, Collective(kind, 0, 0))
        found[kind] = Collective(kind, before.count + times, before.bytes + times * message.bytes)
    return sorted(found.values(), key=lambda collective: -collective.bytes)
