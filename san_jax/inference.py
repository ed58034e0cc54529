"""Trained networks for other programs: encoders and texture regressors that take images as a program has them.

    encoder = san_jax.load_encoder("runs/san")
    embeddings = encoder(images)

Images are resized as the evaluation resizes them, and computed in batches of one size on all devices of this machine,
as `python -m experiments.evaluate` does: the embeddings are the same to the bit.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from san_jax import batch_norm, embed, embedding_files, files, onnx_file, pictures, pretrained, run_folder
from san_jax.calibration import Calibration, CalibrationError, SamePerson
from san_jax.calibration import read as read_calibration
from san_jax.models import SAN, merge_model, parameter_digest, skeleton, split_model, weights, with_weights
from san_jax.models.weights import encoders, exported, released
from san_jax.ranking.distances import paired_distances
from san_jax.runtimes import JAX, ONNX, RUNTIMES
from san_jax.settings import ModelSettings
from san_jax.typing import Array

IMAGE_SIZE = (256, 128)  # height and width where a file does not say them: the paper's
CARD = "model_card.json"  # beside an exported encoder

Picture: TypeAlias = Array | Image.Image | str | os.PathLike[str]
Images: TypeAlias = Array | Iterable[Picture]


@dataclasses.dataclass(frozen=True, eq=False)
class Regressor:
    """A network with a decoder: images -> what it regresses from them, textures as a rule.

    Attributes:
        model: The network.
        image_size: Height and width that images are resized to.
        texture_size: Height and width of the results.
        is_texture: Whether the results lie on the UV square; else they are images of persons.
        batch_size: Number of images computed at a time. Fewer are padded to it, so that nothing is compiled twice.
    """

    model: SAN
    image_size: tuple[int, int]
    texture_size: tuple[int, int]
    is_texture: bool
    batch_size: int = embed.BATCH_SIZE

    def __call__(self, images: Images) -> UInt8[np.ndarray, "count texture_height texture_width 3"]:
        """Regress a texture from each image.

        Args:
            images: As in `Encoder`.

        Returns:
            uint8 RGB [N, texture_size, 3].

        Raises:
            ValueError: As in `Encoder`.
        """
        return np.concatenate(list(self.regress(_batches(images, self.image_size, self.batch_size))))

    def regress(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[np.ndarray]:
        """Yield the textures of batches of images, see `san_jax.embed.regress_batches`."""
        return embed.regress_batches(self._placed, batches)

    @functools.cached_property
    def _placed(self) -> embed.PlacedModel:
        return embed.place(self.model, embed.machine_mesh())


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A network that embeds images of persons.

    Attributes:
        model: The network.
        image_size: Height and width that images are resized to.
        metric: The distance that the network was made for, "euclidean" or "cosine".
        san_pg: What regresses the texture that is embedded in place of an image; None if images are embedded.
        batch_size: Number of images computed at a time. With JAX fewer are padded to it, so that nothing is compiled
            twice.
        runtime: "jax", or "onnx" for onnxruntime on the CPU, in float32.
        step: The step of the run's checkpoint; None for other sources.
        calibrated_in: Folder of its calibration: the run's, or that of an exported encoder; None for other sources.
    """

    model: SAN
    image_size: tuple[int, int]
    metric: str = "euclidean"
    san_pg: Regressor | None = None
    batch_size: int = embed.BATCH_SIZE
    runtime: str = JAX
    step: int | None = None
    calibrated_in: pathlib.Path | None = None

    @property
    def embedding_size(self) -> int:
        """The number of numbers in an embedding."""
        return self.model.embedding_size

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the images that are taken in; those of SAN-PG where its textures are embedded."""
        return self.image_size if self.san_pg is None else self.san_pg.image_size

    def __call__(self, images: Images, *, flip: bool = False) -> Float32[np.ndarray, "count dim"]:
        """Embed images.

        Args:
            images: uint8 RGB [N H W 3] of any size, or a list of arrays uint8 [H W 3], of Pillow's images or of paths
                of picture files. Pictures are taken by the rules of `san_jax.pictures`.
            flip: Average with the embeddings of the images mirrored left to right.

        Returns:
            float32 [N, embedding_size].

        Raises:
            ValueError: There are no images; one has another dtype or shape, or its file cannot be read (the message
                names it); or the network's weights are not finite.
        """
        return np.concatenate(list(self.stream(_batches(images, self.input_size, self.batch_size), flip=flip)))

    def stream(self, batches: Iterable[Mapping[str, Any]], *, flip: bool = False) -> Iterator[np.ndarray]:
        """Embed batches as they come, in bounded memory.

        Args:
            batches: Batches of one size, a multiple of the number of devices, of images at `input_size`: `image`, uint8
                RGB [B H W 3], and `valid`, bool [B], False in rows to leave out. Each has a valid row.
            flip: Average with the embeddings of the images mirrored left to right.

        Yields:
            float32 [valid rows, embedding_size] for each batch.

        Raises:
            ValueError: There are no batches, or the network's weights are not finite.
        """
        if self.san_pg is not None:
            batches = self._texture_batches(self.san_pg.regress(batches))
        if self.runtime == ONNX:
            return onnx_file.embed_batches(self._onnx, batches, flip=flip)
        return embed.stream_batches(self._placed, batches, flip=flip)

    def reestimated(self, images: Images, *, seed: int = 0) -> "Encoder":
        """Return this encoder with the BatchNorm statistics of given images, see `san_jax.batch_norm`.

        Args:
            images: Images as in `Encoder`, at least two; some hundreds or more of the place where it will be used.
            seed: Seed of the order in which they are put into batches.

        Raises:
            ValueError: As in `Encoder`, there are fewer than two images, or this encoder embeds SAN-PG's textures.
        """
        if self.san_pg is not None:
            raise ValueError("statistics cannot be re-estimated for an encoder of textures that a SAN-PG regresses.")
        items = _as_list(images)
        batches = (
            np.stack([_resized(items[i], f"images[{i}]", self.image_size) for i in map(int, chosen)])
            for chosen in batch_norm.draw(len(items), len(items), seed=seed)
        )
        return dataclasses.replace(self, model=batch_norm.reestimate(self.model, batches))

    @functools.cached_property
    def _placed(self) -> embed.PlacedModel:
        return embed.place(self.model, embed.machine_mesh())

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What tells this encoder's embeddings from those of others, as `Embeddings.made_by` holds it."""
        return {
            "weights_sha256": parameter_digest(self.model),
            "san_pg_sha256": None if self.san_pg is None else parameter_digest(self.san_pg.model),
            "image_size": list(self.image_size),
            "metric": self.metric,
        }

    @functools.cached_property
    def calibration(self) -> Calibration:
        """What `python -m experiments.calibrate` found out about this encoder's distances.

        Raises:
            CalibrationError: The run, or the one that was exported, is not calibrated, or was when its weights were
                others.
        """
        if self.calibrated_in is None:
            raise CalibrationError("Only runs are calibrated: load the encoder from a run's folder, or from an export.")
        found = read_calibration(self.calibrated_in)
        what = embedding_files.maker_words(self.calibrated_in, self.step)
        found.check({**self.identity, "step": self.step}, what)
        return found

    def same_person(self, first: Images, second: Images, *, false_match_rate: float | None = None) -> SamePerson:
        """Say of pairs of pictures whether they show the same person, with the error rates of the answer.

        Args:
            first: Images as in `Encoder`, one of each pair.
            second: The others, as many.
            false_match_rate: How often the answer "same" may be wrong for two persons, see `Calibration.point`.

        Raises:
            CalibrationError: The run is not calibrated, or not for this rate.
            ValueError: As in `Encoder`, or there are not as many second images as first ones.
        """
        flip = bool(self.calibration.made_by["flip"])
        self.calibration.point(false_match_rate)  # errors come before the work
        a, b = (self(images, flip=flip) for images in (first, second))
        if len(a) != len(b):
            raise ValueError(f"expected pairs of images, found {len(a)} first and {len(b)} second ones.")
        return self.calibration.decide(paired_distances(a, b, self.metric), false_match_rate=false_match_rate)

    @functools.cached_property
    def _onnx(self) -> Callable[[np.ndarray], np.ndarray]:
        return onnx_file.open_encoder(self.model, self.image_size)

    def _texture_batches(self, batches: Iterator[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Textures at this network's image size, as training on the stored textures saw them."""
        for textures in batches:
            inputs = [
                pictures.resize_image(
                    Image.fromarray(pictures.resize_image(Image.fromarray(texture), pictures.TEXTURE_SIZE)),
                    self.image_size,
                )
                for texture in textures
            ]
            yield from embed.padded_batches(np.stack(inputs), embed.whole_batch_size(self.batch_size))


def load_encoder(
    source: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
    place: str | None = None,
    batch_size: int = embed.BATCH_SIZE,
    runtime: str = JAX,
    checkpoint: str | int = run_folder.NEWEST,
) -> Encoder:
    """Load an encoder.

    Args:
        source: The name of an encoder that comes with the package (`san_jax.pretrained.names()`), unless there is a file
            or folder of that name; a run's folder; what `python -m experiments.export` wrote, the folder or the
            .safetensors file in it; or a file with torchvision's ResNet-50, ResNet-101 or DenseNet-121, or the authors' released checkpoint.
        image_size: Height and width to resize images to; None for those that the network was trained on, 256 x 128
            where the file does not say them.
        place: Which network is meant in a file that holds several, see `san_jax.models.weights.load_encoder_weights`.
        batch_size: Number of images to compute at a time. With few images a smaller one is faster.
        runtime: "jax", or "onnx" to compute by onnxruntime on the CPU, in float32: embeddings that differ by float32
            rounding, without compilation and for any number of images.
        checkpoint: Which of a run's checkpoints: "newest", "best" (of the highest mAP that was scored during the
            training) or a step.

    Raises:
        FileNotFoundError: There is no such run or file.
        ValueError: The source is not one of these, or does not fit (the message names the file), or the runtime is
            unknown; or a checkpoint is named and the source is a file.
        san_jax.onnx_file.MissingPackagesError: `runtime` is "onnx" and its packages are not installed.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint, or it cannot be read.
    """
    path = find_source(source)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, found {runtime!r}.")
    if runtime == ONNX:
        onnx_file.check_packages()
    if path.is_dir():
        encoder = _encoder_of_run(path, checkpoint)
    elif not path.is_file():
        shipped = ", ".join(pretrained.names())
        named = f", or the name of an encoder that comes with the package ({shipped})" if shipped else ""
        raise FileNotFoundError(f"{path} does not exist: expected the folder of a run, a file of weights{named}.")
    elif checkpoint != run_folder.NEWEST:
        raise ValueError(f"{path} is a file of weights, which has no checkpoint {checkpoint!r}: give a run's folder.")
    elif path.suffix == ".safetensors" and exported.is_exported(path):
        encoder = _exported_encoder(path)
    else:
        encoder = _foreign_encoder(path, place)
    san_pg = encoder.san_pg and dataclasses.replace(encoder.san_pg, batch_size=batch_size)
    return dataclasses.replace(
        encoder,
        image_size=image_size or encoder.image_size,
        san_pg=san_pg,
        batch_size=batch_size,
        runtime=runtime,
    )


def find_source(source: str | os.PathLike[str]) -> pathlib.Path:
    """Return the folder of a run, or the file of weights, that `load_encoder` takes a source for."""
    path = pathlib.Path(source)
    if not path.exists() and str(source) in pretrained.names():
        return pretrained.find(str(source))
    if (path / pretrained.WEIGHTS).is_file() and not (path / run_folder.CONFIG_FILE).exists():
        return path / pretrained.WEIGHTS
    return path


def load_regressor(
    source: str | os.PathLike[str],
    *,
    batch_size: int = embed.BATCH_SIZE,
    checkpoint: str | int = run_folder.NEWEST,
) -> Regressor:
    """Load the network of a run with a decoder, which regresses textures (or what else its target was).

    Args:
        source: Folder of a SAN-PG or SAN run.
        batch_size: Number of images to compute at a time. With few images a smaller one is faster.
        checkpoint: As in `load_encoder`.

    Raises:
        FileNotFoundError: There is no such run.
        ValueError: The run has no decoder, or its config cannot be used.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint, or it cannot be read.
    """
    path = pathlib.Path(source)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
    if path.is_file():
        raise ValueError(f"{path} is a file: expected the folder of a run, since exported encoders have no decoder.")
    model, config, _ = _load_run(path, checkpoint)
    if model.decoder is None:
        raise ValueError(
            f"{path} is a run without decoder (a baseline), which regresses no textures: give the "
            "folder of a run of san_pg or san."
        )
    size, is_texture = _image_size(config), _reconstructs_textures(config)
    return Regressor(model, size, _decoder_size(config, _settings(config, path)), is_texture, batch_size)


def _load_run(folder: pathlib.Path, which: str | int, *, encoder_only: bool = False) -> tuple[SAN, dict[str, Any], int]:
    """The network of a run with the weights of a checkpoint, its config and the checkpoint's step."""
    from san_jax import checkpoint  # Orbax takes seconds to import, and other sources do not need it

    config = run_folder.read_config(folder)
    settings = _settings(config, folder)
    directory, step = checkpoint.find(folder, which)
    _, params, batch_stats = checkpoint.load_weights(directory, step=step)
    size = _decoder_size(config, settings)
    return with_weights(settings, params, batch_stats, decoder_size=size, encoder_only=encoder_only), config, step


def _settings(config: Mapping[str, Any], path: pathlib.Path) -> ModelSettings:
    """The model settings in a run's config or in a model card's copy of it."""
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config["model"].items()
    }
    try:
        return ModelSettings(**fields)
    except (TypeError, ValueError) as error:
        raise run_folder.RunFolderError(f"{path}: its config has model settings that cannot be used: {error}") from None


def _reconstructs_textures(config: Mapping[str, Any]) -> bool:
    return "target" not in config or config["target"]["kind"] in run_folder.TEXTURE_TARGETS


def _image_size(config: Mapping[str, Any]) -> tuple[int, int]:
    height, width = config["image_size"]
    return height, width


def _decoder_size(config: Mapping[str, Any], settings: ModelSettings) -> tuple[int, int]:
    """Height and width of what a run's decoder gives, if it has one."""
    if _reconstructs_textures(config):
        return settings.texture_size, settings.texture_size
    return _image_size(config)


def _encoder_of_run(folder: pathlib.Path, which: str | int) -> Encoder:
    model, config, step = _load_run(folder, which, encoder_only=True)
    source = config.get("input", {})
    san_pg = _load_san_pg(folder, source["path"]) if source.get("kind") == "texture" else None
    return Encoder(
        model, _image_size(config), config.get("test_metric", "euclidean"), san_pg, step=step, calibrated_in=folder
    )


def _load_san_pg(folder: pathlib.Path, noted: str) -> Regressor:
    """The run whose textures are the input of the run in `folder`, in the state that it was trained with."""
    path = run_folder.find_run(noted, folder)
    san_pg = load_regressor(path)
    if not san_pg.is_texture:
        raise ValueError(f"{path} regresses no textures, which are the input of {folder}: put the SAN-PG run there.")
    found, data = parameter_digest(san_pg.model), folder / run_folder.DATA_FILE
    expected = files.read_json(data).get("san_pg_sha256") if data.is_file() else None
    if found != expected:
        raise ValueError(
            f"{folder} was trained on textures of {noted} when the digest of its parameters was {expected}; that "
            f"of {path} is {found}. Put that state of the SAN-PG run back, or train again."
        )
    return san_pg


def _exported_encoder(path: pathlib.Path) -> Encoder:
    card_path = path.with_name(CARD)
    if not card_path.is_file():
        raise FileNotFoundError(
            f"{card_path} does not exist: expected the model card of {path.name} beside it, as "
            "`python -m experiments.export` wrote it."
        )
    card = files.read_json(card_path)
    noted = card.get("files", {}).get(path.name, {}).get("sha256")
    if noted != files.sha256(path):
        raise ValueError(f"{path} is not the file that {card_path} describes (its SHA-256 differs): put back the pair.")
    settings = dataclasses.replace(_settings(card["config"], card_path), compute_dtype="float32")
    empty = skeleton(settings, 0, decoder_size=None)
    model = merge_model(split_model(empty)[0], *exported.load_exported(path, empty))
    height, width = json.loads(exported.read_metadata(path)["image_size"])
    metric = card["config"].get("test_metric", "euclidean")
    return Encoder(model, (height, width), metric, calibrated_in=path.parent)


def _foreign_encoder(path: pathlib.Path, place: str | None) -> Encoder:
    """The encoder in a file of torchvision's or the authors' weights."""
    if (settings := released.find_settings(path)) is not None:
        empty = skeleton(settings, 0, decoder_size=None)
        return Encoder(merge_model(split_model(empty)[0], *weights.load_released_checkpoint(path, empty)), IMAGE_SIZE)
    empty = skeleton(encoders.find_settings(path), 0, decoder_size=None)
    loaded = weights.load_encoder_weights(path, empty.encoder, place=place)
    trees = ({"encoder": loaded.params}, {"encoder": loaded.batch_stats})
    return Encoder(merge_model(split_model(empty)[0], *trees), IMAGE_SIZE)


def _batches(images: Images, size: tuple[int, int], batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Resized images in padded batches, decoded a batch at a time."""
    items = _as_list(images)
    step = embed.whole_batch_size(batch_size)
    for start in range(0, len(items), step):
        chunk = [_resized(items[i], f"images[{i}]", size) for i in range(start, min(start + step, len(items)))]
        yield from embed.padded_batches(np.stack(chunk), step)


def _as_list(images: Any) -> Any:
    """The images as something with a length and items."""
    if isinstance(images, str | os.PathLike | Image.Image):
        raise ValueError(f"expected several images, found one ({type(images).__name__}): put it into a list.")
    if isinstance(images, Array):
        if images.ndim != 4 or images.shape[-1] != 3:
            hint = " A single image: images[None]." if images.ndim == 3 else ""
            raise ValueError(f"expected images of shape [N H W 3], found {list(images.shape)}.{hint}")
        items = np.asarray(images)
    else:
        items = list(images)
    if not len(items):
        raise ValueError("There are no images: expected at least one.")
    return items


def _resized(image: Any, name: str, size: tuple[int, int]) -> np.ndarray:
    """An image in any of its forms as uint8 [height width 3]; `name` is for the error's message."""
    if isinstance(image, str | os.PathLike):
        name = f"{name}, {os.fspath(image)}"
    try:
        if isinstance(image, Image.Image):
            picture = pictures.from_pillow(image)
        elif isinstance(image, str | os.PathLike):
            picture = pictures.decode(image).image
        else:
            picture = Image.fromarray(_checked_pixels(image, name))
    except pictures.PictureError as error:
        raise ValueError(f"{name}: {error}") from error
    return pictures.resize_image(picture, size)


def _checked_pixels(image: Any, name: str) -> np.ndarray:
    if not isinstance(image, Array):
        raise ValueError(f"{name}: expected an array, an image of Pillow's or a path, found {type(image).__name__}.")
    if image.dtype != np.uint8:
        raise ValueError(
            f"{name}: expected uint8, 0 to 255, found {image.dtype}: images are not scaled or normalised before. For "
            "numbers in [0, 1]: (255 * images).round().astype(numpy.uint8)"
        )
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"{name}: expected RGB of shape [H W 3], found {list(image.shape)}.")
    return np.asarray(image)
