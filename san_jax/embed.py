"""What a trained model says about images: embeddings by the encoder alone, and regressed textures.

At inference the decoder is dropped (paper, "SAN"): `embed_images` computes nothing of it, so a SAN costs what its
baseline costs. `regress_textures` runs the decoder too; it makes the pseudo ground truth of the paper's first stage.

Everything runs in batches of one shape, so a model is compiled once. With a `mesh` (axis `data`) each batch is
split over its devices.

With `flip` an embedding is the mean of that of the image and that of its mirror image (flip-test averaging, which many
published numbers use; the paper does not say that it does).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Float32, UInt8

from san_jax.counts import count
from san_jax.data.augment import normalize_images
from san_jax.models import SAN
from san_jax.models.functional import Tree, merge_model, split_model
from san_jax.sharding import batch_sharding, make_mesh, replicated
from san_jax.typing import Array

BATCH_SIZE = 64  # images computed at a time where nothing else is asked for

Images = UInt8[Array, "count height width 3"]


def machine_mesh() -> Mesh:
    """Return the mesh of all devices of this process."""
    return make_mesh(jax.local_devices())


def whole_batch_size(batch_size: int = BATCH_SIZE) -> int:
    """Return the batch size, rounded up so that `machine_mesh` splits a batch evenly."""
    devices = len(jax.local_devices())
    return -(-batch_size // devices) * devices


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedModel:
    """A model whose weights were checked and put on the devices, to compute more than once with.

    Attributes:
        graphdef: Its static part.
        state: Parameters and running statistics.
        mesh: Devices that a batch is split over; None for the default device.
    """

    graphdef: Any
    state: list[Tree]
    mesh: Mesh | None


def place(model: SAN, mesh: Mesh | None = None) -> PlacedModel:
    """Check a model's weights and put them on devices; for a single image that takes a fifth of the time.

    Raises:
        ValueError: Weights that are not finite.
    """
    graphdef, *state = split_model(model)
    _check_finite(state)
    return PlacedModel(graphdef, state if mesh is None else jax.device_put(state, replicated(mesh)), mesh)


def embed_images(
    model: SAN | PlacedModel,
    images: Images,
    *,
    batch_size: int = BATCH_SIZE,
    mesh: Mesh | None = None,
    flip: bool = False,
) -> Float32[np.ndarray, "count dim"]:
    """Embed images by the encoder alone, with its running BatchNorm statistics.

    Args:
        model: A `SAN`, with or without a decoder; or what `place` made of one.
        images: uint8 RGB [N H W 3], at the size that the model was trained on.
        batch_size: Images computed at a time; the last batch is padded to it. A multiple of the mesh's devices.
        mesh: Devices to split a batch over; None for the default device.
        flip: Average with the embeddings of the images mirrored left to right.

    Returns:
        float32 [N D] on the host.

    Raises:
        ValueError: No images, weights that are not finite, or a batch that the mesh cannot split evenly.
    """
    return embed_batches(model, padded_batches(images, batch_size), mesh=mesh, flip=flip)


def embed_batches(
    model: SAN | PlacedModel, batches: Iterable[Mapping[str, Any]], *, mesh: Mesh | None = None, flip: bool = False
) -> Float32[np.ndarray, "count dim"]:
    """Embed a query or gallery split, in its order.

    Args:
        model: A `SAN`, with or without a decoder; or what `place` made of one.
        batches: `EvalBatch`es, all of one shape; rows where `valid` is False are dropped.
        mesh: Devices to split a batch over; None for the default device.
        flip: Average with the embeddings of the images mirrored left to right.

    Returns:
        float32 [number of valid rows, D] on the host.

    Raises:
        ValueError: No batches, weights that are not finite, or a batch that the mesh cannot split evenly.
    """
    return np.concatenate(list(stream_batches(model, batches, mesh=mesh, flip=flip)))


def stream_batches(
    model: SAN | PlacedModel, batches: Iterable[Mapping[str, Any]], *, mesh: Mesh | None = None, flip: bool = False
) -> Iterator[Float32[np.ndarray, "count dim"]]:
    """Yield the embeddings of a batch's valid rows, in order, a batch at a time; else as `embed_batches`.

    Args:
        model: A `SAN`, with or without a decoder; or what `place` made of one.
        batches: `EvalBatch`es, all of one shape; rows where `valid` is False are dropped.
        mesh: Devices to split a batch over; None for the default device, or those of the placed model.
        flip: Average with the embeddings of the images mirrored left to right.

    Raises:
        ValueError: As `embed_batches`, when the batches are asked for.
    """
    return _run(_embed_flipped if flip else _embed, model, batches, mesh)


def regress_batches(
    model: SAN | PlacedModel, batches: Iterable[Mapping[str, Any]], *, mesh: Mesh | None = None
) -> Iterator[UInt8[np.ndarray, "count texture_height texture_width 3"]]:
    """Yield the textures of a batch's valid rows, in order, a batch at a time; else as `regress_textures`.

    Args:
        model: A `SAN` with its decoder, or what `place` made of one.
        batches: `EvalBatch`es, all of one shape; rows where `valid` is False are dropped.
        mesh: Devices to split a batch over; None for the default device, or those of the placed model.

    Raises:
        ValueError: As `regress_textures`, when the batches are asked for.
    """
    return _run(_regress, model, batches, mesh)


def regress_textures(
    model: SAN, images: Images, *, batch_size: int = BATCH_SIZE, mesh: Mesh | None = None
) -> UInt8[np.ndarray, "count texture_height texture_width 3"]:
    """Regress textures from images by the decoder.

    Args:
        model: A `SAN` with its decoder.
        images: uint8 RGB [N H W 3], at the size that the model was trained on.
        batch_size: Images computed at a time; the last batch is padded to it.
        mesh: Devices to split a batch over; None for the default device.

    Returns:
        uint8 [N H W 3] of the model's texture size: [-1, 1] clipped and mapped to 0..255.

    Raises:
        ValueError: No images, weights that are not finite, or a batch that the mesh cannot split evenly.
    """
    return np.concatenate(list(regress_batches(model, padded_batches(images, batch_size), mesh=mesh)))


def encoder_function(model: SAN) -> Callable[[jax.Array], jax.Array]:
    """Return what `embed_images` computes of a batch as a function to export: uint8 [N H W 3] -> float32 [N D].

    Args:
        model: A `SAN`; its weights become constants of the function.

    Raises:
        ValueError: Weights that are not finite.
    """
    graphdef, *state = split_model(model)
    _check_finite(state)
    return lambda images: _embed(graphdef, state, images)


@functools.partial(jax.jit, static_argnums=0)
def _embed(
    graphdef: Any, state: list[Tree], images: UInt8[jax.Array, "batch height width 3"]
) -> Float[jax.Array, "batch dim"]:
    _, embedding = merge_model(graphdef, *state).encode(normalize_images(images))
    return embedding.astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _embed_flipped(
    graphdef: Any, state: list[Tree], images: UInt8[jax.Array, "batch height width 3"]
) -> Float[jax.Array, "batch dim"]:
    return (_embed(graphdef, state, images) + _embed(graphdef, state, images[:, :, ::-1])) / 2


@functools.partial(jax.jit, static_argnums=0)
def _regress(
    graphdef: Any, state: list[Tree], images: UInt8[jax.Array, "batch height width 3"]
) -> UInt8[jax.Array, "batch texture_height texture_width 3"]:
    textures = merge_model(graphdef, *state)(normalize_images(images)).texture.astype(jnp.float32)
    return jnp.round((jnp.clip(textures, -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)


def padded_batches(images: Images, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield images [N H W 3] in batches of one size; rows after the last image are black and not `valid`."""
    images = np.asarray(images)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        padding = batch_size - len(batch)
        yield {
            "image": np.pad(batch, ((0, padding), (0, 0), (0, 0), (0, 0))),
            "valid": np.arange(batch_size) < len(batch),
        }


