"""ONNX files of encoders: written from a model's weights, and run by onnxruntime.

The graph is written operator by operator, in the form that runtimes are fastest with: channels first, each batch
normalisation that follows a convolution folded into its kernel, so that convolution, bias, ReLU and shortcut become one
kernel. A converter of JAX programs writes what XLA likes instead: channels last, with transpositions around each
convolution, which took half as much processor time again (docs/export.md).

It uses operators that are the same in all of `runtimes.OPSETS`, with the oldest IR version that goes with an opset: a
runtime reads opsets and IR versions only up to those of its own year.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from san_jax import embed
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from san_jax.models import SAN, DenseNet, ResNet, split_model
from san_jax.models.functional import flatten
from san_jax.runtimes import DEFAULT_OPSET

INPUT, OUTPUT = "images", "embeddings"
PACKAGES = ("onnx", "onnxruntime")
INSTALL = "pip install onnx onnxruntime"
EPSILON = 1e-5  # of batch normalisation, see `san_jax.models.layers.BatchNorm`


class MissingPackagesError(RuntimeError):
    """Packages for ONNX are not installed. The message says how to install them."""


def check_packages() -> None:
    """Raise MissingPackagesError where a package that ONNX needs is absent."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackagesError(f"ONNX needs {', '.join(missing)}, not installed here. Install it with: {INSTALL}")


def versions() -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    # Of the modules: onnxruntime is installed by several packages, such as onnxruntime-gpu.
    found = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    return {name: importlib.import_module(name).__version__ for name in found}


def convert(model: SAN, image_size: tuple[int, int], opset: int = DEFAULT_OPSET) -> bytes:
    """Write what `san_jax.embed.embed_images` computes as ONNX, in float32, for any number of images.

    Args:
        model: A `SAN`; decoder and classifier are left out.
        image_size: Height and width of the images.
        opset: One of `runtimes.OPSETS`.

    Returns:
        An ONNX model from `images`, uint8 RGB [batch H W 3], to `embeddings`, float32 [batch D]. It has the oldest IR
        version that this opset may be written in.

    Raises:
        MissingPackagesError: See `check_packages`.
    """
    check_packages()
    graph = _Graph(model)
    x = graph.normalized(INPUT)
    if isinstance(model.encoder, DenseNet):
        x = graph.densenet(model.encoder, x)
    else:
        x = graph.resnet(model.encoder, x)
    graph.embedding(model, x)
    return graph.serialize(image_size, model.embedding_size, opset)


def format_versions(content: bytes) -> dict[str, int]:
    """Return `opset` and `ir_version` of a model, by which a runtime decides whether it can read the file."""
    model = importlib.import_module("onnx").load_from_string(content)
    return {"opset": model.opset_import[0].version, "ir_version": model.ir_version}


