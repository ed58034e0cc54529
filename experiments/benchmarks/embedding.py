"""Speed of an embedding by runtime: this project's program on JAX and ONNX, and PyTorch and OpenVINO beside it.

Every runtime computes the same encoder from the same weights, pixels to embedding, in float32 with as many threads as
it takes by itself. They take turns within one run, so that what else the machine does falls on all of them alike.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from san_jax import embed, onnx_file
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from san_jax.models import SAN, build, merge_model, split_model
from san_jax.models.functional import flatten
from san_jax.models.weights.names import exported_names
from san_jax.settings import ModelSettings

Embed: TypeAlias = Callable[[np.ndarray], np.ndarray]  # uint8 [N H W 3] -> float32 [N D]
NEEDED = {"onnx": "onnxruntime", "torch": "torch", "torch_channels_last": "torch", "openvino": "openvino"}
NAMES = {
    "jax": "San-JAX (JAX)",
    "onnx": "San-JAX (onnxruntime)",
    "torch": "PyTorch eager",
    "torch_channels_last": "PyTorch eager, channels last",
    "openvino": "OpenVINO",
}


def measure(
    *,
    batch_sizes: Sequence[int] = (1, 16),
    rounds: int = 5,
    seed: int = 0,
    width: int = 64,
    image_size: tuple[int, int] = (256, 128),
) -> dict[str, Any]:
    """Time the embedding of made-up images by every runtime that is installed.

    Args:
        batch_sizes: Numbers of images that are embedded at once.
        rounds: Times that each runtime embeds each batch, after a first time that does not count.
        seed: Seed of weights and images.
        width: Channels of the ResNet-50's stem.
        image_size: Height and width.

    Returns:
        JSON values: `network`; `threads`; `rounds`; `versions`; `left_out` (runtime -> why it is not measured);
        `agreement` (runtime -> largest difference of an embedding's number from JAX's, relative to the largest number);
        `batches` (number of images -> runtime -> `seconds` and `cpu_seconds`, medians for a batch,
        `images_per_second`, and `ratio` and `cpu_ratio` to those of JAX).
    """
    model = _model(width, seed)
    runtimes, left_out = _runtimes(model, image_size)
    rng = np.random.default_rng(seed)
    agreement: dict[str, float] = {}
    batches: dict[str, dict[str, dict[str, float]]] = {}
    for size in batch_sizes:
        images = rng.integers(0, 256, (size, *image_size, 3), np.uint8)
        found = {name: embed_batch(images) for name, embed_batch in runtimes.items()}
        for name, embeddings in found.items():
            difference = float(np.abs(embeddings - found["jax"]).max() / np.abs(found["jax"]).max())
            agreement[name] = max(difference, agreement.get(name, 0.0))
        batches[str(size)] = _time(runtimes, images, rounds)
    return {
        "network": {
            "encoder": "resnet50",
            "width": width,
            "image_size": list(image_size),
            "embedding_size": model.embedding_size,
        },
        "threads": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "versions": _versions(),
        "left_out": left_out,
        "agreement": agreement,
        "batches": batches,
    }


def table(result: dict[str, Any]) -> str:
    """Return what `measure` returned as a Markdown table of seconds, and of times JAX."""
    sizes = list(result["batches"])
    head = [f"{size} image{'' if size == '1' else 's'}: s, times JAX, processor s" for size in sizes]
    lines = [f"| embedding | {' | '.join(head)} |", f"|---|{'---|' * len(sizes)}"]
    for name in result["agreement"]:
        cells = [
            f"{found['seconds']:.3f}, {found['ratio']:.2f}, {found['cpu_seconds']:.3f}"
            for found in (result["batches"][size][name] for size in sizes)
        ]
        version = result["versions"].get(NEEDED.get(name, "jax"), "")
        lines.append(f"| {NAMES[name]} {version} | {' | '.join(cells)} |")
    lines += [f"{NAMES[name]}: {reason}" for name, reason in result["left_out"].items()]
    return "\n".join(lines)


def run(*, batch_sizes: Sequence[int], rounds: int) -> None:
    """Measure, and print the table and the JSON."""
    result = measure(batch_sizes=batch_sizes, rounds=rounds)
    print(table(result))
    print(json.dumps(result))


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
    runtimes: dict[str, Embed] = {"jax": lambda images: embed.embed_images(model, images, batch_size=len(images))}
    left_out = {name: "not installed" for name, package in NEEDED.items() if importlib.util.find_spec(package) is None}
    if importlib.util.find_spec("onnx") is None:  # with which the file is written
        left_out |= dict.fromkeys(("onnx", "openvino"), "onnx is not installed")
    content = b"" if {"onnx", "openvino"} <= set(left_out) else onnx_file.convert(model, image_size)
    if "onnx" not in left_out:
        runtimes["onnx"] = onnx_file.load(content)
    if "torch" not in left_out:
        runtimes["torch"] = _torch(model, channels_last=False)
        runtimes["torch_channels_last"] = _torch(model, channels_last=True)
    if "openvino" not in left_out:
        runtimes["openvino"] = _openvino(content)
    return runtimes, left_out


def _openvino(content: bytes) -> Embed:
    openvino = _import("openvino")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: np.asarray(compiled({onnx_file.INPUT: images})[0])


def _torch(model: SAN, *, channels_last: bool) -> Embed:
    """torchvision's ResNet with the last stride 1, operator by operator, from the weights as they are exported."""
    torch = _import("torch")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    names = exported_names(model)
    _, params, batch_stats = split_model(model)
    tensors = {}
    for leaf, array in (flatten(params) | flatten(batch_stats)).items():
        value = torch.tensor(np.ascontiguousarray(names[leaf].transform.to_torch(np.asarray(array))))
        tensors[names[leaf].name] = value.contiguous(memory_format=layout) if value.ndim == 4 else value
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    blocks = [getattr(model.encoder, f"stage{number}").num_blocks for number in (1, 2, 3, 4)]

    def embed_batch(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std
            return _torch_resnet(torch, tensors, x.contiguous(memory_format=layout), blocks).numpy()

    return embed_batch


def _torch_resnet(torch: Any, tensors: dict[str, Any], x: Any, blocks: Sequence[int]) -> Any:
    functional = torch.nn.functional

    def conv_norm(x: Any, conv: str, norm: str, strides: int = 1, padding: int = 0) -> Any:
        x = functional.conv2d(x, tensors[f"{conv}.weight"], None, strides, padding)
        statistics = (tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, *statistics, training=False, eps=1e-5)

    x = functional.relu_(conv_norm(x, "conv1", "bn1", 2, 3))
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer, (count, stage_strides) in enumerate(zip(blocks, (1, 2, 2, 1), strict=True), start=1):
        for index in range(count):
            block, strides = f"layer{layer}.{index}.", stage_strides if index == 0 else 1
            y = functional.relu_(conv_norm(x, f"{block}conv1", f"{block}bn1"))
            y = functional.relu_(conv_norm(y, f"{block}conv2", f"{block}bn2", strides, 1))
            y = conv_norm(y, f"{block}conv3", f"{block}bn3")
            shortcut = x if index else conv_norm(x, f"{block}downsample.0", f"{block}downsample.1", strides)
            x = functional.relu_(y.add_(shortcut))
    return x.mean((2, 3))


def _time(runtimes: dict[str, Embed], images: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runtimes}
    for _ in range(rounds):
        for name, embed_batch in runtimes.items():
            start = time.perf_counter(), time.process_time()
            embed_batch(images)
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in seconds.items()
    }
    wall, cpu = medians["jax"]
    return {
        name: {
            "seconds": found[0],
            "cpu_seconds": found[1],
            "images_per_second": len(images) / found[0],
            "ratio": found[0] / wall,
            "cpu_ratio": found[1] / cpu,
        }
        for name, found in medians.items()
    }


def _versions() -> dict[str, str]:
    packages = ["jax", *dict.fromkeys(NEEDED.values())]
    return {name: importlib.metadata.version(name) for name in packages if importlib.util.find_spec(name) is not None}


@functools.cache
def _import(name: str) -> Any:
    return importlib.import_module(name)
