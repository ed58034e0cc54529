"""Speed of an embedding by runtime: this project's program on JAX and ONNX, and PyTorch and OpenVINO beside it.

Every runtime computes the same encoder from the same weights, pixels to embedding, in float32 with as many threads as
it takes by itself. They take turns within one run, so that what else the machine does falls on all of them alike.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from experiments.benchmarks import timing
from experiments.benchmarks.options import EmbeddingOptions
from san_jax import embed, onnx_file
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from san_jax.models import SAN, build, merge_model, split_model
from san_jax.models.functional import flatten
from san_jax.models.weights.names import exported_names
from san_jax.settings import ModelSettings

Embed: TypeAlias = Callable[[np.ndarray], np.ndarray]  # uint8 [N H W 3] -> float32 [N D]
JAX, ONNX = "San-JAX (JAX)", "San-JAX (onnxruntime)"
TORCH, TORCH_CHANNELS_LAST, OPENVINO = "PyTorch eager", "PyTorch eager, channels last", "OpenVINO"
NEEDED = {ONNX: "onnxruntime", TORCH: "torch", TORCH_CHANNELS_LAST: "torch", OPENVINO: "openvino"}


def measure(options: EmbeddingOptions, *, seed: int = 0) -> dict[str, Any]:
    """Time the embedding of made-up images by every runtime that is installed.

    Args:
        options: How many images at once, and of which network.
        seed: Seed of weights and images.

    Returns:
        JSON values: `network`; `left_out` (runtime -> why it is not measured); `agreement` (runtime -> largest
        difference of an embedding's number from JAX's, relative to the largest number); `batches` (number of images ->
        runtime -> see `timing.compare`, with JAX as reference).
    """
    model = _model(options.width, seed)
    runtimes, left_out = _runtimes(model, options.image_size)
    rng = np.random.default_rng(seed)
    agreement: dict[str, float] = {}
    batches: dict[str, dict[str, dict[str, Any]]] = {}
    for size in options.batch_sizes:
        images = rng.integers(0, 256, (size, *options.image_size, 3), np.uint8)
        found = {name: embed_batch(images) for name, embed_batch in runtimes.items()}
        for name, embeddings in found.items():
            difference = float(np.abs(embeddings - found[JAX]).max() / np.abs(found[JAX]).max())
            agreement[name] = max(difference, agreement.get(name, 0.0))
        programs = {
            name: timing.Program(functools.partial(_repeat, embed_batch, images), size, JAX)
            for name, embed_batch in runtimes.items()
        }
        batches[str(size)] = timing.compare(programs, seconds=options.seconds, turns=options.turns)
    return {
        "network": {
            "encoder": "resnet50",
            "width": options.width,
            "image_size": list(options.image_size),
            "embedding_size": model.embedding_size,
        },
        "left_out": left_out,
        "agreement": agreement,
        "batches": batches,
    }


def _repeat(embed_batch: Embed, images: np.ndarray, times: int) -> None:
    for _ in range(times):
        embed_batch(images)


def table(result: Mapping[str, Any]) -> str:
    """Return the text of what `measure` returned."""
    network = result["network"]
    words = "x".join(map(str, network["image_size"]))
    lines = [f"{network['encoder']}, width {network['width']}, images of {words}, float32"]
    for size, rows in result["batches"].items():
        lines += timing.table(f"embedding {size} image{'' if size == '1' else 's'}", rows)
    largest = max(result["agreement"].values())
    lines.append(f"the embeddings agree to {largest:.1e} of the largest number")
    return "\n".join([*lines, *(f"{name}: {reason}" for name, reason in result["left_out"].items())])


def _model(width: int, seed: int) -> SAN:
    """An encoder whose running statistics are not those of a fresh one, which normalise nothing."""
    rng = np.random.default_rng(seed)
    graphdef, params, batch_stats = split_model(build(ModelSettings(width=width), 0, decoder_size=None, seed=seed))
    ranges = {"mean": (-0.1, 0.1), "var": (0.5, 1.5)}

    def draw(path: Any, leaf: Any) -> jax.Array:
        return jax.numpy.asarray(rng.uniform(*ranges[path[-1].key], leaf.shape), np.float32)

    return merge_model(graphdef, params, jax.tree.map_with_path(draw, batch_stats))


def _runtimes(model: SAN, image_size: tuple[int, int]) -> tuple[dict[str, Embed], dict[str, str]]:
    """The runtimes that are installed, JAX first, and why the others are left out."""
    placed = embed.place(model)  # as `san_jax.load_encoder` keeps it
    runtimes: dict[str, Embed] = {JAX: lambda images: embed.embed_images(placed, images, batch_size=len(images))}
    left_out = {name: "not installed" for name, package in NEEDED.items() if importlib.util.find_spec(package) is None}
    if importlib.util.find_spec("onnx") is None:  # with which the file is written
        left_out |= dict.fromkeys((ONNX, OPENVINO), "onnx is not installed")
    content = b"" if {ONNX, OPENVINO} <= set(left_out) else onnx_file.convert(model, image_size)
    if ONNX not in left_out:
        runtimes[ONNX] = onnx_file.load(content)
    if TORCH not in left_out:
        runtimes[TORCH] = _torch(model, channels_last=False)
        runtimes[TORCH_CHANNELS_LAST] = _torch(model, channels_last=True)
    if OPENVINO not in left_out:
        runtimes[OPENVINO] = _openvino(content)
    return runtimes, left_out


def _openvino(content: bytes) -> Embed:
    openvino = _import("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: np.asarray(compiled({onnx_file.INPUT: images})[0])


def _torch(model: SAN, *, channels_last: bool) -> Embed:
    """The encoder of `torch_model`, operator by operator, from the weights as they are exported."""
    torch, torch_model = _import("torch"), _import("experiments.benchmarks.torch_model")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    names = exported_names(model)
    _, params, batch_stats = split_model(model)
    tensors = {
        names[leaf].name: torch.tensor(np.ascontiguousarray(names[leaf].transform.to_torch(np.asarray(array))))
        for leaf, array in (flatten(params) | flatten(batch_stats)).items()
    }
    blocks = [getattr(model.encoder, f"stage{number}").num_blocks for number in (1, 2, 3, 4)]
    encoder = torch_model.Encoder(model.embedding_size // 32, blocks)
    encoder.load_state_dict(torch_model.encoder_names(tensors))
    encoder = encoder.eval().to(memory_format=layout)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))

    def embed_batch(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std
            return encoder(x.contiguous(memory_format=layout))[-1].mean((2, 3)).numpy()

    return embed_batch


@functools.cache
def _import(name: str) -> Any:
    return importlib.import_module(name)
