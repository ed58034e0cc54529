"""`experiments.train_compile` as a whole, on the CPU devices of this machine; and the answers to what cannot be."""

import json
import math
from typing import Any

import jax
import pytest
from flax import nnx

from experiments import train_compile
from experiments.command_line import config_files
from experiments.compiling import topologies
from experiments.compiling.devices import Device
from experiments.runs import models
from experiments.runs.plan import resolve

TINY = "smoke,prepare=,image_size=(32, 32),model.width=2"
SAN = f"san.py:{TINY},model.texture_size=16,batch.pit_size=8"
CLASSES = 10


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> dict[str, Any]:
    """What the program writes for SAN's reID step on eight devices."""
    output = tmp_path_factory.mktemp("compiled") / "eight.json"
    arguments = [f"--config={SAN}", "--topology=cpu:8", "--steps=reid", f"--num_classes={CLASSES}"]
    train_compile.main([*arguments, f"--output={output}"])
    return json.loads(output.read_text())


def test_what_is_written(eight: dict[str, Any]):
    assert list(eight["steps"]) == ["reid"]
    assert (eight["devices"], eight["topology"], eight["num_classes"]) == (8, "cpu:8", CLASSES)
    assert eight["published"] is None
    assert any(line.startswith("method: san") for line in eight["plan"])
    step = eight["steps"]["reid"]
    memory = step["memory"]
    assert (step["batch"], step["fits"]) == (8, True)
    assert step["bound"] is None  # nothing is published about this machine
    assert memory["peak"] == memory["arguments"] + memory["outputs"] - memory["aliased"] + memory["temporary"]
    # The donated state is given back in place.
    assert 0.9 * memory["arguments"] < memory["aliased"] <= memory["outputs"]
    assert step["bytes"] > memory["arguments"]
    assert step["product_flops"] > step["other_flops"] > 0
    assert step["kernels"] > 100


def test_the_gradients_are_reduced_over_the_devices(eight: dict[str, Any]):
    model = models.skeleton(resolve(config_files.load(SAN)), CLASSES)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    sizes = {each["kind"]: each["bytes"] for each in eight["steps"]["reid"]["collectives"]}
    assert sizes["all-reduce"] > 0.9 * 4 * parameters


def test_the_longest_operations_come_with_their_lines(eight: dict[str, Any]):
    step = eight["steps"]["reid"]
    assert len(step["operations"]) == len(step["lines"]) == 10
    for listed in (step["operations"], step["lines"]):
        shares = [entry["share"] for entry in listed]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1
    sources = [entry["source"] for entry in step["lines"]]
    assert any(source.startswith("san_jax/models/") for source in sources)


@pytest.fixture
def only_lowered(monkeypatch) -> None:
    """Steps are lowered, and the compiler then gives up as libtpu does at 16 images a chip of a v5e 16x16."""

    def run_out_of_memory(self, *_, **__):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (17.30G) exceeds available HBM (15.75G). HLO module: jit_reid_step."
        )

    monkeypatch.setattr(jax.stages.Lowered, "compile", run_out_of_memory)


@pytest.mark.usefixtures("only_lowered")
def test_a_step_that_the_compiler_gives_up_on_does_not_fit(tmp_path, capsys):
    output = tmp_path / "c.json"
    with pytest.raises(SystemExit) as caught:
        train_compile.main([f"--config={SAN}", "--topology=cpu:8", f"--output={output}"])
    assert caught.value.code == 1
    assert capsys.readouterr().out.count("does not fit: needs at least 17.30 GiB of 15.75 GiB a device") == 2
    steps = json.loads(output.read_text())["steps"]
    assert {kind: step["fits"] for kind, step in steps.items()} == {"reid": False, "pit": False}


@pytest.mark.usefixtures("only_lowered")
def test_a_step_that_is_given_twice_is_compiled_once(capsys):
    with pytest.raises(SystemExit):
        train_compile.main([f"--config={SAN}", "--topology=cpu:8", "--steps=pit,pit"])
    assert capsys.readouterr().out.count("does not fit") == 1


def test_an_output_that_cannot_be_written_is_told_first(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        train_compile.main([f"--config={SAN}", "--topology=cpu:8", f"--output={tmp_path}"])
    assert caught.value.code == 2
    assert "is a folder, expected a file to write" in capsys.readouterr().err


@pytest.mark.usefixtures("only_lowered")
@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (f"san_pg.py:{TINY},model.texture_size=16,batch.pit_size=8,pit_augment.mirror_textures=true", ["pit"]),
        (f"{SAN},target.kind=input,ema_decay=0.9", ["reid", "pit"]),
        (f"{SAN},target.kind=frontal,optimizer.alternating=true", ["reid", "pit"]),
        (f"baseline.py:{TINY},input.kind=texture,input.path=runs/san_pg", ["reid"]),
    ],
)
def test_the_steps_of_every_kind_of_config_are_lowered(config: str, kinds: list[str], tmp_path):
    output = tmp_path / "c.json"
    with pytest.raises(SystemExit):
        train_compile.main([f"--config={config}", "--topology=cpu:2", f"--output={output}"])
    assert list(json.loads(output.read_text())["steps"]) == kinds


def test_another_error_of_the_compiler_is_no_lack_of_memory(monkeypatch):
    def fail(self, *_, **__):
        raise jax.errors.JaxRuntimeError("INTERNAL: 3.00G of 4.00G")

    monkeypatch.setattr(jax.stages.Lowered, "compile", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        train_compile.main([f"--config={SAN}", "--topology=cpu:8", "--steps=reid"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([f"--config={SAN}", "--config.batch.pit_size=9", "--topology=cpu:3"], "cannot be split evenly over 3 devices"),
        (["--config=baseline.py:smoke", "--topology=cpu:1", "--steps=pit"], "this config has the steps reid"),
        (["--config=baseline.py", "--topology=b1000:1"], "expected one of h100"),
    ],
)
def test_what_cannot_be_compiled_is_one_line(arguments: list[str], words: str):
    with pytest.raises(SystemExit) as caught:
        train_compile.main(arguments)
    message = str(caught.value)
    assert message.startswith("train_compile: ")
    assert words in message
    assert "\n" not in message


def test_the_console_and_a_device_that_is_too_small(monkeypatch, capsys):
    """A GPU of 2 MB, of which JAX uses three quarters, put in the place of the CPU."""
    small = Device("small", "cuda", 2_000_000, 1e9, {"bf16": 1e12, "tf32": 1e12, "fp32": 1e12}, "this test")

    def open_small(name, count):
        return topologies.Topology(name, "cpu", small, jax.devices()[:count], 1, "nothing")

    monkeypatch.setattr(topologies, "_open_cpu", open_small)
    with pytest.raises(SystemExit) as caught:
        train_compile.main([f"--config=baseline.py:{TINY}", "--topology=cpu:1"])
    assert caught.value.code == 1
    text = capsys.readouterr().out
    for words in (
        "1 x small, compiled by nothing",
        "reid step, 8 images a batch:",
        "does not fit: needs 0.0",
        "bytes moved: ",
        "FLOPs: ",
        "kernels: ",
        "bound (no timing): at most ",
        "largest shares of the bound, by operation:",
        "by source line:",
    ):
        assert words in text
