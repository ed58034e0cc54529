"""The devices that can be compiled for, with the peaks that their vendors publish. Standard library only, for `--help`."""

import dataclasses
from collections.abc import Mapping

_NVIDIA = "datasheet of NVIDIA, dense"
_GOOGLE = "Cloud TPU documentation, per chip"

# Passes of bfloat16 products that a TPU makes of a float32 product, by the precision that JAX asks for.
_TPU_PASSES = {"default": 1, "high": 3, "highest": 6}
# What JAX reserves of a GPU's memory, unless XLA_CLIENT_MEM_FRACTION in the environment of the run says otherwise.
_GPU_SHARE = 0.75


@dataclasses.dataclass(frozen=True)
class Device:
    """A kind of device.

    Attributes:
        title: Its name for people.
        platform: JAX's platform: "cuda" or "tpu".
        memory: Bytes of its main memory.
        bandwidth: Published bandwidth of that memory, bytes/s.
        peaks: Published FLOP/s of matrix products: "bf16" and, for GPUs, "tf32" and "fp32".
        source: Where the published numbers stand.
    """

    title: str
    platform: str
    memory: int
    bandwidth: float
    peaks: Mapping[str, float]
    source: str

    @property
    def usable_memory(self) -> int:
        """Bytes that JAX uses by default."""
        return int(self.memory * _GPU_SHARE) if self.platform == "cuda" else self.memory

    def peak(self, dtype: str, precision: str) -> float:
        """Return the published FLOP/s of a product of numbers of an HLO type, at a precision of JAX's.

        By default, GPUs multiply float32 as TF32 and TPUs as bfloat16.
        """
        if dtype != "f32":
            return self.peaks["bf16"]
        if self.platform == "tpu":
            return self.peaks["bf16"] / _TPU_PASSES[precision]
        return self.peaks["fp32" if precision == "highest" else "tf32"]


def _gpu(title: str, memory: int, bandwidth: float, bf16: float, tf32: float, fp32: float) -> Device:
    return Device(title, "cuda", memory, bandwidth, {"bf16": bf16, "tf32": tf32, "fp32": fp32}, _NVIDIA)


def _tpu(title: str, gibibytes: float, bandwidth: float, bf16: float) -> Device:
    return Device(title, "tpu", int(gibibytes * 2**30), bandwidth, {"bf16": bf16}, _GOOGLE)


# The memory of a GPU is what its driver reports.
DEVICES = {
    "h100": _gpu("NVIDIA H100 SXM 80 GB", 84_929_347_584, 3.35e12, 989.4e12, 494.7e12, 67e12),
    "h200": _gpu("NVIDIA H200 SXM 141 GB", 150_754_820_096, 4.8e12, 989.4e12, 494.7e12, 67e12),
    "a100": _gpu("NVIDIA A100 SXM 80 GB", 85_100_068_864, 2.039e12, 312e12, 156e12, 19.5e12),
    "l4": _gpu("NVIDIA L4 24 GB", 24_152_899_584, 0.3e12, 121e12, 60e12, 30.3e12),
    # The memory of a TPU is what libtpu offers: 15.75 of the 16 GiB of a v5e.
    "v5e": _tpu("TPU v5e", 15.75, 0.819e12, 197e12),
    "v5p": _tpu("TPU v5p", 95.73, 2.765e12, 459e12),
    "v6e": _tpu("TPU v6e", 31.24, 1.64e12, 918e12),
}
