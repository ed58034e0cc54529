"""Bytes, FLOPs and collectives of programs that XLA's CPU backend compiles here, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from experiments.compiling import costs, hlo
from experiments.compiling.collectives import Collective
from san_jax import sharding
from tests.experiments.compiling.programs import kernels, total


def shape(*dims: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(dims, dtype)


def test_an_addition_reads_two_arrays_and_writes_one():
    launched = kernels(lambda a, b: a + b, shape(30, 100), shape(30, 100))
    assert len(launched) == 1
    assert total(launched, "bytes") == 3 * 4 * 3000
    assert (total(launched, "product_flops"), total(launched, "other_flops")) == (0, 3000)


def test_a_fused_chain_moves_its_ends_only():
    launched = kernels(lambda a: jnp.tanh(a * a) + 1.0, shape(64, 64))
    assert total(launched, "bytes") == 2 * 4 * 64 * 64
    assert total(launched, "other_flops") == 3 * 64 * 64


def test_a_sum_is_as_many_additions_as_it_reads_numbers():
    launched = kernels(lambda a: a.sum(1), shape(16, 1000))
    assert total(launched, "other_flops") == pytest.approx(16 * 1000, rel=0.05)  # XLA may split it in two
    assert total(launched, "bytes") == pytest.approx(4 * 16 * 1001, rel=0.1)


@pytest.mark.parametrize(("m", "k", "n"), [(64, 32, 16), (128, 256, 512), (17, 300, 7)])
def test_a_matrix_product(m: int, k: int, n: int):
    launched = kernels(lambda a, b: a @ b, shape(m, k), shape(k, n))
    assert total(launched, "product_flops") == 2 * m * k * n
    assert total(launched, "bytes") == 4 * (m * k + k * n + m * n)


def test_a_batch_of_matrix_products():
    launched = kernels(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), shape(5, 8, 16), shape(5, 16, 4))
    assert total(launched, "product_flops") == 2 * 5 * 8 * 16 * 4


def convolve(images, kernel, *, stride=1, padding="SAME"):
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def pairs(length: int, size: int, stride: int, low: int, outputs: int) -> int:
    """Pairs of an output and a position of the window that lies on the input, along one axis."""
    places = stride * np.arange(outputs)[:, None] + np.arange(size) - low
    return int(((places >= 0) & (places < length)).sum())


def test_a_convolution_without_padding():
    launched = kernels(lambda x, k: convolve(x, k, padding="VALID"), shape(4, 20, 10, 8), shape(3, 5, 8, 16))
    assert total(launched, "product_flops") == 2 * 4 * 18 * 6 * 16 * 3 * 5 * 8


def test_zeros_of_the_padding_are_not_multiplied():
    launched = kernels(convolve, shape(2, 12, 9, 4), shape(3, 3, 4, 6))
    assert total(launched, "product_flops") == 2 * 2 * 6 * 4 * pairs(12, 3, 1, 1, 12) * pairs(9, 3, 1, 1, 9)


# With stride 2, XLA's SAME padding of an even length is one zero behind it.
@pytest.mark.parametrize(("stride", "low"), [(1, 1), (2, 0)])
def test_the_gradients_of_a_convolution_cost_what_it_costs_itself(stride: int, low: int):
    images, kernel = shape(2, 12, 8, 4), shape(3, 3, 4, 6)

    def loss(images, kernel):
        return (convolve(images, kernel, stride=stride) ** 2).sum()

    positions = pairs(12, 3, stride, low, 12 // stride) * pairs(8, 3, stride, low, 8 // stride)
    forward = 2 * 2 * 6 * 4 * positions
    assert total(kernels(loss, images, kernel), "product_flops") == forward
    for argument in (0, 1):
        gradient = jax.grad(loss, argument)
        assert total(kernels(gradient, images, kernel), "product_flops") == 2 * forward


def test_a_gather_reads_the_rows_that_it_takes():
    launched = kernels(lambda table, rows: table[rows], shape(10_000, 64), shape(8, dtype=jnp.int32))
    assert 2 * 4 * 8 * 64 <= total(launched, "bytes") < 4 * 4 * 8 * 64


def test_an_update_in_place_writes_the_update():
    def update(table, row):
        return jax.lax.dynamic_update_slice(table, row, (5, 0))

    text = jax.jit(update, donate_argnums=0).lower(shape(10_000, 64), shape(1, 64)).compile().as_text()
    assert total(costs.kernels(hlo.parse(text)), "bytes") == pytest.approx(2 * 4 * 64, abs=16)


def test_a_loop_counts_its_turns():
    def loop(a):
        return jax.lax.fori_loop(0, 7, lambda _, value: jnp.tanh(value @ value), a)

    launched = kernels(loop, shape(32, 32))
    assert total(launched, "product_flops") == 7 * 2 * 32**3
    assert costs.messages(launched) == []


def sharded(devices: int, *dims: int) -> jax.ShapeDtypeStruct:
    mesh = sharding.make_mesh(jax.devices()[:devices])
    return jax.ShapeDtypeStruct(dims, jnp.float32, sharding=sharding.batch_sharding(mesh))


def test_an_all_reduce_over_eight_devices():
    launched = kernels(lambda a: a.sum(0), sharded(8, 64, 1000))
    assert costs.messages(launched) == [Collective("all-reduce", 1, 4 * 1000)]
    # On one device of eight: the sum of 8 rows, and the all-reduce of the result.
    assert total(launched, "bytes") == pytest.approx(4 * (8 * 1000 + 1000) + 2 * 4 * 1000, rel=0.1)
    assert costs.messages(kernels(lambda a: a.sum(0), sharded(1, 64, 1000))) == []


def test_an_all_gather_counts_what_a_device_takes():
    array = sharded(8, 64, 100)
    mesh = array.sharding.mesh

    def gather(a):
        return jax.lax.with_sharding_constraint(a, NamedSharding(mesh, PartitionSpec()))

    assert costs.messages(kernels(gather, array)) == [Collective("all-gather", 1, 4 * 64 * 100)]


# ------------------------------------------------------------------------------------- texts of the other backends

CUDNN = """HloModule step, is_scheduled=true

