"""Everything about a network and its training that a run may choose, each with its default.

The config of a training run is made of these dataclasses (`experiments/configs/base.py`). Standard library only, so
that reading a config loads no JAX.
"""

import dataclasses
import math

ENCODER_NAMES = ("resnet50", "resnet101", "densenet121")
TRIPLET_SCOPES = ("auto", "local", "global")
DECODER_MAPS = ("output", "before_norm", "after_norm", "after_relu")
COLOUR_SPACES = ("rgb", "opponent")
POOLINGS = ("average", "gem")
COMPUTE_DTYPES = ("float32", "bfloat16")
OPTIMIZERS = ("amsgrad", "adam")
SCHEDULES = ("released", "cosine")


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The networks: encoder, pooling, head and decoder.

    Attributes:
        encoder: Network of the encoder: "resnet50", "resnet101" or "densenet121".
        width: Base number of channels of encoder and decoder; 64 is the real network.
        stage_sizes: Number of blocks in each stage of the encoder; () for those of the real network.
        texture_size: Height and width of the textures that the decoder regresses, pixels.
        skips: U-Net skips from the encoder into the decoder, as in the released code.
        feature_size: Length of the embedding, made by a fully connected layer (512 in the released code); 0 for no layer.
        pooling: How the feature map is pooled: "average", or "gem" for the generalised mean.
        bnneck: Put a batch normalisation between triplet loss and classifier; its output is the embedding at test.
        compute_dtype: Type of convolutions and activations: "float32" or "bfloat16".

    Raises:
        ValueError: A name that is not known, or a size out of range.
    """

    encoder: str = "resnet50"
    width: int = 64
    stage_sizes: tuple[int, ...] = ()
    texture_size: int = 256
    skips: bool = False
    feature_size: int = 0
    pooling: str = "average"
    bnneck: bool = False
    compute_dtype: str = "float32"

    def __post_init__(self) -> None:
        _check_choice("encoder", self.encoder, ENCODER_NAMES)
        _check_choice("pooling", self.pooling, POOLINGS)
        _check_choice("compute_dtype", self.compute_dtype, COMPUTE_DTYPES)
        if self.width < 1:
            raise ValueError(f"width must be at least 1, found {self.width}.")
        if self.texture_size < 2:
            raise ValueError(f"texture_size must be at least 2 pixels, found {self.texture_size}.")
        if self.feature_size < 0:
            raise ValueError(
                f"feature_size must be the embedding's size or 0 for the encoder's, found {self.feature_size}."
            )


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """Weights and constants of the losses; the defaults are the paper's, but for `triplet_reid_channels`.

    Attributes:
        identification: Weight of L_ID (the paper's lambda_1).
        triplet: Weight of L_Triplet (lambda_2).
        reconstruction: Weight of L_Rec (lambda_3), on reID and on PIT batches.
        reconstruction_space: Colours whose differences L_Rec takes: "rgb", or "opponent", luminance and two chroma axes
            (`losses.reconstruction_loss`).
        reconstruction_chroma: With "opponent": weight of the chroma axes beside luminance's 1.
        triplet_reid: Weight of L_TR (lambda_4).
        label_smoothing: Label smoothing of L_ID, in [0, 1); 0.1 in the released code.
        triplet_margin: Margin of L_Triplet.
        triplet_reid_margin: Margin of L_TR.
        triplet_reid_channels: "sum" over channels, as in the paper's equation 1, or "mean", as in the released code,
            which was better on Market-1501 at small scale (docs/ablation.md).
        triplet_reid_blocks: The decoder blocks, counted from 1, whose L_TR are added up: the first three of the four in
            the paper, all four in the released code.
        triplet_reid_sampling: "random" draws a positive and a negative for every image and takes the mean over the
            images (the paper draws them too, but leaves open which images are anchors). "fixed" takes the released
            code's places in a batch of 4 consecutive images of each identity, and the sum over the anchors
            (`losses.fixed_triplets`).
        triplet_reid_scope: Where an image's positive and negative are taken from. "global": the whole batch; decoder
            maps are then sent between devices, and the memory that this takes grows with their number. "local": the
            images on the same device, of which two whole identities at least must be there. "auto": "local" on several
            devices where that is so, else "global". On one device all are the same.
        triplet_reid_warmup_epochs: Epochs at the start of the run in which the weight of L_TR rises from 0 to
            `triplet_reid`, in a straight line.
        triplet_reid_normalize: Scale the vector of channels at every position of a decoder map to length 1 before
            distances are taken, so that L_TR compares directions alone. A squared distance is then at most 4, with
            "mean" 4 divided by the channels: "sum" suits the margin of 0.3.
        triplet_reid_stop_gradient: Let L_TR train the decoder alone: the other modules get no gradient from it.
        triplet_reid_cross_camera: Draw positives from images by another camera only. An image without one is no anchor:
            the mean is over those that are left, and 0 without any. Batches then need a `camera_id`.
        triplet_reid_block_weights: Weight of each of `triplet_reid_blocks`, in their order; () for 1 each.
        triplet_reid_maps: What L_TR compares of a block. "output": the block's output d_l, which the paper names; it
            comes straight from a convolution. "before_norm", "after_norm": the input and the output of the block's last
            batch normalisation, before the shortcut. "after_relu": the sum of that and the shortcut after the ReLU.
            These three have the size and the channels of the block's input.

    Raises:
        ValueError: A name that is not known, a number out of range, or a decoder block that does not exist or is named
            twice.
    """

    identification: float = 0.5
    triplet: float = 1.5
    reconstruction: float = 1.0
    reconstruction_space: str = "rgb"
    reconstruction_chroma: float = 1.0
    triplet_reid: float = 1.0
    label_smoothing: float = 0.0
    triplet_margin: float = 0.3
    triplet_reid_margin: float = 0.3
    triplet_reid_channels: str = "mean"
    triplet_reid_blocks: tuple[int, ...] = (1, 2, 3)
    triplet_reid_sampling: str = "random"
    triplet_reid_scope: str = "auto"
    triplet_reid_warmup_epochs: float = 0.0
    triplet_reid_normalize: bool = False
    triplet_reid_stop_gradient: bool = False
    triplet_reid_cross_camera: bool = False
    triplet_reid_block_weights: tuple[float, ...] = ()
    triplet_reid_maps: str = "output"

    def __post_init__(self) -> None:
        for name in ("identification", "triplet", "reconstruction", "triplet_reid"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is the weight of a loss, 0 or more, found {getattr(self, name)}.")
        _check_choice("reconstruction_space", self.reconstruction_space, COLOUR_SPACES)
        if self.reconstruction_chroma != 1.0 and self.reconstruction_space != "opponent":
            raise ValueError("reconstruction_chroma needs reconstruction_space='opponent'.")
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must lie in 0..1, 1 excluded, found {self.label_smoothing}.")
        for name in ("reconstruction_chroma", "triplet_margin", "triplet_reid_margin"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, found {getattr(self, name)}.")
        if not 0.0 <= self.triplet_reid_warmup_epochs < math.inf:
            raise ValueError(
                f"triplet_reid_warmup_epochs must be 0 or more epochs, found {self.triplet_reid_warmup_epochs}."
            )
        blocks = self.triplet_reid_blocks
        if not set(blocks) <= {1, 2, 3, 4} or len(set(blocks)) < len(blocks):
            raise ValueError(f"triplet_reid_blocks must be different numbers among 1, 2, 3, 4, found {blocks}.")
        weights = self.triplet_reid_block_weights
        if weights and not (len(weights) == len(blocks) and all(0.0 <= w < math.inf for w in weights) and any(weights)):
            raise ValueError(
                "triplet_reid_block_weights must be a weight of 0 or more for each of triplet_reid_blocks, not all 0, "
                f"found {weights} for blocks {blocks}."
            )
        if self.triplet_reid_sampling not in ("random", "fixed"):
            raise ValueError(
                f"triplet_reid_sampling must be 'random' or 'fixed', found {self.triplet_reid_sampling!r}."
            )
        _check_choice("triplet_reid_scope", self.triplet_reid_scope, TRIPLET_SCOPES)
        _check_choice("triplet_reid_maps", self.triplet_reid_maps, DECODER_MAPS)
        if self.triplet_reid_channels not in ("sum", "mean"):  # now, not when the first step is traced
            raise ValueError(f"triplet_reid_channels must be 'sum' or 'mean', found {self.triplet_reid_channels!r}.")


@dataclasses.dataclass(frozen=True)
class AugmentSettings:
    """How images are augmented; the defaults are the released recipe for reID images.

    Cropping makes partial images from whole ones. The paper's section 4.6 gives no rule; this one is ours: a random
    window of whole pixels is stretched to the image's size, as evaluation stretches the images of a partial benchmark.
    Its height and width are drawn as fractions of the image's, its position uniformly. The other augmentations then act
    on it as on any image.

    Attributes:
        crop_probability: Probability of replacing the image by a random window of it.
        crop_height: Smallest and largest height of the window, as fractions of the image's; uniform between.
        crop_width: Smallest and largest width of the window, drawn independently of the height.
        translate_probability: Probability of enlarging by `enlargement` and cropping at random to the old size.
        enlargement: Factor of height and width.
        flip_probability: Probability of mirroring left and right.
        erase_probability: Probability of erasing a random rectangle.
        erase_area: Smallest and largest area of the rectangle, as fractions of the image's.
        erase_aspect: Smallest and largest height / width of the rectangle.
        erase_fill: RGB that the rectangle is filled with, in normalised units: 0 is the ImageNet mean. (The released
            code writes the numbers 0.485, 0.456, 0.406 into the normalised image.)
        recolor_probability: Probability of recolouring the image and its target (texture, frontal view, the image
            itself) alike: channels permuted, hue turned by any angle, a factor of the saturation, a gamma for each
            channel (`san_jax.data.recolor`), drawn for each image by itself. Textures then have hues that were never
            rendered; neither the paper nor the released code does it. It is meant for PIT: of reID images, two of one
            person get different colours.
        recolor_gamma: Largest gamma of a channel; the smallest is its reciprocal.
        recolor_saturation: Largest factor of the saturation; the smallest is its reciprocal.
        mirror_textures: Mirror the texture of a flipped image, as the UV mirror map says. Neither the paper nor the
            released code does it, although the texture of a mirrored person is mirrored.

    Raises:
        ValueError: A number out of range.
    """

    crop_probability: float = 0.0
    crop_height: tuple[float, float] = (0.4, 1.0)
    crop_width: tuple[float, float] = (0.5, 1.0)
    translate_probability: float = 0.5
    enlargement: float = 1.125
    flip_probability: float = 0.5
    erase_probability: float = 0.5
    erase_area: tuple[float, float] = (0.02, 0.4)
    erase_aspect: tuple[float, float] = (0.3, 1.0 / 0.3)
    erase_fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    recolor_probability: float = 0.0
    recolor_gamma: float = 1.5
    recolor_saturation: float = 1.0
    mirror_textures: bool = False

    def __post_init__(self) -> None:
        for name in (
            "crop_probability",
            "translate_probability",
            "flip_probability",
            "erase_probability",
            "recolor_probability",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie in 0..1, found {getattr(self, name)}.")
        for name in ("crop_height", "crop_width"):
            window = getattr(self, name)
            if not (len(window) == 2 and 0.0 < window[0] <= window[1] <= 1.0):
                raise ValueError(f"{name} must be (low, high) with 0 < low <= high <= 1, found {window}.")
        if self.enlargement < 1.0:
            raise ValueError(f"enlargement must be at least 1 (a crop must fit inside), found {self.enlargement}.")
        if not 0.0 < self.erase_area[0] <= self.erase_area[1] <= 1.0:
            raise ValueError(f"erase_area must be (low, high) with 0 < low <= high <= 1, found {self.erase_area}.")
        if not 0.0 < self.erase_aspect[0] <= self.erase_aspect[1]:
            raise ValueError(f"erase_aspect must be (low, high) with 0 < low <= high, found {self.erase_aspect}.")
        for name in ("recolor_gamma", "recolor_saturation"):
            if not 1.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 1 (1: no change), found {getattr(self, name)}.")
        if len(self.erase_fill) != 3:
            raise ValueError(f"erase_fill must be three numbers, red, green and blue, found {self.erase_fill}.")


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """The optimizer and its learning rate over the run.

    Attributes:
        name: "amsgrad" or "adam".
        schedule: "released" halves the rate every `halve_every_epochs`, "cosine" lowers it to 0 at the end of the run.
        learning_rate: The full rate, which the warm-up ends with.
        warmup_epochs: Epochs in which the rate rises to the full one.
        warmup_start: Rate of the first epoch of the warm-up of "released", as a fraction of the full one.
        warmup_factor: Factor from one epoch of that warm-up to the next. "cosine" warms up linearly.
        halve_every_epochs: Epochs after the warm-up between halvings of the rate, for "released".
        weight_decay: L2 penalty, added to the gradient.
        gradient_clip_norm: Largest global norm of a gradient; longer ones are scaled down to it. 0: no limit.
        b1: Decay of Adam's mean of gradients.
        b2: Decay of Adam's mean of squared gradients.
        eps: Added to Adam's denominator.
        alternating: Use the released code's two optimizers: first one for the reID losses, then an Adam for L_Rec and
            L_TR.
        reconstruction_learning_rate: Learning rate of that Adam.
        reconstruction_b1: Its decay of the mean of gradients.

    Raises:
        ValueError: A name that is not known, or a number out of range.
    """

    name: str = "amsgrad"
    schedule: str = "released"
    learning_rate: float = 8e-4
    warmup_epochs: float = 20.0
    warmup_start: float = 0.01
    warmup_factor: float = 1.259
    halve_every_epochs: float = 40.0
    weight_decay: float = 5e-4
    gradient_clip_norm: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    alternating: bool = False
    reconstruction_learning_rate: float = 1e-5
    reconstruction_b1: float = 0.5

    def __post_init__(self) -> None:
        _check_choice("name", self.name, OPTIMIZERS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        if self.warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must not be negative, found {self.warmup_epochs}.")
        if self.halve_every_epochs <= 0:
            raise ValueError(f"halve_every_epochs must be positive, found {self.halve_every_epochs}.")
        if self.schedule == "released":  # its rate is constant within an epoch
            for name in ("warmup_epochs", "halve_every_epochs"):
                if getattr(self, name) != int(getattr(self, name)):
                    raise ValueError(
                        f"{name} must be a whole number for schedule='released', found {getattr(self, name)}."
                    )
        if self.gradient_clip_norm < 0:
            raise ValueError(f"gradient_clip_norm must be a norm, or 0 for no limit, found {self.gradient_clip_norm}.")


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, found {value!r}.")