def load(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Load a model into onnxruntime on the CPU.

    Returns:
        A function from images uint8 [N H W 3] to embeddings float32 [N D].

    Raises:
        MissingPackagesError: onnxruntime is not installed.
    """
    check_packages()
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])


def open_encoder(model: SAN, image_size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return what `load` returns for a model; nothing is written, so nothing can be out of date.

    Raises:
        MissingPackagesError: See `check_packages`.
        ValueError: Weights that are not finite.
    """
    embed.check_finite(model)
    return load(convert(model, image_size))


def embed_batches(
    function: Callable[[np.ndarray], np.ndarray], batches: Iterable[Mapping[str, Any]], *, flip: bool = False
) -> Iterator[np.ndarray]:
    """Yield the embeddings of a batch's valid rows, a batch at a time, like `san_jax.embed.stream_batches`.

    Args:
        function: What `load` returned.
        batches: Dicts of `image`, uint8 [B H W 3], and `valid`, bool [B].
        flip: Average with the embeddings of the images mirrored left to right.

    Raises:
        ValueError: There are no batches.
    """
    is_empty = True
    for batch in batches:
        is_empty = False
        images = np.asarray(batch["image"])[np.asarray(batch["valid"])]
        embeddings = function(images)
        if flip:
            embeddings = (embeddings + function(np.ascontiguousarray(images[:, :, ::-1]))) / 2
        yield embeddings
    if is_empty:
        raise ValueError("There are no images: expected at least one.")


class _Graph:
    """An ONNX graph that is being written. Methods that add operators take and return names of their tensors."""

    def __init__(self, model: SAN) -> None:
        _, params, batch_stats = split_model(model)
        leaves = flatten(params) | flatten(batch_stats)
        self._arrays = {name: np.asarray(leaf, np.float32) for name, leaf in leaves.items()}
        self._onnx: Any = importlib.import_module("onnx")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def serialize(self, image_size: tuple[int, int], embedding_size: int, opset: int) -> bytes:
        """Return the checked model; the operator that was added last gives the embeddings."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        self._nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [helper.make_tensor_value_info(INPUT, types.UINT8, ["batch", *image_size, 3])],
            [helper.make_tensor_value_info(OUTPUT, types.FLOAT, ["batch", embedding_size])],
            self._constants,
        )
        imports = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=imports, producer_name="san_jax")
        model.ir_version = helper.find_min_ir_version_for(imports)
        self._onnx.checker.check_model(model, full_check=True)  # every operator is written as this opset defines it
        return model.SerializeToString()

    def normalized(self, images: str) -> str:
        """uint8 [N H W 3] -> normalised floats [N 3 H W]."""
        x = self._add("Transpose", images, perm=[0, 3, 1, 2])
        x = self._add("Cast", x, to=self._onnx.TensorProto.FLOAT)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        return self._add("Mul", self._add("Sub", x, self._constant(255 * mean)), self._constant(1 / (255 * std)))

    def resnet(self, encoder: ResNet, x: str) -> str:
        """Normalised images -> feature map."""
        x = self._relu(self._conv_norm(x, "encoder.conv1", "encoder.bn1", strides=2, padding=3))
        x = self._max_pool(x)
        for number, stage_strides in enumerate((1, 2, 2, 1), start=1):
            for index in range(getattr(encoder, f"stage{number}").num_blocks):
                block, strides = f"encoder.stage{number}.block{index + 1}.", stage_strides if index == 0 else 1
                y = self._relu(self._conv_norm(x, f"{block}conv1", f"{block}bn1"))
                y = self._relu(self._conv_norm(y, f"{block}conv2", f"{block}bn2", strides=strides, padding=1))
                y = self._conv_norm(y, f"{block}conv3", f"{block}bn3")
                if f"{block}downsample_conv.kernel" in self._arrays:
                    x = self._conv_norm(x, f"{block}downsample_conv", f"{block}downsample_bn", strides=strides)
                x = self._relu(self._add("Add", y, x))
        return x

    def densenet(self, encoder: DenseNet, x: str) -> str:
        """Normalised images -> feature map."""
        x = self._relu(self._conv_norm(x, "encoder.conv0", "encoder.bn0", strides=2, padding=3))
        x = self._max_pool(x)
        for number in range(1, 5):
            for index in range(getattr(encoder, f"block{number}").num_layers):
                layer = f"encoder.block{number}.layer{index + 1}."
                y = self._relu(self._norm(x, f"{layer}bn1"))
                y = self._relu(self._conv_norm(y, f"{layer}conv1", f"{layer}bn2"))
                x = self._add("Concat", x, self._conv(y, self._arrays[f"{layer}conv2.kernel"], padding=1), axis=1)
            if number == 4:
                break
            transition = f"encoder.transition{number}"
            x = self._conv(self._relu(self._norm(x, f"{transition}.bn")), self._arrays[f"{transition}.conv.kernel"])
            if getattr(encoder, f"transition{number}").pool:
                x = self._add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        return self._relu(self._norm(x, "encoder.bn5"))

    def embedding(self, model: SAN, x: str) -> str:
        """Feature map [N C H W] -> embedding [N D]: pooling, then head and neck where the model has them."""
        if model.pooling is None:
            x = self._add("GlobalAveragePool", x)
        else:  # as `GeneralizedMean`
            p = self._arrays["pooling.p"]
            x = self._add("Max", x, self._constant(np.float32(1e-6)))
            largest = self._add("GlobalMaxPool", x)
            powers = self._add("Pow", self._add("Div", x, largest), self._constant(p))
            mean = self._add("Pow", self._add("GlobalAveragePool", powers), self._constant(np.float32(1.0 / p)))
            x = self._add("Mul", mean, largest)
        x = self._add("Flatten", x, axis=1)
        if model.head is not None:
            factor, offset = self._affine("head.bn")
            kernel, bias = (self._arrays[f"head.linear.{name}"] for name in ("kernel", "bias"))
            x = self._relu(
                self._add("Gemm", x, self._constant(kernel * factor), self._constant(bias * factor + offset))
            )
        return x if model.neck is None else self._norm(x, "neck", positions=False)

    def _conv_norm(self, x: str, conv: str, norm: str, *, strides: int = 1, padding: int = 0) -> str:
        """Convolution and batch normalisation as one convolution."""
        factor, offset = self._affine(norm)
        return self._conv(x, self._arrays[f"{conv}.kernel"] * factor, offset, strides=strides, padding=padding)

    def _conv(
        self, x: str, kernel: np.ndarray, bias: np.ndarray | None = None, *, strides: int = 1, padding: int = 0
    ) -> str:
        """Convolution with a kernel [H W I O]."""
        arrays = [np.transpose(kernel, (3, 2, 0, 1))] if bias is None else [np.transpose(kernel, (3, 2, 0, 1)), bias]
        return self._add("Conv", x, *map(self._constant, arrays), strides=[strides, strides], pads=[padding] * 4)

    def _norm(self, x: str, norm: str, *, positions: bool = True) -> str:
        """Batch normalisation of [N C H W], without `positions` of [N C]."""
        shape = (-1, 1, 1) if positions else (-1,)
        factor, offset = (self._constant(array.reshape(shape)) for array in self._affine(norm))
        return self._add("Add", self._add("Mul", x, factor), offset)

    def _affine(self, norm: str) -> tuple[np.ndarray, np.ndarray]:
        """Factor and offset [channels] of a batch normalisation by its running statistics."""
        scale, mean, variance = (self._arrays[f"{norm}.norm.{name}"] for name in ("scale", "mean", "var"))
        factor = scale / np.sqrt(variance + np.float32(EPSILON))
        return factor, self._arrays.get(f"{norm}.norm.bias", np.float32(0.0)) - mean * factor  # the neck has no bias

    def _constant(self, array: Any) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def _relu(self, x: str) -> str:
        return self._add("Relu", x)

    def _max_pool(self, x: str) -> str:
        return self._add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
