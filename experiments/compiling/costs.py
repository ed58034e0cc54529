"""What a compiled program costs: for each kernel that it launches, the bytes it moves and the arithmetic it does.

The rules are those of XLA's own cost analysis, which XLA does not offer for compiled GPU programs:

- A kernel reads each of its operands once and writes its result once. Where it only takes a slice or gathers rows, the
  slice or the rows count, and where it updates a part of an array in place, the part.
- The FLOPs of a matrix product or convolution are two for each pair of numbers that are multiplied. Pairs with the
  zeros of a convolution's padding, or of its dilation, do not count.
- Other arithmetic is one FLOP for each element of a result. It is counted apart.
- What stands in a loop counts in each of its turns, and of a condition both branches count.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments.compiling import collectives, hlo, products
from experiments.compiling.products import Product

_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id"),
    *("opt-barrier", "add-dependency"),
}
_VIEWS = ("bitcast", "reshape", "get-tuple-element")  # inside a fusion: the same bytes under another shape
_CONTROL = ("call", "while", "conditional", "async-start")
_SLICES = ("slice", "dynamic-slice", "gather")
_UPDATES = {"dynamic-update-slice": 1, "scatter": -1}  # opcode -> place of the operand that holds the update
_ARITHMETIC = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "abs", "power", "remainder", "sign"),
    *("exponential", "exponential-minus-one", "log", "log-plus-one", "logistic", "tanh", "tan", "cosine", "sine"),
    *("sqrt", "rsqrt", "cbrt", "erf", "atan2", "floor", "ceil", "round-nearest-afz", "round-nearest-even", "clamp"),
    *("compare", "select"),
}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An instruction that launches something on the device.

    Attributes:
        instruction: The instruction.
        computation: The computation that it stands in.
        times: How often it runs: the trip count where it stands in a loop.
        bytes: Bytes read from and written to the device's main memory by one run.
        products: The matrix products and convolutions of one run.
        other_flops: FLOPs of one run besides them.
        messages: The collectives that it is or holds.
    """

    instruction: hlo.Instruction
    computation: hlo.Computation
    times: int
    bytes: int
    products: tuple[Product, ...]
    other_flops: int
    messages: tuple[collectives.Message, ...] = ()

    @property
    def product_flops(self) -> int:
        """FLOPs of the matrix products and convolutions of one run."""
        return sum(product.flops for product in self.products)


def kernels(module: hlo.Module) -> list[Kernel]:
    """Return everything that a program launches, in the order in which it runs."""
    return list(_kernels(module, module.entry, 1))


def messages(launched: Sequence[Kernel]) -> list[collectives.Collective]:
    """Return the collectives of kernels by kind."""
    return collectives.by_kind((message, kernel.times) for kernel in launched for message in kernel.messages)


def _kernels(module: hlo.Module, computation: hlo.Computation, times: int) -> Iterator[Kernel]:
    for instruction in computation.instructions.values():
        opcode = instruction.opcode
        if opcode in _FREE or opcode.endswith(("-done", "-update")) or _waits(module, instruction):
            continue
        if opcode in _CONTROL:
            runs = times * _trip_count(instruction)
            for name in instruction.called:
                yield from _kernels(module, module.computations[name], runs)
            continue
        yield Kernel(
            instruction,
            computation,
            times,
            _bytes(module, computation, instruction),
            tuple(_products(module, computation, instruction)),
            _other_flops(module, computation, instruction),
            tuple(collectives.find(module, computation, instruction)),
        )


def _waits(module: hlo.Module, instruction: hlo.Instruction) -> bool:
    """Return whether a fusion only waits for a collective that was started before."""
    if instruction.opcode != "fusion":
        return False
    return 'custom_call_target="AsyncCollectiveDone"' in module.computations[instruction.called[0]].root.attributes


def _trip_count(instruction: hlo.Instruction) -> int:
    """Return how often a loop runs, where XLA found it out; 1 for what is no loop."""
    return int(instruction.attribute('"known_trip_count":{"n":"', '"') or 1)


def _stored(arrays: tuple[hlo.Array, ...]) -> int:
    return sum(array.bytes for array in arrays if array.is_in_main_memory)


def _bytes(module: hlo.Module, computation: hlo.Computation, instruction: hlo.Instruction) -> int:
    operands, opcode = computation.operands(instruction), instruction.opcode.removesuffix("-start")
    if opcode == "fusion":
        return _bytes_of_fusion(module.computations[instruction.called[0]], operands, instruction)
    if opcode in _SLICES:
        taken = _stored(computation.results(instruction))
        return 2 * taken + sum(operand.bytes for operand in operands[1:])
    if opcode in _UPDATES:
        update = computation.instructions[instruction.operands[_UPDATES[opcode]]]
        return _touched(opcode, update.bytes) + sum(operand.bytes for operand in operands[1:])
    return sum(operand.bytes for operand in operands) + _stored(computation.results(instruction))


