"""The input's benchmark on noise images: every stage is timed, workers count, what does not fit is named."""

import json

import jax
import pytest

from experiments.benchmarks import feeding
from experiments.benchmarks.options import InputOptions, Options, StepOptions
from experiments.command_line import config_files
from san_jax import sharding
from tests.experiments import train_data

STAGES = (
    *("read the record", "decode the image", "resize the image", "decode the texture", "resize the texture"),
    *("a whole batch, in one thread", "to the device", "augment on the device"),
)
CONFIG = "san.py:smoke,image_size=(32, 16),model.texture_size=16,batch.num_identities=4,batch.pit_size=6"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train_data.build_all(tmp_path_factory.mktemp("input"), num_pairs=10, num_ids=6, per_id=2))


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sharding.make_mesh(jax.devices()[:1])
    monkeypatch.setattr(feeding.sharding, "make_mesh", lambda: mesh)


def measure(data_dir: str, config: str = CONFIG, num_workers: tuple[int, ...] = (0,)) -> dict:
    step = StepOptions(dtypes=("float32",), data_dir=data_dir)
    return feeding.measure(
        config_files.load(f"{config},target.kind=true_texture"),
        Options(step=step, input=InputOptions(num_workers, seconds=0.0)),
    )


def test_every_stage_of_every_kind_is_timed(data_dir: str):
    result = measure(data_dir)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert {kind: (found["dataset"], found["batch_size"]) for kind, found in result["kinds"].items()} == {
        "reid": ("pit_reid", 8),
        "pit": ("pit", 6),
    }
    for found in result["kinds"].values():
        assert tuple(found["programs"]) == (
            *STAGES,
            "decoded in a thread, to the device",
            "from host memory, to the device",
        )
        assert {row["reference"] for row in found["programs"].values()} == {"a whole batch, in one thread"}
        assert found["pictures"]["image"] == {"format": "JPEG", "stored": [256, 128], "size": [32, 16]}
        assert (found["pictures"]["texture"]["format"], found["pictures"]["texture"]["size"]) == ("PNG", [16, 16])
    text = feeding.table(result)
    assert f"data {data_dir}" in text
    assert "reid, pit_reid: image JPEG of 256x128, 32x16 in the batch" in text
    assert "| input of pit, 6 images | seconds: median (min to max) | images/s | images/s a core |" in text


def test_workers_are_timed_and_what_does_not_fit_is_named(data_dir: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feeding.step_data.feeding, "_host_bytes", lambda: 1000.0)
    config = (
        CONFIG.replace("san.py", "baseline.py").replace(",model.texture_size=16", "").replace(",batch.pit_size=6", "")
    )
    step = StepOptions(dtypes=("float32",), data_dir=data_dir)
    result = feeding.measure(config_files.load(config), Options(step=step, input=InputOptions((1,), seconds=0.0)))
    programs = result["kinds"]["reid"]["programs"]
    assert list(programs)[-1] == "decoded by 1 worker, to the device"
    assert not any("texture" in name for name in programs)
    reason = result["left_out"]["from host memory, to the device"]
    assert "the decoded training set has" in reason
    assert f"from host memory, to the device: {reason}" in feeding.table(result)


def test_a_turn_lasts_until_what_reads_ahead_is_idle(monkeypatch: pytest.MonkeyPatch):
    looks = iter([0.0, 0.02, 0.02, 0.02, 0.02, 0.04, 0.04, 0.04, 0.04, 0.0405])  # before and after each pause
    pauses, taken = [], []
    monkeypatch.setattr(feeding.timing, "processor_seconds", lambda: next(looks))
    monkeypatch.setattr(feeding.time, "sleep", pauses.append)
    monkeypatch.setattr(feeding.sharding, "shard_batch", lambda batch, mesh: taken.append(batch))
    feeding._feed(iter(range(10)), sharding.make_mesh(), 3)  # pyright: ignore[reportArgumentType]
    assert taken == [0, 1, 2]
    assert len(pauses) == 5  # busy, idle, busy, idle, idle
