"""experiments/runs/steps.py: where the triplets of L_TR are taken from, for a plan on so many devices."""

import jax
import pytest

from experiments.command_line import config_files
from experiments.runs import steps
from experiments.runs.errors import RunError
from experiments.runs.plan import RunPlan, resolve
from san_jax import sharding


def mesh_of(num_devices: int) -> jax.sharding.Mesh:
    return sharding.make_mesh(jax.devices()[:num_devices])


def plan_of(config: str) -> RunPlan:
    return resolve(config_files.load(config))


@pytest.mark.parametrize(
    ("config", "num_devices", "is_local", "words"),
    [
        ("san.py:batch.num_identities=16", 1, False, ""),
        ("san.py:batch.num_identities=16", 2, True, "within a device, from 8 identities"),
        ("san.py:batch.num_identities=16", 8, True, "within a device, from 2 identities"),
        (
            "san.py:batch.num_identities=8", 8, False,
            "from all 8 identities and sends decoder maps between devices, as 8 devices do not hold two whole "
            "identities each (batch.num_identities=16 would do)",
        ),
        ("san.py:batch.num_identities=20", 8, False, "batch.num_identities=16 would do"),
        ("san.py:batch.num_identities=16,loss.triplet_reid_scope=global", 8, False, "from all 16 identities"),
        ("san.py:batch.num_identities=16,loss.triplet_reid_scope=local", 8, True, "from 2 identities"),
        ("san.py:batch.num_identities=3,loss.triplet_reid_scope=local", 1, False, ""),
        ("san.py:loss.triplet_reid_blocks=()", 8, False, ""),
        ("baseline.py:batch.num_identities=16", 8, False, ""),
        ("san_pg.py", 8, False, ""),
    ],
)  # fmt: skip
def test_where_triplets_are_taken_from(config, num_devices, is_local, words):
    plan, mesh = plan_of(config), mesh_of(num_devices)
    assert steps.triplet_mesh(plan, mesh) == (mesh if is_local else None)
    assert steps.triplet_mesh(plan, None) is None
    found = steps.describe_triplets(plan, mesh)
    assert words in found
    assert bool(words) == bool(found)


def test_automatic_scope_is_explained_only_where_it_could_not_be_local():
    assert "would do" not in steps.describe_triplets(plan_of("san.py:loss.triplet_reid_scope=global"), mesh_of(8))


@pytest.mark.parametrize(
    ("num_identities", "would_do"), [(8, "16"), (15, "16"), (20, "16 or 24"), (30, "24 or 32"), (1, "16")]
)
def test_local_triplets_that_cannot_be(num_identities, would_do):
    config = f"san.py:batch.num_identities={num_identities},loss.triplet=0,loss.triplet_reid_scope=local"
    with pytest.raises(RunError) as error:
        steps.triplet_mesh(plan_of(config), mesh_of(8))
    assert f"found batch.num_identities={num_identities}. Set batch.num_identities to {would_do}, or" in str(
        error.value
    )


def test_the_epochs_of_l_trs_warm_up_become_steps(monkeypatch):
    made = []
    for kind in ("reid", "pit"):
        monkeypatch.setattr(
            steps.train_step, f"make_{kind}_step", lambda graphdef, optimizer, settings: made.append(settings)
        )
    plan = plan_of("san.py:loss.triplet_reid_warmup_epochs=1.5")
    steps.make_steps(plan, plan.length.in_steps(30), None, None, {})
    assert [settings.triplet_reid_warmup_steps for settings in made] == [45, 45]
