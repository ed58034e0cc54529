"""SA-Enc as DenseNet, one of SAN-PG's encoders that section 4.3 compares, the last down-sampling removed.

torchvision's DenseNet-121; Huang et al., "Densely Connected Convolutional Networks", CVPR 2017. The third transition
does not pool, so a 256x128 image gives a 16x8x1024 feature map, of the size that the ResNets' have.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from san_jax.models.layers import BatchNorm, conv
from san_jax.models.resnet import StageOutputs, check_network, max_pool

BOTTLENECK = 4  # channels of a layer's 1x1 convolution per channel that the layer adds
# torchvision's densenet.py: kaiming_normal_ as it is by default
INIT = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class DenseLayer(nnx.Module):
    """Adds `growth` channels: batch normalisation, ReLU, 1x1 convolution, and the same with a 3x3 convolution."""

    def __init__(self, in_features: int, growth: int, *, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        features = BOTTLENECK * growth
        self.bn1 = BatchNorm(in_features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv1 = conv(in_features, features, 1, kernel_init=INIT, compute_dtype=compute_dtype, rngs=rngs)
        self.bn2 = BatchNorm(features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv2 = conv(features, growth, 3, padding=1, kernel_init=INIT, compute_dtype=compute_dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool
    ) -> Float[Array, "batch height width out_features"]:
        """Gives the input's channels and, after them, the new ones."""
        y = self.conv1(self.bn1(x, train=train, relu=True))
        y = self.conv2(self.bn2(y, train=train, relu=True))
        return jnp.concatenate([x, y], axis=-1)


class DenseBlock(nnx.Module):
    """`num_layers` dense layers (attributes layer1, layer2, ...), each of which sees what all before it gave."""

    def __init__(self, in_features: int, growth: int, num_layers: int, *, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        self.num_layers = num_layers
        for index in range(num_layers):
            layer = DenseLayer(in_features + index * growth, growth, compute_dtype=compute_dtype, rngs=rngs)
            setattr(self, f"layer{index + 1}", layer)

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool
    ) -> Float[Array, "batch height width out_features"]:
        """Adds num_layers x growth channels."""
        for index in range(self.num_layers):
            x = getattr(self, f"layer{index + 1}")(x, train=train)
        return x


class Transition(nnx.Module):
    """Batch normalisation, ReLU and a 1x1 convolution to half the channels; with `pool` the mean of 2x2 positions."""

    def __init__(self, in_features: int, *, pool: bool, compute_dtype: DTypeLike, rngs: nnx.Rngs):
        self.pool = pool
        self.bn = BatchNorm(in_features, compute_dtype=compute_dtype, rngs=rngs)
        self.conv = conv(in_features, in_features // 2, 1, kernel_init=INIT, compute_dtype=compute_dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width in_features"], *, train: bool
    ) -> Float[Array, "batch out_height out_width out_features"]:
        """Halves the channels, and height and width where it pools."""
        x = self.conv(self.bn(x, train=train, relu=True))
        if not self.pool:
            return x
        batch, height, width, features = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]  # an odd last row or column is left out, as in PyTorch
        return jnp.mean(x.reshape(batch, height // 2, 2, width // 2, 2, features), axis=(2, 4))


class DenseNet(nnx.Module):
    """DenseNet-121 by default (7.0 M parameters without classifier), float32 parameters, NHWC.

    Its stages, as `StageOutputs` has them: the stem after max-pooling; the first three dense blocks, before the
    transitions' normalisation; the fourth after the last normalisation and ReLU. With the sizes of DenseNet-121 these
    have 1, 4, 8, 16 and 16 times `width` channels.

    Args:
        width: Channels of the stem, twice what each layer adds; 64 is the real DenseNet-121.
        stage_sizes: Layers in each dense block: (6, 12, 24, 16) for DenseNet-121.
        compute_dtype: float32 or bfloat16 for convolutions and activations; batch statistics stay float32.
        rngs: The stream `params` draws the weights.

    Raises:
        ValueError: `stage_sizes` has not four positive entries, or width is less than 2.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        stage_sizes: Sequence[int] = (6, 12, 24, 16),
        compute_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_network(width, stage_sizes, least_width=2)
        growth = width // 2
        self.compute_dtype = compute_dtype
        self.conv0 = conv(3, width, 7, strides=2, padding=3, kernel_init=INIT, compute_dtype=compute_dtype, rngs=rngs)
        self.bn0 = BatchNorm(width, compute_dtype=compute_dtype, rngs=rngs)
        features, stage_features = width, []
        for num_layers in stage_sizes:  # a transition halves the channels between two blocks
            features = (features // 2 if stage_features else width) + num_layers * growth
            stage_features.append(features)
        self.stage_features = tuple(stage_features)
        self.out_features = features

        def block(number: int, in_features: int) -> DenseBlock:
            return DenseBlock(in_features, growth, stage_sizes[number - 1], compute_dtype=compute_dtype, rngs=rngs)

        def transition(in_features: int, *, pool: bool) -> Transition:
            return Transition(in_features, pool=pool, compute_dtype=compute_dtype, rngs=rngs)

        self.block1 = block(1, width)
        self.transition1 = transition(stage_features[0], pool=True)
        self.block2 = block(2, stage_features[0] // 2)
        self.transition2 = transition(stage_features[1], pool=True)
        self.block3 = block(3, stage_features[1] // 2)
        # The ImageNet network pools here as well; without, f_e4 stays at 16x8.
        self.transition3 = transition(stage_features[2], pool=False)
        self.block4 = block(4, stage_features[2] // 2)
        self.bn5 = BatchNorm(features, compute_dtype=compute_dtype, rngs=rngs)

    def __call__(self, images: Float[Array, "batch height width 3"], *, train: bool = False) -> StageOutputs:
        """Encodes ImageNet-normalised images; returns the output of every stage (unused ones cost nothing in jit)."""
        stem = max_pool(self.bn0(self.conv0(images), train=train, relu=True))
        stage1 = self.block1(stem, train=train)
        stage2 = self.block2(self.transition1(stage1, train=train), train=train)
        stage3 = self.block3(self.transition2(stage2, train=train), train=train)
        stage4 = self.block4(self.transition3(stage3, train=train), train=train)
        return StageOutputs(stem, stage1, stage2, stage3, self.bn5(stage4, train=train, relu=True))
