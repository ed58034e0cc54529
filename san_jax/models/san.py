"""The Semantics Aligning Network: SA-Enc, the reID feature and its classifier, SA-Dec (section 3.2, Figure 2).

Without classifier it is SAN-PG, the generator of pseudo textures (section 3.3); without decoder it is the baseline.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from san_jax.models.decoder import TextureDecoder
from san_jax.models.resnet import ResNet


class SANOutput(NamedTuple):
    """What a forward pass gives.

    feature_map: f_e4 in the compute dtype, [B H/16 W/16 32 width].
    embedding: the reID feature f, its mean over positions, float32 [B 32 width].
    logits: float32 [B num_classes]; None without classifier.
    texture: float32 [B texture_size texture_size 3], about [-1, 1]; None without decoder.
    decoder_maps: d_1..d_4 in the compute dtype, [B 2^l H/16, 2^l W/16, .]; () without decoder.
    """

    feature_map: Array
    embedding: Array
    logits: Array | None
    texture: Array | None
    decoder_maps: tuple[Array, ...]


class SAN(nnx.Module):
    """SAN, SAN-PG (`num_classes=0`) and the baseline (`decoder=False`). Parameters are float32 always.

    Whether batch normalisation uses the batch's statistics is an argument of each call, not a state of the module. See
    `san_jax.models.functional` for its use under `jax.jit`.

    Args:
      num_classes: identities the classifier tells apart; 0 for none.
      width: base width; 64 makes the encoder the real ResNet-50 and scales the decoder alike.
      stage_sizes: bottlenecks per stage; (3, 4, 6, 3) is ResNet-50.
      texture_size: height and width of the texture.
      decoder: whether to build SA-Dec.
      compute_dtype: float32 or bfloat16 for convolutions and activations.
      rngs: the stream `params` draws the weights: torchvision's for the encoder, normal(0, 0.01) and a zero bias for
        the classifier as in torchreid (the released code).

    Raises:
      ValueError: num_classes or texture_size out of range, or see `ResNet`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        width: int = 64,
        stage_sizes: Sequence[int] = (3, 4, 6, 3),
        texture_size: int = 256,
        decoder: bool = True,
        compute_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if num_classes < 0:
            raise ValueError(f"num_classes must be the number of training identities or 0, found {num_classes}.")
        if texture_size < 2:
            raise ValueError(f"texture_size must be at least 2 pixels, found {texture_size}.")
        self.encoder = ResNet(width=width, stage_sizes=stage_sizes, compute_dtype=compute_dtype, rngs=rngs)
        self.embedding_size = self.encoder.out_features
        self.classifier = (
            nnx.Linear(
                self.embedding_size,
                num_classes,
                kernel_init=nnx.initializers.normal(0.01),
                dtype=jnp.float32,
                param_dtype=jnp.float32,
                rngs=rngs,
            )
            if num_classes
            else None
        )
        self.decoder = (
            TextureDecoder(
                self.embedding_size, width=width, texture_size=texture_size, compute_dtype=compute_dtype, rngs=rngs
            )
            if decoder
            else None
        )

    def __call__(self, images: Float[Array, "batch height width 3"], *, train: bool = False) -> SANOutput:
        """Encoder, classifier and decoder, as far as they were built.

        Args:
          images: ImageNet-normalised (`san_jax.data.augment.normalize_images`); height and width at least 32, so that
            the decoder has a border to mirror.
          train: batch normalisation by the batch's statistics, the running ones are updated.
        """
        feature_map, embedding = self.encode(images, train=train)
        logits = None if self.classifier is None else self.classifier(embedding)
        texture, decoder_maps = (None, ()) if self.decoder is None else self.decode(feature_map, train=train)
        return SANOutput(feature_map, embedding, logits, texture, decoder_maps)

    def encode(
        self, images: Float[Array, "batch height width 3"], *, train: bool = False
    ) -> tuple[Float[Array, "batch map_height map_width features"], Float[Array, "batch features"]]:
        """The encoder alone, all that inference needs: feature map and float32 embedding.

        Raises:
          TypeError: the images are not floats, so they cannot have been normalised.
        """
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(
                f"SAN expects ImageNet-normalised float images, found {images.dtype}: "
                "pass them through san_jax.data.augment.normalize_images first."
            )
        feature_map = self.encoder(images, train=train).stage4
        return feature_map, jnp.mean(feature_map.astype(jnp.float32), axis=(1, 2))

    def decode(
        self, feature_map: Float[Array, "batch map_height map_width features"], *, train: bool = False
    ) -> tuple[Float[Array, "batch texture_height texture_width 3"], tuple[Float[Array, "batch _ _ _"], ...]]:
        """The decoder alone: texture and the outputs of its four blocks (see `TextureDecoder`).

        Raises:
          ValueError: the model was built without decoder.
        """
        if self.decoder is None:
            raise ValueError("This SAN has no decoder: build it with decoder=True.")
        return self.decoder(feature_map, train=train)
