"""The FLOPs of matrix products and convolutions in HLO, as plain instructions and as calls of cuBLAS and cuDNN."""

import dataclasses
import math
import re

from experiments.compiling import hlo

_CUDNN = re.compile(r'custom_call_target="__cudnn\$conv(\w+)"')
_MATMUL = re.compile(r'custom_call_target="(?:__cublas\$|__onednn\$matmul)')
_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_WINDOW = re.compile(r"window=\{([^}]*)\}")
_CONTRACTING = re.compile(r'"?lhs_contracting_dim(?:s=\{|ensions":\[)([^}\]]*)[}\]]')
_PRECISION = re.compile(r'operand_precision(?:=\{|":\[)"?(\w+)')


@dataclasses.dataclass(frozen=True)
class Product:
    """A matrix product or convolution.

    Attributes:
        flops: Two for each pair of numbers that are multiplied.
        dtype: Element type of its operands, such as "bf16".
        precision: What JAX asked for: "default", "high" or "highest".
    """

    flops: int
    dtype: str
    precision: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """How a window moves along one spatial axis.

    Attributes:
        size: Positions in the window.
        stride: Steps of the window.
        low: Padding before the input; negative where it is cropped.
        base_dilation: Distance of neighbouring inputs, with holes between them.
        window_dilation: Distance of neighbouring positions of the window.
    """

    size: int
    stride: int = 1
    low: int = 0
    base_dilation: int = 1
    window_dilation: int = 1

    def pairs(self, inputs: int, outputs: int) -> int:
        """Return the number of pairs (output, position) in which the position lies on an input.

        Args:
            inputs: Length of the input along this axis.
            outputs: Length of the output along this axis.
        """
        found = 0
        for output in range(outputs):
            for position in range(self.size):
                place = output * self.stride + position * self.window_dilation - self.low
                found += place % self.base_dilation == 0 and 0 <= place // self.base_dilation < inputs
        return found


@dataclasses.dataclass(frozen=True)
class Window:
    """The window of a convolution or pooling, one `Axis` for each spatial axis."""

    axes: tuple[Axis, ...]

    @property
    def positions(self) -> int:
        """Number of positions in the window."""
        return math.prod(axis.size for axis in self.axes)


def window(attributes: str) -> Window:
    """Read the window from the attributes of an instruction; it has no axes where there is none."""
    match = _WINDOW.search(attributes)
    fields = dict(item.split("=") for item in match[1].split()) if match else {}
    sizes = fields.get("size", "").split("x") if fields.get("size") else []
    columns = {
        name: fields[key].split("x") if key in fields else [""] * len(sizes)
        for name, key in {"stride": "stride", "low": "pad", "base": "lhs_dilate", "window": "rhs_dilate"}.items()
    }
    return Window(
        tuple(
            Axis(
                int(size),
                int(columns["stride"][place] or 1),
                int((columns["low"][place] or "0").partition("_")[0]),
                int(columns["base"][place] or 1),
                int(columns["window"][place] or 1),
            )
            for place, size in enumerate(sizes)
        )
    )


def find(computation: hlo.Computation, instruction: hlo.Instruction) -> Product | None:
    """Return the product that an instruction is itself; None if it is none.

    Args:
        computation: The computation that it stands in.
        instruction: The instruction.
    """
    if instruction.opcode == "dot" or _MATMUL.search(instruction.attributes):
        flops = _matmul(computation, instruction)
    elif instruction.opcode == "convolution" or _CUDNN.search(instruction.attributes):
        flops = _convolution(computation, instruction)
    else:
        return None
    operand = computation.instructions[instruction.operands[0]].arrays[0]
    match = _PRECISION.search(instruction.attributes)
    return Product(flops, operand.dtype, match[1].lower() if match else "default")


def _matmul(computation: hlo.Computation, instruction: hlo.Instruction) -> int:
    """2 x elements of the result x the length that is summed over."""
    left = computation.instructions[instruction.operands[0]].arrays[0]
    match = _CONTRACTING.search(instruction.attributes)
    axes = [int(axis.strip('" ')) for axis in match[1].split(",") if axis.strip('" ')] if match else [-1]
    return 2 * instruction.arrays[0].size * math.prod(left.dims[axis] for axis in axes)


def _convolution(computation: hlo.Computation, instruction: hlo.Instruction) -> int:
    """2 x images x output features x input features of a group x pairs of output and window on an input."""
    labels = _LABELS.search(instruction.attributes)
    if labels is None:
        raise ValueError(f"expected dim_labels in the convolution {instruction.name}, found none.")
    first, second = (computation.instructions[name].arrays[0] for name in instruction.operands[:2])
    result = instruction.arrays[0]
    cudnn = _CUDNN.search(instruction.attributes)
    # cuDNN's gradients keep the labels and the window of the forward pass.
    if cudnn and cudnn[1] == "BackwardInput":
        images, kernel, output = result, second, first
    elif cudnn and cudnn[1] == "BackwardFilter":
        images, kernel, output = first, result, second
    else:
        images, kernel, output = first, second, result
    axes = window(instruction.attributes).axes
    pairs = math.prod(
        axis.pairs(images.dims[labels[1].index(str(place))], output.dims[labels[3].index(str(place))])
        for place, axis in enumerate(axes)
    )
    batch = output.dims[labels[3].index("b")]
    features = output.dims[labels[3].index("f")] * kernel.dims[labels[2].index("i")]
    return 2 * batch * features * pairs
