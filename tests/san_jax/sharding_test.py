"""san_jax/sharding.py on 8 CPU devices."""

import jax
import numpy as np
import pytest

from san_jax import sharding


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_batches_are_split_and_states_are_not(num_devices):
    mesh = sharding.make_mesh(jax.devices()[:num_devices])
    assert mesh.axis_names == ("data",)
    batch = {"image": np.arange(16 * 3, dtype=np.uint8).reshape(16, 3), "label": np.arange(16, dtype=np.int32)}
    placed = sharding.shard_batch(batch, mesh)
    for name, array in batch.items():
        np.testing.assert_array_equal(placed[name], array)
        assert placed[name].dtype == array.dtype
        assert len(placed[name].addressable_shards) == num_devices
        assert placed[name].addressable_shards[0].data.shape[0] == 16 // num_devices
    state = jax.device_put(np.ones(3), sharding.replicated(mesh))
    assert {shard.data.shape for shard in state.addressable_shards} == {(3,)}


@pytest.mark.parametrize(("count", "processes"), [(10, 4), (3, 4), (8, 2), (7, 1)])
def test_every_row_belongs_to_one_process_and_all_are_joined_in_order(monkeypatch, count, processes):
    rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    shares, padded = [], []
    for number in range(processes):
        monkeypatch.setattr(jax, "process_index", lambda number=number: number)
        shares.append(sharding.own_rows(count))
        monkeypatch.setattr(
            sharding.multihost_utils, "process_allgather", lambda own: padded.append(own) or np.stack([own] * processes)
        )
        if processes > 1:
            sharding.join_rows(rows[list(shares[-1])], count)
    assert [row for share in shares for row in share] == list(range(count))
    monkeypatch.setattr(sharding.multihost_utils, "process_allgather", lambda own: np.stack(padded))
    np.testing.assert_array_equal(sharding.join_rows(rows[list(shares[-1])], count), rows)


def test_mesh_takes_all_devices():
    assert sharding.make_mesh().size == 8


def test_batch_that_cannot_be_split():
    mesh = sharding.make_mesh()
    sharding.check_batch_size("batch.pit_size", 64, mesh)
    with pytest.raises(ValueError, match=r"batch.pit_size=12: 12 images cannot be split evenly over 8 devices"):
        sharding.check_batch_size("batch.pit_size", 12, mesh)


@pytest.mark.parametrize(
    ("count", "images_each", "nearest"),
    [
        (12, 1, "8 or 16"),
        (63, 1, "56 or 64"),
        (7, 1, "8"),
        (5, 4, "4 or 6"),
        (1, 4, "2"),
        (5, 3, "8"),
        (9, 3, "8 or 16"),
    ],
)
def test_nearest_batches_that_can_be_split_are_named(count, images_each, nearest):
    mesh = sharding.make_mesh()
    with pytest.raises(ValueError, match=rf"Set batch.size to {nearest}, or use fewer devices"):
        sharding.check_batch_size("batch.size", count, mesh, images_each=images_each)
    for number in map(int, nearest.split(" or ")):
        sharding.check_batch_size("batch.size", number, mesh, images_each=images_each)


def test_devices_that_hold_whole_identities():
    mesh = sharding.make_mesh()
    assert [count for count in range(1, 33) if sharding.holds_whole_identities(count, mesh)] == [16, 24, 32]


def test_process_id_out_of_range():
    sharding.initialize_distributed("", 1, 0)  # a single process: nothing to join
    with pytest.raises(ValueError, match=r"process_id must lie in 0..1"):
        sharding.initialize_distributed("localhost:1", 2, 2)


def test_flags_of_one_process():
    assert sharding.on_any_process(True) is True
    assert sharding.on_any_process(False) is False


def test_processes_are_counted_by_their_host(monkeypatch):
    def names_of(*hosts):
        """What the processes on these hosts tell each other."""

        def gather(own):
            rows = []
            for host in hosts:
                with monkeypatch.context() as patch:
                    patch.setattr(sharding.platform, "node", lambda host=host: host)
                    patch.setattr(
                        sharding.multihost_utils, "process_allgather", lambda row: rows.append(row) or row[None]
                    )
                    sharding.processes_of_this_host()
            return np.stack(rows)

        return gather

    assert sharding.processes_of_this_host() == 1
    monkeypatch.setattr(jax, "process_count", lambda: 5)
    monkeypatch.setattr(sharding.platform, "node", lambda: "b")
    monkeypatch.setattr(sharding.multihost_utils, "process_allgather", names_of("a", "b", "b", "c", "b"))
    assert sharding.processes_of_this_host() == 3
