"""Bounds of made-up kernels on a made-up device, computed by hand; and the table of devices."""

import pathlib
import re

import pytest

from experiments.compiling import roofline, topologies
from experiments.compiling.costs import Kernel
from experiments.compiling.devices import DEVICES, Device
from experiments.compiling.hlo import Computation, Instruction
from experiments.compiling.products import Product

GPU = Device("a GPU", "cuda", 1000, 100.0, {"bf16": 1000.0, "tf32": 500.0, "fp32": 50.0}, "this test")
TPU = Device("a TPU", "tpu", 1000, 100.0, {"bf16": 1200.0}, "this test")


def kernel(size: int, *products: Product, times: int = 1) -> Kernel:
    instruction = Instruction("k", "fusion", (), (), "", "", (), False)
    return Kernel(instruction, Computation("c", {}), times, size, products, 0)


def test_the_longer_of_bytes_and_products_counts_for_each_kernel():
    launched = [
        kernel(200, Product(1000, "bf16", "default")),  # 2 s of bytes, 1 s of products
        kernel(100, Product(1000, "bf16", "default"), Product(2000, "bf16", "default")),  # 1 s, 3 s
        kernel(50, times=4),  # 4 x 0.5 s
    ]
    assert roofline.of_kernels(launched, GPU) == roofline.Bound(bytes=5.0, products=4.0, kernels=7.0)


@pytest.mark.parametrize(
    ("device", "dtype", "precision", "peak"),
    [
        (GPU, "bf16", "default", 1000.0),
        (GPU, "f16", "highest", 1000.0),
        (GPU, "f32", "default", 500.0),
        (GPU, "f32", "highest", 50.0),
        (TPU, "bf16", "default", 1200.0),
        (TPU, "f32", "default", 1200.0),
        (TPU, "f32", "high", 400.0),
        (TPU, "f32", "highest", 200.0),
    ],
)
def test_the_peak_of_a_product(device: Device, dtype: str, precision: str, peak: float):
    assert device.peak(dtype, precision) == peak


def test_jax_leaves_a_quarter_of_a_gpu_and_nothing_of_a_tpu():
    assert (GPU.usable_memory, TPU.usable_memory) == (750, 1000)


@pytest.mark.parametrize("name", [name for name, device in DEVICES.items() if device.platform == "cuda"])
def test_the_description_of_a_gpu_agrees_with_what_is_published(name: str):
    """XLA's cost models read it; it has the memory and the bandwidth of the table."""
    folder = pathlib.Path(topologies.__file__).parent / "gpus"
    text = (folder / f"{name}.textproto").read_text()
    fields = {key: float(value) for key, value in re.findall(r"(\w+): ([\d.]+)\n", text)}
    assert fields["device_memory_size"] == DEVICES[name].memory
    assert fields["memory_bandwidth"] == pytest.approx(DEVICES[name].bandwidth, rel=0.002)
    # A fused multiply-add of each unit in each clock is the published FP32 peak, but for the clock that it is taken at.
    fp32 = 2 * fields["core_count"] * fields["fpus_per_core"] * fields["clock_rate_ghz"] * 1e9
    assert fp32 == pytest.approx(DEVICES[name].peaks["fp32"], rel=0.01)
