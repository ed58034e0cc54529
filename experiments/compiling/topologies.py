"""Devices to compile for that this machine does not have: `h100:8`, `v5e:4x8`, and `cpu:8`, which it has."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import topologies

from experiments.compiling.devices import DEVICES, Device

_GPU_FOLDER = pathlib.Path(__file__).parent / "gpus"
_GPUS_OF_A_HOST = 8
_TPUS_OF_A_HOST = (2, 2, 1)
# The largest slices that there are. libtpu ends the process where a step is compiled for a larger one of v5e.
_LARGEST_SLICES = {"v5e": (16, 16), "v5p": (16, 20, 28), "v6e": (16, 16)}
_HOW = (
    "Run `make compile-env` in the repository, once, and then the same command with .venv-compile/bin/python in place "
    "of python."
)
# Package that compiles for a platform, and the module that it installs.
_COMPILERS = {"cuda": ("jax-cuda13-plugin", "jax_cuda13_plugin"), "tpu": ("libtpu", "libtpu")}
# For libtpu, which is only asked to compile: the first two keep it from looking for a TPU of this machine and complaining
# that there is none, the third lets several processes compile at the same time.
_TPU_ENVIRONMENT = {
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


class TopologyError(ValueError):
    """Nothing can be compiled for the devices asked for. The message says what to do."""


@dataclasses.dataclass(frozen=True)
class Topology:
    """Devices to compile for.

    Attributes:
        name: What was asked for, such as "h100:8".
        platform: JAX's platform: "cuda", "tpu" or "cpu".
        device: What is published about one of them; None for a CPU.
        devices: JAX's descriptions of them.
        hosts: Number of hosts that they are on.
        compiler: Name and version of the package that compiles for them.
    """

    name: str
    platform: str
    device: Device | None
    devices: Sequence[Any]
    hosts: int
    compiler: str

    @property
    def title(self) -> str:
        """Its name for people."""
        kind = "CPU device of this machine" if self.device is None else self.device.title
        hosts = f" on {self.hosts} hosts" if self.hosts > 1 else ""
        return f"{len(self.devices)} x {kind}{hosts}"


def open_topology(name: str) -> Topology:
    """Return the devices of a name.

    Args:
        name: Kind and number: `h100:8` (GPUs, eight a host), `h100:4x8` (hosts x GPUs of each), `v5e:4x8` (a slice, as
            Google names it), `v5e:1`, or `cpu:8`.

    Raises:
        TopologyError: There is no such device or slice, or this environment cannot compile for it.
    """
    kind, _, size = name.partition(":")
    if kind not in ("cpu", *DEVICES):
        raise TopologyError(f"--topology={name}: expected one of {', '.join([*DEVICES, 'cpu'])}, found {kind!r}.")
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){0,2}", size):
        raise TopologyError(
            f"--topology={name}: expected a number of devices or a shape behind the colon, such as {kind}:8 or "
            f"{kind}:4x8, found {size!r}."
        )
    lengths = [int(length) for length in size.split("x")]
    _check_platforms(name)
    if kind == "cpu":
        return _open_cpu(name, math.prod(lengths))
    device = DEVICES[kind]
    _check_compiler(name, device.platform)
    if device.platform == "cuda":
        describe = functools.partial(_describe_gpus, name, lengths)
    else:
        _check_slice(name, kind, lengths)
        describe = functools.partial(_describe_tpus, kind, lengths)
    try:
        devices = describe().devices
    except (RuntimeError, NotImplementedError) as error:
        raise TopologyError(f"--topology={name}: {str(error).splitlines()[0]}") from error
    package = _COMPILERS[device.platform][0]
    return Topology(
        name=name,
        platform=device.platform,
        device=device,
        devices=devices,
        hosts=len({described.process_index for described in devices}),
        compiler=f"{package} {importlib.metadata.version(package)}",
    )


def _check_platforms(name: str) -> None:
    """Raise an error where another backend than the CPU was chosen to run on, which compiling does not need."""
    chosen = os.environ.get("JAX_PLATFORMS", "")
    if chosen and "cpu" not in chosen.split(","):
        raise TopologyError(
            f"--topology={name}: the environment variable JAX_PLATFORMS is {chosen!r}, but this program runs on the "
            "CPU whatever it compiles for. Unset it or set JAX_PLATFORMS=cpu."
        )


def _check_compiler(name: str, platform: str) -> None:
    package, module = _COMPILERS[platform]
    if importlib.util.find_spec(module) is None:
        raise TopologyError(
            f"--topology={name}: the package {package} is not installed here, and without it nothing can be compiled "
            f"for {DEVICES[name.partition(':')[0]].title}. {_HOW}"
        )


def _open_cpu(name: str, count: int) -> Topology:
    devices = jax.devices("cpu")
    if len(devices) < count:
        raise TopologyError(
            f"--topology={name}: this process has {len(devices)} CPU devices. Set JAX_NUM_CPU_DEVICES={count}."
        )
    version = importlib.metadata.version("jaxlib")
    return Topology(name, "cpu", None, devices[:count], 1, f"jaxlib {version}")


def _describe_gpus(name: str, lengths: list[int]) -> topologies.TopologyDescription:
    match lengths:
        case [count] if count <= _GPUS_OF_A_HOST:
            hosts, of_a_host = 1, count
        case [count] if count % _GPUS_OF_A_HOST == 0:
            hosts, of_a_host = count // _GPUS_OF_A_HOST, _GPUS_OF_A_HOST
        case [hosts, of_a_host]:
            pass
        case _:
            kind = name.partition(":")[0]
            raise TopologyError(
                f"--topology={name}: expected up to {_GPUS_OF_A_HOST} GPUs, a multiple of {_GPUS_OF_A_HOST}, or hosts "
                f"x GPUs of each, such as {kind}:4x8."
            )
    target_config = (_GPU_FOLDER / f"{name.partition(':')[0]}.textproto").read_text()
    return topologies.get_topology_desc(platform="cuda", target_config=target_config, topology=f"1x{hosts}x{of_a_host}")


def _check_slice(name: str, kind: str, lengths: list[int]) -> None:
    largest = _LARGEST_SLICES[kind]
    known = zip(sorted(lengths, reverse=True), sorted(largest, reverse=True), strict=False)
    if len(lengths) > len(largest) or any(length > limit for length, limit in known):
        raise TopologyError(
            f"--topology={name}: expected a slice of at most {'x'.join(map(str, largest))} chips, such as {kind}:2x2"
            f"{'x1' if len(largest) == 3 else ''}."
        )


def _describe_tpus(kind: str, lengths: list[int]) -> topologies.TopologyDescription:
    for variable, value in _TPU_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    shape = lengths if len(lengths) > 1 else [lengths[0], 1]  # a number stands for as many chips in a row
    host = [min(length, of_a_host) for length, of_a_host in zip([*shape, 1], _TPUS_OF_A_HOST, strict=False)]
    return topologies.get_topology_desc(
        platform="tpu", topology_name=f"{kind}:{'x'.join(map(str, shape))}", chips_per_host_bounds=tuple(host)
    )