ENTRY %main (x: bf16[2,16,8,4], w: bf16[6,3,3,4], dy: bf16[2,8,4,6]) -> bf16[2,8,4,6] {
  %x = bf16[2,16,8,4]{3,2,1,0} parameter(0)
  %w = bf16[6,3,3,4]{3,2,1,0} parameter(1)
  %dy = bf16[2,8,4,6]{3,2,1,0} parameter(2)
  %dx = (bf16[2,16,8,4]{3,2,1,0}, u8[0]{0}) custom-call(%dy, %w), WINDOW, custom_call_target="__cudnn$convBackwardInput"
  %dw = (bf16[6,3,3,4]{3,2,1,0}, u8[32]{0}) custom-call(%x, %dy), WINDOW, custom_call_target="__cudnn$convBackwardFilter"
  ROOT %y = (bf16[2,8,4,6]{3,2,1,0}, u8[0]{0}) custom-call(%x, %w), WINDOW, custom_call_target="__cudnn$convForward"
}
""".replace("WINDOW", "window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f")


def test_cudnns_gradients_cost_what_the_forward_convolution_costs():
    launched = costs.kernels(hlo.parse(CUDNN))
    one = 2 * 2 * 6 * 4 * pairs(16, 3, 2, 1, 8) * pairs(8, 3, 2, 1, 4)
    assert [kernel.product_flops for kernel in launched] == [one] * 3
    assert {product.dtype for kernel in launched for product in kernel.products} == {"bf16"}
    x, w, y = 2 * 2 * 16 * 8 * 4, 2 * 6 * 3 * 3 * 4, 2 * 2 * 8 * 4 * 6
    assert [kernel.bytes for kernel in launched] == [x + w + y, x + w + y + 32, x + w + y]


TPU = """HloModule step, is_scheduled=true

