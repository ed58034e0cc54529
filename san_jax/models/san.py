"""The Semantics Aligning Network: SA-Enc, the reID feature and its classifier, SA-Dec (section 3.2, Figure 2).

Without classifier it is SAN-PG, which regresses pseudo textures (sections 3.1 and 3.2, step 1); without decoder it is
the baseline.

By default it is the paper's. The released code has U-Net skips (`skips`) and a fully connected layer on the pooled
feature (`feature_size=512`); generalised-mean pooling (`pooling="gem"`) and a batch normalisation between triplet loss
and classifier (`bnneck`) are later work's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from san_jax.models.decoder import TextureDecoder
from san_jax.models.densenet import DenseNet
from san_jax.models.layers import BatchNorm, FullyConnectedHead, GeneralizedMean
from san_jax.models.resnet import ResNet, StageOutputs
from san_jax.settings import POOLINGS

# Networks by name, and the blocks in each of their stages.
ENCODERS: dict[str, tuple[type[ResNet] | type[DenseNet], tuple[int, int, int, int]]] = {
    "resnet50": (ResNet, (3, 4, 6, 3)),
    "resnet101": (ResNet, (3, 4, 23, 3)),
    "densenet121": (DenseNet, (6, 12, 24, 16)),
}


class SANOutput(NamedTuple):
    """The result of a forward pass. C is the encoder's channels (32 width for the ResNets), D the embedding's size.

    Attributes:
        feature_map: f_e4 in the compute dtype, [B H/16 W/16 C].
        embedding: The reID feature f that the triplet loss takes, float32 [B D].
        logits: float32 [B num_classes]; None without classifier.
        texture: float32 [B texture_height texture_width 3], about [-1, 1]; None without decoder.
        decoder_maps: d_1..d_4 in the compute dtype, [B 2^l H/16, 2^l W/16, .], or the maps of the blocks that were asked
            for (`TextureDecoder`); () without decoder.
        test_embedding: What images are compared by at inference, float32 [B D]: with `bnneck` the normalised f that the
            classifier takes, else f.
    """

    feature_map: Array
    embedding: Array
    logits: Array | None
    texture: Array | None
    decoder_maps: tuple[Array, ...]
    test_embedding: Array


class SAN(nnx.Module):
    """SAN, SAN-PG (`num_classes=0`) and the baseline (`decoder=False`). Parameters are float32 always.

    Whether batch normalisation uses the batch's statistics is an argument of each call, not a state of the module. See
    `san_jax.models.functional` for its use under `jax.jit`.

    Its modules, as far as they were built: encoder, classifier, decoder; pooling (with "gem"), head (with
    feature_size), neck (with bnneck).

    Args:
        num_classes: Number of identities that the classifier tells apart; 0 for no classifier.
        encoder: "resnet50", "resnet101" or "densenet121".
        width: Base width; 64 makes the encoder the real network and scales the decoder alike.
        stage_sizes: Blocks per stage; () for those of the encoder's name.
        texture_size: Height and width of the texture, or both as one number.
        decoder: Whether to build SA-Dec.
        skips: Whether the decoder sees the encoder's stages 1 to 3 too, as in the released code; height and width of
            the images must then be multiples of 16.
        feature_size: n > 0 for a fully connected layer, batch normalisation and ReLU on the pooled feature: f has n
            numbers (512 in the released code). 0: f is the pooled feature.
        pooling: "average" over positions, or "gem", see `GeneralizedMean`.
        bnneck: Luo et al., "Bag of Tricks and A Strong Baseline for Deep Person Re-identification", CVPRW 2019: the
            classifier, without bias, takes f after a batch normalisation without bias, and so does inference; the
            triplet loss takes f.
        compute_dtype: float32 or bfloat16 for convolutions and activations; from the pooling on it is always float32.
        rngs: The stream `params` draws the weights: torchvision's initialisation for the encoder, normal(0, 0.01) and a
            zero bias for the classifier as in torchreid (the released code).

    Raises:
        ValueError: num_classes, texture_size or feature_size is out of range, the encoder or pooling is unknown, there
            are skips without decoder, or see `ResNet`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        encoder: str = "resnet50",
        width: int = 64,
        stage_sizes: Sequence[int] = (),
        texture_size: int | tuple[int, int] = 256,
        decoder: bool = True,
        skips: bool = False,
        feature_size: int = 0,
        pooling: str = "average",
        bnneck: bool = False,
        compute_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        _check(num_classes, encoder, texture_size, feature_size, pooling)
        if skips and not decoder:
            raise ValueError("skips lead into the decoder: build it with decoder=True, or leave skips out.")
        network, sizes = ENCODERS[encoder]
        sizes = tuple(stage_sizes) or sizes
        self.encoder = network(width=width, stage_sizes=sizes, compute_dtype=compute_dtype, rngs=rngs)
        features = self.encoder.out_features
        self.embedding_size = feature_size or features
        self.classifier = (
            _classifier(self.embedding_size, num_classes, use_bias=not bnneck, rngs=rngs) if num_classes else None
        )
        self.decoder = (
            TextureDecoder(
                features,
                skip_features=self.encoder.stage_features[:3] if skips else (),
                width=width,
                texture_size=texture_size,
                compute_dtype=compute_dtype,
                rngs=rngs,
            )
            if decoder
            else None
        )
        self.skips = skips
        # After the others, which then draw the same weights with and without them.
        self.pooling = GeneralizedMean() if pooling == "gem" else None
        self.head = FullyConnectedHead(features, feature_size, rngs=rngs) if feature_size else None
        self.neck = (
            BatchNorm(self.embedding_size, use_bias=False, compute_dtype=jnp.float32, rngs=rngs) if bnneck else None
        )

    def __call__(
        self, images: Float[Array, "batch height width 3"], *, train: bool = False, maps: str = "output"
    ) -> SANOutput:
        """Run encoder, classifier and decoder, as far as they were built.

        Args:
            images: ImageNet-normalised (`san_jax.data.augment.normalize_images`); height and width at least 32, so that
                the decoder has a border to mirror.
            train: Normalise by the batch's statistics, and update the running ones.
            maps: Which map of each decoder block becomes `decoder_maps`, one of `settings.DECODER_MAPS`.
        """
        stages = self._encode(images, train=train)
        embedding, test_embedding = self.embed(stages.stage4, train=train)
        logits = None if self.classifier is None else self.classifier(test_embedding)
        texture, decoder_maps = None, ()
        if self.decoder is not None:
            skips = (stages.stage1, stages.stage2, stages.stage3) if self.skips else ()
            texture, decoder_maps = self.decode(stages.stage4, skips, train=train, maps=maps)
        return SANOutput(stages.stage4, embedding, logits, texture, decoder_maps, test_embedding)

    def encode(
        self, images: Float[Array, "batch height width 3"], *, train: bool = False
    ) -> tuple[Float[Array, "batch map_height map_width channels"], Float[Array, "batch features"]]:
        """Return all that inference needs: the feature map and the float32 embedding to compare by (`test_embedding`).

        Raises:
            TypeError: The images are not floats, so they cannot have been normalised.
        """
        feature_map = self._encode(images, train=train).stage4
        return feature_map, self.embed(feature_map, train=train)[1]

    def embed(
        self, feature_map: Float[Array, "batch map_height map_width channels"], *, train: bool = False
    ) -> tuple[Float[Array, "batch features"], Float[Array, "batch features"]]:
        """Return f and what the classifier and inference take (`embedding`, `test_embedding`), computed from f_e4."""
        if self.pooling is None:
            embedding = jnp.mean(feature_map.astype(jnp.float32), axis=(1, 2))
        else:
            embedding = self.pooling(feature_map)
        if self.head is not None:
            embedding = self.head(embedding, train=train)
        return embedding, embedding if self.neck is None else self.neck(embedding, train=train)

    def decode(
        self,
        feature_map: Float[Array, "batch map_height map_width channels"],
        skips: Sequence[Float[Array, "batch _ _ _"]] = (),
        *,
        train: bool = False,
        maps: str = "output",
    ) -> tuple[Float[Array, "batch texture_height texture_width 3"], tuple[Float[Array, "batch _ _ _"], ...]]:
        """Run the decoder alone: texture and the maps of its four blocks (see `TextureDecoder`).

        Raises:
            ValueError: The model was built without decoder, or see `TextureDecoder`.
        """
        if self.decoder is None:
            raise ValueError("This SAN has no decoder: build it with decoder=True.")
        return self.decoder(feature_map, skips, train=train, maps=maps)

    def _encode(self, images: Array, *, train: bool) -> StageOutputs:
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(
                f"SAN expects ImageNet-normalised float images, found {images.dtype}: "
                "pass them through san_jax.data.augment.normalize_images first."
            )
        return self.encoder(images, train=train)


def _check(
    num_classes: int, encoder: str, texture_size: int | tuple[int, int], feature_size: int, pooling: str
) -> None:
    if num_classes < 0:
        raise ValueError(f"num_classes must be the number of training identities or 0, found {num_classes}.")
    if encoder not in ENCODERS:
        raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, found {encoder!r}.")
    if min((texture_size,) if isinstance(texture_size, int) else texture_size) < 2:
        raise ValueError(f"texture_size must be at least 2 pixels, found {texture_size}.")
    if feature_size < 0:
        raise ValueError(f"feature_size must be the embedding's size or 0 for the encoder's, found {feature_size}.")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, found {pooling!r}.")


def _classifier(features: int, num_classes: int, *, use_bias: bool, rngs: nnx.Rngs) -> nnx.Linear:
    return nnx.Linear(
        features,
        num_classes,
        use_bias=use_bias,
        kernel_init=nnx.initializers.normal(0.01),
        dtype=jnp.float32,
        param_dtype=jnp.float32,
        rngs=rngs,
    )