def _bytes_of_fusion(fused: hlo.Computation, operands: list[hlo.Instruction], instruction: hlo.Instruction) -> int:
    taken = {operand.name: 0 for operand in operands}
    for parameter, name in zip(fused.parameters, instruction.operands, strict=True):
        taken[name] += _bytes_read(fused, parameter)
    read = sum(min(operand.bytes, taken[operand.name]) for operand in operands)
    roots = [fused.root]
    if fused.root.opcode == "tuple":
        roots = [fused.instructions[name] for name in fused.root.operands]
    if len(roots) != len(instruction.arrays):  # an operation with several results, such as a sort
        return read + instruction.bytes
    stored = [(root, array) for root, array in zip(roots, instruction.arrays, strict=True) if array.is_in_main_memory]
    return read + sum(min(array.bytes, _bytes_written(fused, root)) for root, array in stored)


def _bytes_read(fused: hlo.Computation, instruction: hlo.Instruction) -> int:
    """Return the bytes of a parameter of a fusion, or of a view of one, that the fusion reads."""
    total = 0
    for user in fused.users[instruction.name]:
        if user.opcode in _VIEWS:
            total += _bytes_read(fused, user)
        elif user.opcode in _SLICES and instruction.name not in user.operands[1:]:
            total += _bytes_of_slice(fused, user)
        elif user.opcode in _UPDATES and user.operands.index(instruction.name) == 0:
            size = _update_bytes(fused, user)
            total += _touched(user.opcode, size) - size
        elif user is fused.root and user.opcode == "tuple":
            continue  # passed through
        elif user.opcode in collectives.KINDS and fused.name.startswith(collectives.OVERLAPPED):
            continue  # counted where it starts
        else:
            return sum(array.bytes for array in instruction.arrays)
    return total


def _bytes_of_slice(fused: hlo.Computation, taken: hlo.Instruction) -> int:
    """Return the bytes that a fusion reads of a slice: all, unless it only takes slices of that slice."""
    size = sum(array.bytes for array in taken.arrays)
    users = fused.users[taken.name]
    if not users or any(user.opcode not in _SLICES or taken.name in user.operands[1:] for user in users):
        return size
    return min(size, sum(_bytes_of_slice(fused, user) for user in users))


def _bytes_written(fused: hlo.Computation, root: hlo.Instruction) -> int:
    while root.opcode in _VIEWS:
        root = fused.instructions[root.operands[0]]
    if root.opcode == "parameter" or (
        root.opcode in collectives.KINDS and fused.name.startswith(collectives.OVERLAPPED)
    ):
        return 0
    return _update_bytes(fused, root) if root.opcode in _UPDATES else sum(array.bytes for array in root.arrays)


def _touched(opcode: str, update: int) -> int:
    """Return the bytes that an update in place reads and writes: a scatter adds to what is there."""
    return 2 * update if opcode == "scatter" else update


def _update_bytes(fused: hlo.Computation, instruction: hlo.Instruction) -> int:
    update = fused.instructions[instruction.operands[_UPDATES[instruction.opcode]]]
    return sum(array.bytes for array in update.arrays)


def _products(module: hlo.Module, computation: hlo.Computation, instruction: hlo.Instruction) -> Iterator[Product]:
    if product := products.find(computation, instruction):
        yield product
    if instruction.opcode == "fusion":
        for name in instruction.called:
            fused = module.computations[name]
            for inner in fused.instructions.values():
                yield from _products(module, fused, inner)


def _other_flops(module: hlo.Module, computation: hlo.Computation, instruction: hlo.Instruction) -> int:
    if instruction.opcode == "fusion":
        fused = module.computations[instruction.called[0]]
        return sum(_other_flops(module, fused, inner) for inner in fused.instructions.values())
    if instruction.opcode in _ARITHMETIC:
        return sum(array.size for array in instruction.arrays)
    if instruction.opcode in ("reduce", "all-reduce", "all-reduce-start", "reduce-scatter"):
        operands = computation.operands(instruction)
        return sum(array.size for operand in operands for array in operand.arrays)
    if instruction.opcode == "reduce-window":
        return instruction.arrays[0].size * products.window(instruction.attributes).positions
    return 0
