"""Kernels lead back to the JAX operation and to our line."""

import inspect
import re

import jax
import jax.numpy as jnp
import pytest

from experiments.compiling import costs, hlo, origins
from san_jax.losses import triplet
from tests.experiments.compiling.programs import compile_module

IMAGES = jax.ShapeDtypeStruct((8, 16), jnp.float32)
LABELS = jax.ShapeDtypeStruct((8,), jnp.int32)


def test_a_kernel_leads_to_the_line_of_ours_that_made_it():
    def loss(embedding, labels):
        return triplet.batch_hard_triplet_loss(embedding, labels, margin=0.3)

    module = compile_module(loss, IMAGES, LABELS)
    found = [origins.find(module, kernel) for kernel in costs.kernels(module)]
    lines, start = inspect.getsourcelines(triplet)
    places = [re.fullmatch(r"san_jax/losses/triplet\.py:(\d+) (\w+)", origin.source) for origin in found]
    named = [place for place in places if place]
    assert named
    for place in named:
        assert start <= int(place[1]) <= start + len(lines)
        assert f"def {place[2]}(" in "".join(lines)
    assert any("loss" in origin.op_name for origin in found)


def test_code_of_others_is_no_source_of_ours():
    module = compile_module(lambda a: jnp.tanh(a), IMAGES)  # this test is in none of the packages
    (kernel,) = costs.kernels(module)
    origin = origins.find(module, kernel)
    assert origin.source == ""
    assert origin.op_name.endswith("/tanh")


def test_a_kernel_that_xla_made_up_is_named_by_what_it_reads():
    text = """HloModule step

ENTRY %main (weights: f32[4,8]) -> f32[4,8] {
  %weights = f32[4,8]{1,0} parameter(0)
  ROOT %copy.1 = f32[4,8]{0,1} copy(%weights)
}
"""
    module = hlo.parse(text)
    (kernel,) = costs.kernels(module)
    assert origins.find(module, kernel) == origins.Origin("copy of weights", "")


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        hlo.parse("module @jit_step attributes {mhlo.num_partitions = 1 : i32} {\n")
