"""What a benchmark ran on: machine and versions, as JSON values."""

import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import jax

from experiments.runs import provenance

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets", "numpy", "pillow"),
    *("jax-cuda13-plugin", "jax-cuda12-plugin", "libtpu", "torch", "torchreid", "onnx", "onnxruntime", "openvino"),
)
_DRIVER = pathlib.Path("/proc/driver/nvidia/version")


def machine() -> dict[str, Any]:
    """Return `processor` (its name), `cores` (that this process may use), `memory_gib`, `accelerators` and `driver`.

    `accelerators` lists JAX's devices, `kind`, `platform` and `count`, and is empty where JAX computes on the CPU.
    `driver` is the NVIDIA driver's line about itself, None without one.
    """
    device = jax.devices()[0]
    accelerator = {"kind": device.device_kind, "platform": device.platform, "count": jax.device_count()}
    return {
        "processor": provenance.processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "accelerators": [] if device.platform == "cpu" else [accelerator],
        "driver": _DRIVER.read_text().splitlines()[0].strip() if _DRIVER.is_file() else None,
    }


def versions() -> dict[str, str]:
    """Return the version of Python and of each of `PACKAGES` that is installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(found: dict[str, Any], installed: dict[str, str]) -> str:
    """Return machine and versions in two lines."""
    accelerators = ", ".join(f"{each['count']} x {each['kind']}" for each in found["accelerators"]) or "no accelerator"
    driver = f", {found['driver']}" if found["driver"] else ""
    words = f"{found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB of memory; {accelerators}{driver}"
    return f"{words}\n{', '.join(f'{name} {version}' for name, version in installed.items())}"
