"""ONNX of a function from images to embeddings, by jax2onnx; for `experiments.export`.

jax2onnx 0.17 converts layers by patching Flax while the function runs, and then omits the padding of `nnx.max_pool`;
its rule for JAX's own pooling makes a pooling over four axes, which onnxruntime does not have. So the function is
traced here first, down to JAX's primitives, with pooling written as the maximum (sum) of shifted slices: the same
numbers. What comes out is held against the run by whoever exports.

A runtime reads operator sets (opsets) and versions of the file format (IR versions) only up to those of its own year.
The encoders need nothing newer than opset 13, so a file is written for an opset that runtimes of some years ago read,
with the oldest IR version that goes with it.

jax2onnx demands many packages that the conversion does not import, among them an orbax-checkpoint older than this
project's; `MissingPackagesError` says how to install it without them.
"""

import functools
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from experiments.runs.export_formats import DEFAULT_OPSET

INPUT, OUTPUT = "images", "embeddings"
PACKAGES = {
    "jax2onnx": "jax2onnx",
    "onnx": "onnx",
    "onnx_ir": "onnx-ir",
    "onnxruntime": "onnxruntime",
}  # module: package
INSTALL = ("pip install onnx onnx-ir onnxruntime", "pip install --no-deps jax2onnx==0.17.1")
_POOLINGS = {"reduce_window_max": (jnp.maximum, -np.inf), "reduce_window_sum": (jnp.add, 0.0)}


class MissingPackagesError(RuntimeError):
    """Packages for ONNX are not installed. The message says how to install them."""


def check_packages() -> None:
    """Raise MissingPackagesError where a package that ONNX needs is absent."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingPackagesError(
            "\n".join([f"ONNX needs {', '.join(missing)}, not installed here. Install it with", *INSTALL])
            + "\n(--no-deps: jax2onnx demands packages that the conversion does not use, one of them too old here)."
        )


def versions() -> dict[str, str]:
    """Versions of those of the packages that are installed."""
    found = {}
    for package in PACKAGES.values():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def convert(function: Callable[[jax.Array], jax.Array], image_size: Sequence[int], opset: int = DEFAULT_OPSET) -> bytes:
    """Convert a function of images uint8 [batch H W 3], for any number of images.

    Args:
        function: Gives float32 [batch D]. What it closes over becomes constants.
        image_size: Height and width.
        opset: One of `export_formats.OPSETS`. The file gets the oldest IR version that this opset may be written in.

    Returns:
        An ONNX model with input `images` and output `embeddings`.

    Raises:
        MissingPackagesError: See `check_packages`.
    """
    check_packages()
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *image_size, 3), np.uint8)
    traced = jax.make_jaxpr(function)(images)
    # It traces once more with its own rules, which do not expect strict promotion.
    with _quiet(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        jax2onnx, onnx = (importlib.import_module(name) for name in ("jax2onnx", "onnx"))
        model = jax2onnx.to_onnx(
            lambda x: _evaluate(traced.jaxpr, traced.consts, x)[0],
            inputs=[images],
            model_name="encoder",
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset=opset,
        )
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    onnx.checker.check_model(model, full_check=True)  # every operator is written as this opset defines it
    return model.SerializeToString()


def format_versions(content: bytes) -> dict[str, int]:
    """`opset` and `ir_version` of a converted model, by which a runtime decides whether it can read the file."""
    model = importlib.import_module("onnx").load_from_string(content)
    return {"opset": model.opset_import[0].version, "ir_version": model.ir_version}


def load(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A converted model in onnxruntime on the CPU: images uint8 [N H W 3] -> embeddings float32 [N D]."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])


def _evaluate(jaxpr: core.Jaxpr, consts: Sequence[Any], *arguments: Any) -> list[Any]:
    """Run a jaxpr, inner functions inlined, pooling by slices."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        name, params = equation.primitive.name, equation.params
        inner = params.get("jaxpr", params.get("call_jaxpr"))
        if name in _POOLINGS:
            outputs = [_pool(inputs[0], *_POOLINGS[name], **params)]
        elif isinstance(inner, core.ClosedJaxpr):  # pjit, and the custom derivative of ReLU
            outputs = _evaluate(inner.jaxpr, inner.consts, *inputs)
        else:
            outputs = equation.primitive.bind(*inputs, **params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _pool(
    x: jax.Array,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    fill: float,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> jax.Array:
    """`lax.reduce_window` over height and width of [batch height width channels]."""
    (one, *window, last), (_, *strides, _) = window_dimensions, window_strides
    if (one, last) != (1, 1) or len(window) != 2 or {*base_dilation, *window_dilation} != {1}:
        raise NotImplementedError(
            f"Only pooling over height and width is converted, found a window {window_dimensions}."
        )
    x = jnp.pad(x, padding, constant_values=fill)
    sizes = [(x.shape[axis + 1] - window[axis]) // strides[axis] + 1 for axis in (0, 1)]
    slices = [
        x[
            :,
            top : top + (sizes[0] - 1) * strides[0] + 1 : strides[0],
            left : left + (sizes[1] - 1) * strides[1] + 1 : strides[1],
        ]
        for top in range(window[0])
        for left in range(window[1])
    ]
    return functools.reduce(combine, slices)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what jax2onnx logs of optional packages that are absent, with tracebacks."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(previous)
