"""SA-Dec: regresses the aligned texture from the encoder's last feature map (section 3.2, "SA-Dec").

Four residual up-sampling blocks with about a third of the encoder's parameters. The paper gives no more than that; the
blocks are those of the authors' released code, its U-Net skips from the encoder, which the paper does not have, left
out unless asked for:
1x1 convolution 2048 -> 512, blocks 512 -> 256 -> 64 -> 32 -> 16, a 7x7 convolution to RGB, resizing to the texture's
size. No output non-linearity; targets live in [-1, 1]. It is dropped at inference.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from san_jax.models.layers import BatchNorm, add_relu, conv, xavier_normal
from san_jax.settings import DECODER_MAPS

NUM_BLOCKS = 4
MIN_FEATURES = 8  # a narrow model's last blocks keep at least this many channels


def reflected_conv(
    conv: nnx.Conv, x: Float[Array, "batch height width in_features"]
) -> Float[Array, "batch height width out_features"]:
    """Applies a convolution beyond whose border the input is mirrored, the border itself not repeated.

    PyTorch's ReflectionPad2d(r) and an unpadded convolution of size 2r + 1. Here the convolution pads by r zeros once
    more and what they touched is cut off: the same numbers, but XLA's weight gradient of an unpadded convolution is up
    to 20 times slower on CPUs.
    """
    r = conv.kernel_size[0] // 2
    x = jnp.pad(x, ((0, 0), (r, r), (r, r), (0, 0)), mode="reflect")
    return conv(x)[:, r:-r, r:-r]


def upsample_bilinear(
    x: Float[Array, "batch height width channels"], axes: Sequence[int] = (1, 2)
) -> Float[Array, "batch new_height new_width channels"]:
    """Doubles height and width, bilinear with half-pixel centres (PyTorch's align_corners=False).

    Each output lies a quarter pixel from one input and three quarters from the next; beyond the border the border's
    value counts. `axes` names what is doubled: 1 is the height, 2 the width.
    """
    for axis in axes:
        length = x.shape[axis]
        before = jnp.concatenate(
            [lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, 0, length - 1, axis=axis)], axis=axis
        )
        after = jnp.concatenate(
            [lax.slice_in_dim(x, 1, length, axis=axis), lax.slice_in_dim(x, length - 1, length, axis=axis)], axis=axis
        )
        pair = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * length, *x.shape[axis + 1 :])
    return x


def upsampled_conv(
    conv: nnx.Conv, x: Float[Array, "batch height width in_features"]
) -> Float[Array, "batch doubled_height doubled_width out_features"]:
    """Applies a 3x3 convolution to the input at twice its size: `reflected_conv(conv, upsample_bilinear(x))`.

    An output of even row and column depends on the same 3x3 inputs as its neighbours of odd row or column, by weights
    that follow from the convolution's own. So one convolution of the small input with four times as many channels gives
    all four (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network", CVPR 2016), and the enlarged input is never made. It mirrors nothing at the border, where it takes
    the border's value once more; `_mirrored_lines` adds the difference.
    """
    batch, height, width, _ = x.shape
    kernel = jnp.asarray(conv.kernel[...], jnp.float32)
    out_features = kernel.shape[-1]
    # A sum of products in place of a matrix product of this shape, which would cost more kernels than the convolution.
    shares = _SHARES[:, :, :, :, None, :, :, None]
    kernels = jnp.sum(shares * kernel[:, :, None, None, :, None, None, :], axis=(0, 1))
    x = x.astype(conv.dtype)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    y = _convolve(padded, kernels.reshape(3, 3, -1, 4 * out_features))
    y = y.reshape(batch, height, width, 2, 2, out_features).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(batch, 2 * height, 2 * width, out_features)
    first, last = _mirrored_lines(x, kernel, axis=1)
    y += jnp.pad(first, ((0, 0), (0, 2 * height - 1), (0, 0), (0, 0)))
    y += jnp.pad(last, ((0, 0), (2 * height - 1, 0), (0, 0), (0, 0)))
    first, last = _mirrored_lines(x, kernel, axis=2)
    y += jnp.pad(first, ((0, 0), (0, 0), (0, 2 * width - 1), (0, 0)))
    y += jnp.pad(last, ((0, 0), (0, 0), (2 * width - 1, 0), (0, 0)))
    return y if conv.bias is None else y + conv.bias[...].astype(y.dtype)[None, None, None]


# [phase, input, weight]: how much of the input before, at and after position i reaches output 2i + phase by each weight.
_SHARES_OF_A_LINE = np.array(
    [
        [[0.75, 0.25, 0.0], [0.25, 0.75, 0.75], [0.0, 0.0, 0.25]],
        [[0.25, 0.0, 0.0], [0.75, 0.75, 0.25], [0.0, 0.25, 0.75]],
    ],
    np.float32,
)
# [weight row, weight column, input row, input column, phase of the row, phase of the column]
_SHARES = np.einsum("pik,qjl->klijpq", _SHARES_OF_A_LINE, _SHARES_OF_A_LINE)


def _mirrored_lines(x: Array, kernel: Array, *, axis: int) -> tuple[Array, Array]:
    """Return what mirroring adds to the first and last row (axis 1) or column (axis 2) of `upsampled_conv`.

    Beyond the first row of the enlarged input lies, mirrored, its second row, a quarter of the way from the input's
    first row to its second: that quarter is what repeating the first row lacks. Rows are mirrored at their ends as well;
    columns are not, since the rows have counted that.
    """
    along, last = 3 - axis, x.shape[axis] - 1
    lines = [(0, min(1, last)), (last, max(0, last - 1))]
    quarters = [0.25 * (_line(x, inner, axis) - _line(x, outer, axis)) for outer, inner in lines]
    # Both sides in one convolution, which gives each line by the weights of both; two of the four results are needed.
    weights = [lax.slice_in_dim(kernel, place, place + 1, axis=axis - 1) for place in (0, 2)]
    enlarged = upsample_bilinear(jnp.concatenate(quarters, axis=axis), axes=(along,))
    padding = [(0, 0)] * 4
    padding[along] = (1, 1)
    enlarged = jnp.pad(enlarged, padding, mode="reflect" if axis == 1 else "edge")
    y = _convolve(enlarged, jnp.concatenate(weights, axis=-1))
    out_features = kernel.shape[-1]
    return _line(y, 0, axis)[..., :out_features], _line(y, 1, axis)[..., out_features:]


def _line(x: Array, position: int, axis: int) -> Array:
    return lax.slice_in_dim(x, position, position + 1, axis=axis)


def _convolve(x: Array, kernel: Array) -> Array:
    """Convolve where the kernel fits into the input; with a border of zeros that is cut off, see `reflected_conv`."""
    padding = [(length // 2, length // 2) for length in kernel.shape[:2]]
    y = lax.conv_general_dilated(x, kernel.astype(x.dtype), (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    (top, _), (left, _) = padding
    return y[:, top : y.shape[1] - top, left : y.shape[2] - left]


def resize_bilinear_corners(
    x: Float[Array, "batch height width channels"], height: int, width: int
) -> Float[Array, "batch {height} {width} channels"]:
    """Resizes with the corner pixels of input and output on top of each other (PyTorch's align_corners=True)."""
    if x.shape[1] != height:
        weights = jnp.asarray(_corner_aligned_weights(x.shape[1], height), dtype=x.dtype)
        x = jnp.einsum("oh,bhwc->bowc", weights, x, precision=lax.Precision.HIGHEST)
    if x.shape[2] != width:
        weights = jnp.asarray(_corner_aligned_weights(x.shape[2], width), dtype=x.dtype)
        x = jnp.einsum("ow,bhwc->bhoc", weights, x, precision=lax.Precision.HIGHEST)
    return x


def _corner_aligned_weights(in_size: int, out_size: int) -> np.ndarray:
    """Row o of the [out_size in_size] matrix interpolates at o * (in_size - 1) / (out_size - 1)."""
    positions = np.linspace(0.0, in_size - 1, out_size)
    return np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(in_size)[None, :]))


class UpsamplingBlock(nnx.Module):
    """Residual pair of 3x3 convolutions, ReLU, bilinear x2, then a 3x3 convolution on a reflected border."""

    def __init__(self, in_features: int, out_features: int, *, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv1 = conv(in_features, in_features, 3, padding=1, compute_dtype=compute_dtype, rngs=rngs)
        self.bn1 = BatchNorm(in_features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv2 = conv(in_features, in_features, 3, padding=1, compute_dtype=compute_dtype, rngs=rngs)
        self.bn2 = BatchNorm(in_features, compute_dtype=compute_dtype, rngs=rngs)
        self.up_conv = conv(
            in_features,
            out_features,
            3,
            padding=1,
            use_bias=True,
            kernel_init=xavier_normal,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool, maps: str = "output"
    ) -> tuple[Float[Array, "batch doubled_height doubled_width out_features"], Float[Array, "batch _ _ _"]]:
        """Doubles the resolution; returns the output, and the map that `maps` names (`settings.DECODER_MAPS`)."""
        y = self.bn1(self.conv1(x), train=train, relu=True)
        before_norm = self.conv2(y)
        after_norm = self.bn2(before_norm, train=train)
        after_relu = add_relu(after_norm, x)
        output = upsampled_conv(self.up_conv, after_relu)
        places = {"output": output, "before_norm": before_norm, "after_norm": after_norm, "after_relu": after_relu}
        return output, places[maps]


class TextureDecoder(nnx.Module):
    """The texture of a person from the feature map f_e4.

    The 1x1 convolution has no bias (the released code's is undone by the batch normalisation that follows it).

    With `skip_features` it is the released code's U-Net: the encoder's stages 3, 2 and 1, each through a 1x1
    convolution, batch normalisation and ReLU of its own, are added to what goes into blocks 1, 2 and 3.

    Args:
        in_features: Channels of the feature map (2048 for ResNet-50).
        skip_features: Channels of the encoder's stages 1, 2 and 3 where they are skipped to the decoder, else ().
        width: Base width of the encoder, which scales the blocks alike: with 64, channels 512, 256, 64, 32, 16 (never
            fewer than 8).
        texture_size: Height and width of the texture, or both as one number.
        compute_dtype: float32 or bfloat16 for convolutions and activations; the texture is float32.
        rngs: The stream `params` draws the weights.
    """

    def __init__(
        self,
        in_features: int,
        *,
        skip_features: Sequence[int] = (),
        width: int = 64,
        texture_size: int | tuple[int, int] = 256,
        compute_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        features = [max(MIN_FEATURES, f) for f in (8 * width, 4 * width, width, width // 2, width // 4)]
        self.texture_size = (texture_size, texture_size) if isinstance(texture_size, int) else texture_size
        self.reduce_conv = conv(in_features, features[0], 1, compute_dtype=compute_dtype, rngs=rngs)
        self.reduce_bn = BatchNorm(features[0], compute_dtype=compute_dtype, rngs=rngs)
        for index in range(NUM_BLOCKS):
            block = UpsamplingBlock(features[index], features[index + 1], compute_dtype=compute_dtype, rngs=rngs)
            setattr(self, f"block{index + 1}", block)
        self.out_conv = conv(
            features[-1],
            3,
            7,
            padding=3,
            use_bias=True,
            kernel_init=xavier_normal,
            compute_dtype=compute_dtype,
            rngs=rngs,
        )
        self.num_skips = len(skip_features)
        for index, in_size in enumerate(skip_features):
            # Stage 3 joins what goes into block 1, stage 1 what goes into block 3.
            out_size = features[self.num_skips - 1 - index]
            setattr(self, f"skip{index + 1}_conv", conv(in_size, out_size, 1, compute_dtype=compute_dtype, rngs=rngs))
            setattr(self, f"skip{index + 1}_bn", BatchNorm(out_size, compute_dtype=compute_dtype, rngs=rngs))

    def __call__(
        self,
        feature_map: Float[Array, "batch height width in_features"],
        skips: Sequence[Float[Array, "batch _ _ _"]] = (),
        *,
        train: bool = False,
        maps: str = "output",
    ) -> tuple[Float[Array, "batch texture_height texture_width 3"], tuple[Float[Array, "batch _ _ _"], ...]]:
        """Decodes a feature map.

        Args:
            feature_map: The encoder's stage4, [B h w C].
            skips: The encoder's stages 1, 2 and 3 where the decoder was built for them: [B 4h 4w .], [B 2h 2w .] and
                [B h w .].
            train: Batch normalisation by the batch's statistics, the running ones are updated.
            maps: Which map of each block is returned, one of `settings.DECODER_MAPS`.

        Returns:
            The texture, float32 [B texture_height texture_width 3], about [-1, 1] but not clipped; and the outputs
            d_1..d_4 of the four blocks in the compute dtype, d_l of size [B 2^l h, 2^l w, .]. With other `maps`, what
            these name, of the size and the channels of the block's input.

        Raises:
            ValueError: `maps` is no such name; other skips than the decoder was built for, or of sizes that do not fit:
                height and width of the images are no multiples of 16.
        """
        if len(skips) != self.num_skips:
            raise ValueError(f"This decoder takes {self.num_skips} maps of the encoder, found {len(skips)}.")
        if maps not in DECODER_MAPS:
            raise ValueError(f"maps must be one of {', '.join(DECODER_MAPS)}, found {maps!r}.")
        x = self.reduce_bn(self.reduce_conv(feature_map), train=train, relu=True)
        found = []
        for index in range(NUM_BLOCKS):
            if index < self.num_skips:
                number = self.num_skips - index
                x = self._add_skip(x, number, skips[number - 1], train=train)
            x, of_block = getattr(self, f"block{index + 1}")(x, train=train, maps=maps)
            found.append(of_block)
        texture = reflected_conv(self.out_conv, x).astype(jnp.float32)
        return resize_bilinear_corners(texture, *self.texture_size), tuple(found)

    def _add_skip(
        self,
        x: Float[Array, "batch _ _ features"],
        number: int,
        stage: Float[Array, "batch _ _ _"],
        *,
        train: bool,
    ) -> Float[Array, "batch _ _ features"]:
        """Adds what the encoder's stage `number` says to a block's input."""
        if x.shape[1:3] != stage.shape[1:3]:
            found, expected = (f"{height}x{width}" for _, height, width, _ in (stage.shape, x.shape))
            raise ValueError(
                f"Stage {number} of the encoder is {found}, the decoder's map {expected}: "
                "skips need images whose height and width are multiples of 16."
            )
        conv, norm = getattr(self, f"skip{number}_conv"), getattr(self, f"skip{number}_bn")
        return x + norm(conv(stage), train=train, relu=True)
