"""The bound that a device's published peaks set on a compiled step, kernel by kernel. It is no timing.

No kernel can be faster than its bytes at the memory's bandwidth, nor than its matrix products and convolutions at the
peak for their numbers. The bound adds up, for each kernel, the longer of the two. A device stays above it: kernels reach
a part of the peaks, each takes some microseconds to launch, and messages between devices are not part of it.
"""

import dataclasses
from collections.abc import Sequence

from experiments.compiling.costs import Kernel
from experiments.compiling.devices import Device


@dataclasses.dataclass(frozen=True)
class Bound:
    """The least time that kernels can take.

    Attributes:
        bytes: Seconds that the bytes take at the published bandwidth.
        products: Seconds that matrix products and convolutions take at the published peaks.
        kernels: Seconds of the longer of both for each kernel, added up.
    """

    bytes: float
    products: float
    kernels: float


def of_kernel(kernel: Kernel, device: Device) -> Bound:
    """Return the bound of all runs of a kernel."""
    seconds = kernel.times * kernel.bytes / device.bandwidth
    flops = kernel.times * sum(
        product.flops / device.peak(product.dtype, product.precision) for product in kernel.products
    )
    return Bound(seconds, flops, max(seconds, flops))


def of_kernels(kernels: Sequence[Kernel], device: Device) -> Bound:
    """Return the bound of kernels that run one after the other."""
    bounds = [of_kernel(kernel, device) for kernel in kernels]
    return Bound(*(sum(getattr(bound, field.name) for bound in bounds) for field in dataclasses.fields(Bound)))