%fused (a: f32[1000,1000]) -> f32[1000,1000] {
  %a = f32[1000,1000]{1,0:T(8,128)S(1)} parameter(0)
  ROOT %product = f32[1000,1000]{1,0:T(8,128)} convolution(%a, %a), dim_labels=bf_oi->bf, operand_precision={highest,highest}
}

ENTRY %main (x: f32[1000,1000]) -> f32[1000,1000] {
  %x = f32[1000,1000]{1,0:T(8,128)} parameter(0)
  %start = (f32[1000,1000]{1,0:T(8,128)S(1)}, f32[1000,1000]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%x)
  %done = f32[1000,1000]{1,0:T(8,128)S(1)} copy-done(%start)
  ROOT %fusion = f32[1000,1000]{1,0:T(8,128)} fusion(%done), kind=kOutput, calls=%fused
}
"""


def test_a_tpus_tiles_are_padded_and_its_vmem_is_not_main_memory():
    copy, fusion = costs.kernels(hlo.parse(TPU))
    assert copy.bytes == fusion.bytes == 4 * 1000 * 1024  # one reads it from main memory, the other writes it there
    (product,) = fusion.products
    assert (product.flops, product.dtype, product.precision) == (2 * 1000**3, "f32", "highest")


STARTED = """HloModule step, is_scheduled=true

%inner (p: f32[8,4]) -> f32[2,4] {
  %p = f32[8,4]{1,0} parameter(0)
  ROOT %slice = f32[2,4]{1,0} slice(%p), slice={[0:2], [0:4]}
}

ENTRY %main (x: f32[8,4]) -> f32[64,4] {
  %x = f32[8,4]{1,0} parameter(0)
  %begun = ((f32[8,4]{1,0}), f32[2,4]{1,0}, u32[]) async-start(%x), calls=%inner
  %ended = f32[2,4]{1,0} async-done(%begun), calls=%inner
  %gather = (f32[8,4]{1,0}, f32[64,4]{1,0}) all-gather-start(%x), dimensions={0}
  ROOT %gathered = f32[64,4]{1,0} all-gather-done(%gather)
}
"""


def test_what_is_started_and_done_counts_once():
    sliced, gathered = costs.kernels(hlo.parse(STARTED))
    assert sliced.bytes == 2 * 4 * 8
    assert gathered.bytes == 4 * (32 + 256)
    assert costs.messages([sliced, gathered]) == [Collective("all-gather", 1, 4 * 256)]


OVERLAPPED = """HloModule step, is_scheduled=true

%begin (p: f32[2,128]) -> (f32[2,128], f32[8,128], u32[]) {
  %p = f32[2,128]{1,0} parameter(0)
  %gather.1 = f32[8,128]{1,0} all-gather(%p), channel_id=7, dimensions={0}
  ROOT %call.1 = (f32[2,128]{1,0}, f32[8,128]{1,0}, u32[]{:S(2)}) custom-call(%gather.1), custom_call_target="AsyncCollectiveStart"
}

%async_collective_fusion.1 (q: f32[2,128], r: f32[8,128], s: f32[16]) -> (f32[16], f32[2,128], f32[8,128]) {
  %q = f32[2,128]{1,0} parameter(0)
  %r = f32[8,128]{1,0} parameter(1)
  %s = f32[16]{0} parameter(2)
  %twice = f32[16]{0} add(%s, %s)
  %gather.2 = f32[8,128]{1,0} all-gather(%q), channel_id=7, dimensions={0}
  ROOT %all = (f32[16]{0}, f32[2,128]{1,0}, f32[8,128]{1,0}) tuple(%twice, %q, %gather.2)
}

