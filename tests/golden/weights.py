"""Random weights by name, the same in the PyTorch scripts and in the JAX tests, so that no file has to hold them.

NumPy guarantees the stream of the legacy RandomState for ever (NEP 19), of its newer generators it does not.
"""

import pathlib
import zlib
from collections.abc import Mapping

import numpy as np


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 array for a parameter or running statistic with a dotted name as in the JAX model.

    "kernel" (height, width, in, out): normal, scaled for ReLU; "scale" and "var": uniform in 0.5..1.5; "bias" and
    "mean": normal with deviation 0.1; "p" (an exponent): uniform in 2..4. None of them what a fresh model has.
    """
    stream = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "kernel":
        values = stream.normal(size=shape) * np.sqrt(2.0 / np.prod(shape[:-1]))
    elif kind in ("scale", "var"):
        values = stream.uniform(0.5, 1.5, size=shape)
    elif kind in ("bias", "mean"):
        values = 0.1 * stream.normal(size=shape)
    elif kind == "p":
        values = np.asarray(stream.uniform(2.0, 4.0, size=shape))
    else:
        raise ValueError(f"No rule for the name {name!r}: it must end in kernel, scale, bias, mean, var or p.")
    return values.astype(np.float32)


def inputs(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 normal numbers for an input with a name."""
    return np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape).astype(np.float32)


def save(path: pathlib.Path, golden: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as one float32 array with the names beside: hundreds of small files would be mostly headers."""
    names = sorted(golden)
    np.savez_compressed(
        path,
        names=np.array(names),
        shapes=np.array([" ".join(map(str, golden[name].shape)) for name in names]),
        values=np.concatenate([golden[name].astype(np.float32).ravel() for name in names]),
    )
    print(f"{len(names)} arrays, {path.stat().st_size} bytes")


def load(name: str) -> dict[str, np.ndarray]:
    """The arrays that `save` wrote to a file in this folder."""
    with np.load(pathlib.Path(__file__).with_name(name)) as file:
        shapes = [tuple(map(int, shape.split())) for shape in file["shapes"]]
        parts = np.split(file["values"], np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
        return {name: part.reshape(shape) for name, part, shape in zip(file["names"], parts, shapes, strict=True)}
