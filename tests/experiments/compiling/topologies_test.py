"""What can be compiled for, and what the answers to everything else are."""

import importlib.util

import jax
import pytest

from experiments.compiling import topologies
from experiments.compiling.topologies import TopologyError, open_topology


def test_the_cpu_devices_of_this_machine():
    topology = open_topology("cpu:4")
    assert list(topology.devices) == jax.devices()[:4]
    assert (topology.platform, topology.device, topology.hosts) == ("cpu", None, 1)
    assert topology.title == "4 x CPU device of this machine"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("h1000:8", "expected one of h100, h200, a100, l4, v5e, v5p, v6e, cpu, found 'h1000'"),
        ("h100", "such as h100:8 or h100:4x8, found ''"),
        ("v5e:0", "found '0'"),
        ("v5e:2x2x2x2", "found '2x2x2x2'"),
        ("cpu:9", "Set JAX_NUM_CPU_DEVICES=9"),
    ],
)
def test_a_topology_that_does_not_exist(name: str, words: str):
    with pytest.raises(TopologyError) as caught:
        open_topology(name)
    assert f"--topology={name}: " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["v5e:32x8", "v5e:256", "v5e:2x2x2", "v5p:4x4x32", "v6e:17x16"])
def test_a_slice_that_there_is_not(monkeypatch, name: str):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)  # libtpu is not asked
    with pytest.raises(TopologyError, match=f"--topology={name}: expected a slice of at most 16x"):
        open_topology(name)


@pytest.mark.parametrize(("name", "package"), [("h100:1", "jax-cuda13-plugin"), ("v5e:2x2", "libtpu")])
def test_without_the_compiler_the_error_says_how_to_get_it(monkeypatch, name: str, package: str):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(TopologyError) as caught:
        open_topology(name)
    for words in (package, "make compile-env", ".venv-compile/bin/python"):
        assert words in str(caught.value)


def test_another_backend_pinned(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(TopologyError, match="JAX_PLATFORMS=cpu"):
        open_topology("cpu:1")


@pytest.mark.parametrize(
    ("size", "topology"), [("1", "1x1x1"), ("8", "1x1x8"), ("32", "1x4x8"), ("4x4", "1x4x4"), ("2x8", "1x2x8")]
)
def test_gpus_are_eight_a_host_unless_said_otherwise(monkeypatch, size: str, topology: str):
    asked = {}

    def get_topology_desc(**given):
        asked.update(given)
        return topologies.topologies.TopologyDescription(jax.devices())

    monkeypatch.setattr(topologies.topologies, "get_topology_desc", get_topology_desc)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(topologies.importlib.metadata, "version", lambda _: "0")
    open_topology(f"a100:{size}")
    assert (asked["platform"], asked["topology"]) == ("cuda", topology)
    assert "NVIDIA A100" in asked["target_config"]


def test_gpus_that_fill_no_hosts(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with pytest.raises(TopologyError, match="a multiple of 8"):
        open_topology("h100:12")