def check_finite(model: SAN) -> None:
    """Raise a ValueError where a weight or running statistic is not finite."""
    _check_finite(split_model(model)[1:])


def _check_finite(state: Sequence[Tree]) -> None:
    """Raise a ValueError for weights that are not finite.

    The result would not show them: XLA's fast maximum on CPUs turns NaN into 0 in a ReLU.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not np.isfinite(np.asarray(leaf)).all():
            name = "/".join(str(key.key) for key in path[1:])
            raise ValueError(f"The model's {name} holds NaN or infinity: it comes from a run that diverged.")


def _run(
    function: Callable[..., jax.Array],
    model: SAN | PlacedModel,
    batches: Iterable[Mapping[str, Any]],
    mesh: Mesh | None,
) -> Iterator[np.ndarray]:
    """Yield the function's valid rows, batch by batch; the next batch is read while the device computes."""
    placed = model if isinstance(model, PlacedModel) else place(model, mesh)
    mesh = placed.mesh
    pending: tuple[jax.Array, np.ndarray] | None = None
    for batch in batches:
        images = np.asarray(batch["image"])
        if mesh is not None:
            if len(images) % mesh.size:
                raise ValueError(
                    f"A batch of {count(len(images), 'image')} cannot be split over {mesh.size} devices: "
                    "choose a batch size that is a multiple of it."
                )
            images = jax.device_put(images, batch_sharding(mesh))
        result = function(placed.graphdef, placed.state, images)
        if pending is not None:
            yield np.asarray(pending[0])[pending[1]]
        pending = result, np.asarray(batch["valid"])
    if pending is None:
        raise ValueError("There are no images: expected at least one.")
    yield np.asarray(pending[0])[pending[1]]