%end (t: f32[2,128], u: f32[8,128]) -> f32[8,128] {
  %t = f32[2,128]{1,0} parameter(0)
  %u = f32[8,128]{1,0} parameter(1)
  %gather.3 = f32[8,128]{1,0} all-gather(%t), channel_id=7, dimensions={0}
  ROOT %call.2 = f32[8,128]{1,0} custom-call(%t, %u, %gather.3), custom_call_target="AsyncCollectiveDone"
}

%all-reduce-scatter.1 (v: f32[8,128]) -> f32[2,128] {
  %v = f32[8,128]{1,0} parameter(0)
  %sum = f32[8,128]{1,0} all-reduce(%v), channel_id=7, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %share = f32[2,128]{1,0} dynamic-slice(%sum, %zero, %zero), dynamic_slice_sizes={2,128}
}

ENTRY %main (x: f32[2,128], y: f32[16]) -> f32[2,128] {
  %x = f32[2,128]{1,0} parameter(0)
  %y = f32[16]{0} parameter(1)
  %first = (f32[2,128]{1,0}, f32[8,128]{1,0}, u32[]{:S(2)}) fusion(%x), kind=kCustom, calls=%begin
  %kept = f32[2,128]{1,0} get-tuple-element(%first), index=0
  %coming = f32[8,128]{1,0} get-tuple-element(%first), index=1
  %second = (f32[16]{0}, f32[2,128]{1,0}, f32[8,128]{1,0}) fusion(%kept, %coming, %y), kind=kOutput, calls=%async_collective_fusion.1
  %kept.2 = f32[2,128]{1,0} get-tuple-element(%second), index=1
  %coming.2 = f32[8,128]{1,0} get-tuple-element(%second), index=2
  %third = f32[8,128]{1,0} fusion(%kept.2, %coming.2), kind=kCustom, calls=%end
  ROOT %fourth = f32[2,128]{1,0} fusion(%third), kind=kCustom, calls=%all-reduce-scatter.1
}
"""


def test_a_tpus_collective_that_other_work_goes_on_beside_counts_once():
    launched = costs.kernels(hlo.parse(OVERLAPPED))
    assert [kernel.instruction.name for kernel in launched] == ["first", "second", "fourth"]
    assert launched[1].bytes == 2 * 4 * 16  # the addition; the gathered array only passes through
    assert costs.messages(launched) == [
        Collective("all-gather", 1, 4 * 8 * 128),
        Collective("reduce-scatter", 1, 4 * 8 * 128),
    ]


SLICED_TWICE = """HloModule sliced, is_scheduled=true

%fused (p: f32[64,8]) -> (f32[2,8], f32[2,8], f32[16,8]) {
  %p = f32[64,8]{1,0} parameter(0)
  %half = f32[32,8]{1,0} slice(%p), slice={[0:32], [0:8]}
  %first = f32[2,8]{1,0} slice(%half), slice={[0:2], [0:8]}
  %second = f32[2,8]{1,0} slice(%half), slice={[2:4], [0:8]}
  %rest = f32[16,8]{1,0} slice(%p), slice={[32:48], [0:8]}
  %doubled = f32[16,8]{1,0} add(%rest, %rest)
  ROOT %all = (f32[2,8]{1,0}, f32[2,8]{1,0}, f32[16,8]{1,0}) tuple(%first, %second, %doubled)
}

ENTRY %main (x: f32[64,8]) -> (f32[2,8], f32[2,8], f32[16,8]) {
  %x = f32[64,8]{1,0} parameter(0)
  ROOT %taken = (f32[2,8]{1,0}, f32[2,8]{1,0}, f32[16,8]{1,0}) fusion(%x), kind=kLoop, calls=%fused
}
"""


def test_of_a_slice_of_a_slice_the_inner_one_counts():
    (kernel,) = costs.kernels(hlo.parse(SLICED_TWICE))
    rows = 2 + 2 + 16
    assert kernel.bytes == 2 * 4 * 8 * rows  # read and written
