"""Reads the text of an optimized HLO module: what XLA runs on a device, one instruction a kernel.

The text is what `jax.stages.Compiled.as_text` gives. Only what counting needs is kept: shapes, operands, the computations
that an instruction calls, and where in the Python source it comes from.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "token": 0, "opaque": 0}
_COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-$]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%([\w.\-$]+) = ")
_OPCODE = re.compile(r"\s*([\w\-]+)\(")
_NAME = re.compile(r"%([\w.\-$]+)")
_ARRAY = re.compile(r"(\w+)\[([^\]]*)\](?:\{([^}]*)\})?")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|branch_computations|true_computation|false_computation|called_computations)="
    r"(\{[^}]*\}|%[\w.\-$]+)"
)
_TABLE = re.compile(r"^(FileNames|FunctionNames|FileLocations|StackFrames)$")
_FIELD = re.compile(r"(\w+)=(\d+)")
_TILE = re.compile(r"T\(([\d,]+)\)")
_MEMORY_SPACE = re.compile(r"S\((\d+)\)")


@dataclasses.dataclass(frozen=True)
class Array:
    """The type of an array.

    Attributes:
        dtype: Element type as HLO writes it, such as "bf16".
        dims: Lengths of the axes.
        layout: What stands in braces behind the shape: the order of the axes, tiles and memory space.
    """

    dtype: str
    dims: tuple[int, ...]
    layout: str = ""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Bytes in the device's memory, with the padding of tiles where the layout has them."""
        return self.stored_size * bits(self.dtype) // 8

    @property
    def content(self) -> int:
        """Bytes of its elements alone, wherever it lies."""
        return self.size * bits(self.dtype) // 8

    @property
    def stored_size(self) -> int:
        """Number of elements in memory: the two minor axes are padded to the layout's first tile."""
        tile = _TILE.search(self.layout)
        if tile is None or not self.dims:
            return self.size
        order = [int(axis) for axis in self.layout.partition(":")[0].split(",") if axis]
        minor_first = [self.dims[axis] for axis in order]
        for place, length in enumerate(reversed([int(length) for length in tile[1].split(",")])):
            if place < len(minor_first):
                minor_first[place] = -(-minor_first[place] // length) * length
        return math.prod(minor_first)

    @property
    def is_in_main_memory(self) -> bool:
        """Whether it lies in the device's main memory, and not in a memory on the chip (a TPU's VMEM, for one)."""
        space = _MEMORY_SPACE.search(self.layout)
        return space is None or space[1] == "0"


@dataclasses.dataclass(frozen=True)
class Instruction:
    """An instruction of a computation.

    Attributes:
        name: Its name, unique in the module.
        opcode: Such as "fusion" or "all-reduce".
        arrays: The arrays of its result, one unless it is a tuple; nested tuples are flattened.
        operands: Names of its operands, in order.
        literal: What stands in the parentheses of a parameter or constant.
        attributes: The text behind the operands.
        called: Names of the computations that it calls.
        is_root: Whether it is its computation's result.
    """

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str
    attributes: str
    called: tuple[str, ...]
    is_root: bool

    @functools.cached_property
    def op_name(self) -> str:
        """The JAX operation that it was made for, with the functions around it; "" where XLA made it up."""
        return self.attribute('op_name="', '"')

    @property
    def bytes(self) -> int:
        """Bytes of its result in the device's main memory."""
        return sum(array.bytes for array in self.arrays if array.is_in_main_memory)

    def attribute(self, start: str, end: str) -> str:
        """Return the text between the first `start` in the attributes and the `end` behind it; "" if it is absent."""
        _, found, rest = self.attributes.partition(start)
        return rest.partition(end)[0] if found else ""


@dataclasses.dataclass(frozen=True)
class Computation:
    """A list of instructions, in the order in which they run.

    Attributes:
        name: Its name.
        instructions: The instructions by name.
    """

    name: str
    instructions: dict[str, Instruction]

    @functools.cached_property
    def root(self) -> Instruction:
        """The instruction whose result is the computation's."""
        return next(instruction for instruction in self.instructions.values() if instruction.is_root)

    @functools.cached_property
    def parameters(self) -> tuple[Instruction, ...]:
        """The parameters, in order."""
        found = [instruction for instruction in self.instructions.values() if instruction.opcode == "parameter"]
        return tuple(sorted(found, key=lambda parameter: int(parameter.literal)))

    @functools.cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """The instructions that read each instruction's result."""
        found: dict[str, list[Instruction]] = {name: [] for name in self.instructions}
        for instruction in self.instructions.values():
            for operand in dict.fromkeys(instruction.operands):
                found[operand].append(instruction)
        return found

    def operands(self, instruction: Instruction) -> list[Instruction]:
        """Return the instructions whose results an instruction reads, each once."""
        return [self.instructions[name] for name in dict.fromkeys(instruction.operands)]

    def results(self, instruction: Instruction) -> tuple[Array, ...]:
        """Return the arrays that an instruction writes. What is started has them where it is done."""
        if not instruction.opcode.endswith("-start"):
            return instruction.arrays
        follower: Instruction | None = instruction
        while follower is not None and not follower.opcode.endswith("-done"):
            follower = next(iter(self.users[follower.name]), None)
        return instruction.arrays if follower is None else follower.arrays


@dataclasses.dataclass(frozen=True)
class Frame:
    """A line of Python source on the stack.

    Attributes:
        file: Path of the file.
        line: Line, from 1.
        function: Qualified name of the function.
    """

    file: str
    line: int
    function: str


class Module:
    """A parsed module.

    Attributes:
        computations: All computations by name.
        entry: The computation that the program runs.
    """

    def __init__(self, computations: dict[str, Computation], entry: str, tables: dict[str, dict[int, str]]):
        self.computations = computations
        self.entry = computations[entry]
        self._tables = tables

    def stack(self, instruction: Instruction) -> Iterator[Frame]:
        """Yield the source lines that an instruction comes from, the innermost first."""
        frame = int(instruction.attribute("stack_frame_id=", " ").strip("}, ") or 0)
        while frame:
            fields = _fields(self._tables["StackFrames"][frame])
            location = _fields(self._tables["FileLocations"][fields["file_location_id"]])
            yield Frame(
                self._tables["FileNames"][location["file_name_id"]].strip('"'),
                location["line"],
                self._tables["FunctionNames"][location["function_name_id"]].strip('"'),
            )
            frame = fields.get("parent_frame_id", 1) - 1  # written plus one; the outermost frame has 1


def parse(text: str) -> Module:
    """Read the text of an HLO module.

    Raises:
        ValueError: The text is no HLO module, or an instruction of it cannot be read.
    """
    computations: dict[str, Computation] = {}
    tables: dict[str, dict[int, str]] = {}
    table: dict[int, str] | None = None
    current: Computation | None = None
    entry = ""
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            current, table = Computation(match[2], {}), None
            computations[current.name] = current
            entry = current.name if match[1] else entry
        elif match := _TABLE.match(line):
            table = tables.setdefault(match[1], {})
        elif table is not None and line[:1].isdigit():
            number, _, content = line.partition(" ")
            table[int(number)] = content
        elif current is not None and (match := _INSTRUCTION.match(line)):
            instruction = _parse_instruction(match[2], bool(match[1]), line[match.end() :])
            current.instructions[instruction.name] = instruction
        elif line.startswith("}"):
            current = None
    if not entry:
        raise ValueError(f"expected the text of an HLO module with an ENTRY computation, found {text[:80]!r}.")
    return Module(computations, entry, tables)


def bits(dtype: str) -> int:
    """Return the bits of an element type, which HLO writes as in "bf16", "u8", "f8e4m3fn" or "pred"."""
    if dtype in _BITS:
        return _BITS[dtype]
    match = re.match(r"[a-z]+(\d+)", dtype)
    if match is None:
        raise ValueError(f"expected an HLO element type such as bf16 or s32, found {dtype!r}.")
    return int(match[1])


def _parse_instruction(name: str, is_root: bool, rest: str) -> Instruction:
    end = _end_of_shape(rest)
    opcode = _OPCODE.match(rest, end)
    if opcode is None:
        raise ValueError(f"expected an HLO instruction as in `%name = shape opcode(...)`, found `%{name} = {rest}`.")
    close = _closing(rest, opcode.end() - 1)
    inside, attributes = rest[opcode.end() : close], rest[close + 1 :]
    holds_literal = opcode[1] in ("parameter", "constant")
    return Instruction(
        name=name,
        opcode=opcode[1],
        arrays=tuple(_arrays(rest[:end])),
        operands=() if holds_literal else tuple(_NAME.findall(inside)),
        literal=inside if holds_literal else "",
        attributes=attributes,
        called=tuple(called for group in _CALLED.findall(attributes) for called in _NAME.findall(group)),
        is_root=is_root,
    )


def _arrays(shape: str) -> Iterator[Array]:
    for dtype, dims, layout in _ARRAY.findall(shape):
        # A dynamic axis is written "<=8".
        yield Array(dtype, tuple(int(length.strip("<= ")) for length in dims.split(",") if length.strip()), layout)


def _end_of_shape(text: str) -> int:
    """Return where the shape at the start of `text` ends: behind its parentheses, or at the first space."""
    return _closing(text, 0) + 1 if text.startswith("(") else len(text.partition(" ")[0])


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that opens at `start` closes."""
    depth = 0
    for match in re.compile(r"[()]").finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    raise ValueError(f"expected a closing parenthesis in {text[start : start + 80]!r}.")


def _fields(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in _FIELD.findall(text)}
