"""SA-Enc: ResNet with bottleneck blocks, the last down-sampling removed (section 3.2, "SA-Enc").

torchvision's variant (stride on the 3x3 convolution), He et al., "Deep Residual Learning for Image Recognition",
CVPR 2016. With stage 4 at stride 1 a 256x128 image gives a 16x8x2048 feature map.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from san_jax.models.layers import BatchNorm, add_relu, conv

EXPANSION = 4  # output channels of a bottleneck per inner channel


class StageOutputs(NamedTuple):
    """What each stage of an encoder gives, for an image of H x W, NHWC; the channels are the ResNets' of width C.

    stem: [B H/4 W/4 C], after max-pooling; stage1: [B H/4 W/4 4C]; stage2: [B H/8 W/8 8C];
    stage3: [B H/16 W/16 16C]; stage4: [B H/16 W/16 32C], the paper's f_e4.
    """

    stem: Array
    stage1: Array
    stage2: Array
    stage3: Array
    stage4: Array


def check_network(width: int, stage_sizes: Sequence[int], *, least_width: int = 1) -> None:
    """Raises a ValueError unless an encoder can have this stem width and these blocks per stage."""
    if len(stage_sizes) != 4 or min(stage_sizes) < 1:
        raise ValueError(f"stage_sizes must hold 4 positive block counts such as (3, 4, 6, 3), found {stage_sizes}.")
    if width < least_width:
        raise ValueError(
            f"width must be a positive channel count, at least {least_width} (64 is the real network), found {width}."
        )


@jax.custom_vjp
def max_pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch out_height out_width channels"]:
    """Return the largest of each 3x3 window, strided by 2: the stem's pooling.

    The gradient goes to the first of equal numbers, row by row, as in PyTorch. The backward pass knows its place from
    the forward pass; what XLA derives from its own pooling searches the input again and scatters.
    """
    return _max_pool_forward(x)[0]


def _max_pool_forward(x: Any) -> Any:
    height, width = (-(-length // 2) for length in x.shape[1:3])
    padded = lax.pad(x, jnp.array(-jnp.inf, x.dtype), ((0, 0, 0), (1, 1, 0), (1, 1, 0), (0, 0, 0)))
    largest: Any = None
    place: Any = None
    for number, (row, column) in enumerate(_WINDOW):
        value = padded[:, row : row + 2 * height - 1 : 2, column : column + 2 * width - 1 : 2]
        if largest is None:
            largest, place = value, jnp.zeros(value.shape, jnp.uint8)
            continue
        place = jnp.where(value > largest, jnp.uint8(number), place)
        largest = jnp.maximum(largest, value)
    return largest, (place, x.shape)


def _max_pool_backward(saved: Any, gradient: Any) -> Any:
    place, (_, *lengths, _) = saved
    zero, total = jnp.zeros((), gradient.dtype), None
    for number, offsets in enumerate(_WINDOW):
        # Back to where it was taken from: every second number, one before the border of the padded input cut off.
        padding = [
            (offset - 1, length - (2 * count - 1) - (offset - 1), 1)
            for offset, length, count in zip(offsets, lengths, place.shape[1:3], strict=True)
        ]
        part = lax.pad(jnp.where(place == number, gradient, zero), zero, ((0, 0, 0), *padding, (0, 0, 0)))
        total = part if total is None else total + part
    return (total,)


_WINDOW = tuple(itertools.product(range(3), range(3)))
max_pool.defvjp(_max_pool_forward, _max_pool_backward)


class Bottleneck(nnx.Module):
    """1x1, 3x3 (strided), 1x1 convolutions with batch normalisation, and a shortcut."""

    def __init__(self, in_features: int, features: int, *, strides: int, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        out_features = EXPANSION * features
        self.conv1 = conv(in_features, features, 1, compute_dtype=compute_dtype, rngs=rngs)
        self.bn1 = BatchNorm(features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv2 = conv(features, features, 3, strides=strides, padding=1, compute_dtype=compute_dtype, rngs=rngs)
        self.bn2 = BatchNorm(features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv3 = conv(features, out_features, 1, compute_dtype=compute_dtype, rngs=rngs)
        self.bn3 = BatchNorm(out_features, compute_dtype=compute_dtype, rngs=rngs)
        self.has_projection = strides != 1 or in_features != out_features
        if self.has_projection:
            self.downsample_conv = conv(
                in_features, out_features, 1, strides=strides, compute_dtype=compute_dtype, rngs=rngs
            )
            self.downsample_bn = BatchNorm(out_features, compute_dtype=compute_dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool
    ) -> Float[Array, "batch out_height out_width out_features"]:
        """Maps to 4 x features channels."""
        y = self.bn1(self.conv1(x), train=train, relu=True)
        y = self.bn2(self.conv2(y), train=train, relu=True)
        y = self.bn3(self.conv3(y), train=train)
        shortcut = self.downsample_bn(self.downsample_conv(x), train=train) if self.has_projection else x
        return add_relu(y, shortcut.astype(y.dtype))


class Stage(nnx.Module):
    """`num_blocks` bottlenecks (attributes block1, block2, ...), the first of them strided."""

    def __init__(
        self,
        in_features: int,
        features: int,
        num_blocks: int,
        *,
        strides: int,
        compute_dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.num_blocks = num_blocks
        # Attributes instead of nnx.List: the keys of the parameter tree stay strings, as checkpoints store them.
        for index in range(num_blocks):
            block = Bottleneck(
                in_features if index == 0 else EXPANSION * features,
                features,
                strides=strides if index == 0 else 1,
                compute_dtype=compute_dtype,
                rngs=rngs,
            )
            setattr(self, f"block{index + 1}", block)

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool
    ) -> Float[Array, "batch out_height out_width out_features"]:
        """Applies the blocks in turn."""
        for index in range(self.num_blocks):
            x = getattr(self, f"block{index + 1}")(x, train=train)
        return x


class ResNet(nnx.Module):
    """ResNet-50 by default (23.5 M parameters without classifier), float32 parameters, NHWC.

    Args:
        width: Channels of the stem; 64 is the real ResNet, smaller ones are for demos and tests.
        stage_sizes: Bottlenecks per stage: (3, 4, 6, 3) for ResNet-50, (3, 4, 23, 3) for ResNet-101.
        compute_dtype: float32 or bfloat16 for convolutions and activations; batch statistics stay float32.
        rngs: The stream `params` draws the weights.

    Raises:
        ValueError: `stage_sizes` has not four positive entries, or width is not positive.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        stage_sizes: Sequence[int] = (3, 4, 6, 3),
        compute_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_network(width, stage_sizes)
        self.compute_dtype = compute_dtype
        self.conv1 = conv(3, width, 7, strides=2, padding=3, compute_dtype=compute_dtype, rngs=rngs)
        self.bn1 = BatchNorm(width, compute_dtype=compute_dtype, rngs=rngs)

        def stage(number: int, in_features: int, strides: int) -> Stage:
            features = width * 2 ** (number - 1)
            size = stage_sizes[number - 1]
            return Stage(in_features, features, size, strides=strides, compute_dtype=compute_dtype, rngs=rngs)

        self.stage1 = stage(1, width, 1)
        self.stage2 = stage(2, 4 * width, 2)
        self.stage3 = stage(3, 8 * width, 2)
        self.stage4 = stage(4, 16 * width, 1)  # stride 2 in the ImageNet network; 1 keeps f_e4 at 16x8
        self.stage_features = (4 * width, 8 * width, 16 * width, 32 * width)
        self.out_features = 32 * width

    def __call__(self, images: Float[Array, "batch height width 3"], *, train: bool = False) -> StageOutputs:
        """Encodes ImageNet-normalised images; returns the output of every stage (unused ones cost nothing in jit)."""
        stem = max_pool(self.bn1(self.conv1(images), train=train, relu=True))
        stage1 = self.stage1(stem, train=train)
        stage2 = self.stage2(stage1, train=train)
        stage3 = self.stage3(stage2, train=train)
        stage4 = self.stage4(stage3, train=train)
        return StageOutputs(stem, stage1, stage2, stage3, stage4)
