"""P x K sampling: what the paper's batches need, and purity in (seed, step)."""

import collections

import numpy as np
import pytest

from san_jax.data import sampler


def _labels(sizes: list[int], seed: int = 0) -> np.ndarray:
    """Labels of identities with the given numbers of images, in mixed order."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


def _batch(labels: np.ndarray, step: int, identities: int, images: int, seed: int = 7) -> np.ndarray:
    batches = sampler.IdentitySampler.from_labels(
        labels, seed=seed, num_identities=identities, images_per_identity=images
    )
    return batches.batch(step).reshape(identities, images)


@pytest.mark.parametrize(("num_identities", "per_batch"), [(12, 4), (13, 4), (7, 5), (4, 4), (5, 1), (9, 8)])
def test_epochs_cover_all_identities_and_batches_repeat_none(num_identities: int, per_batch: int):
    labels = _labels([5] * num_identities)
    batches_per_epoch = -(-num_identities // per_batch)
    orders = []
    for epoch in range(4):
        seen = []
        for step in range(epoch * batches_per_epoch, (epoch + 1) * batches_per_epoch):
            rows = labels[_batch(labels, step, per_batch, 3)]
            assert (rows == rows[:, :1]).all()
            assert len(set(rows[:, 0])) == per_batch
            seen += rows[:, 0].tolist()
        assert set(seen) == set(range(num_identities))
        # The first num_identities visits of an epoch are a permutation; only the filling repeats.
        assert len(set(seen[:num_identities])) == num_identities
        orders.append(tuple(seen))
    assert len(set(orders)) == 4


def test_is_a_pure_function_of_seed_and_step():
    labels = _labels([3, 8, 1, 5, 4, 6])
    late = _batch(labels, 29, 4, 4)
    for step in range(29):
        _batch(labels, step, 4, 4)
    np.testing.assert_array_equal(_batch(labels, 29, 4, 4), late)
    assert not np.array_equal(_batch(labels, 29, 4, 4, seed=8), late)
    assert not np.array_equal(_batch(labels, 30, 4, 4), late)
    # Seed 0 is a seed like any other.
    assert not np.array_equal(_batch(labels, 29, 4, 4, seed=0), late)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 9, 16])
def test_every_image_of_an_identity_is_used_before_any_repeats(size: int):
    images_per_identity = 4
    labels = _labels([size, 5, 5])
    visits = [
        row.tolist()
        for step in range(12)
        for row in _batch(labels, step, 3, images_per_identity)
        if labels[row[0]] == 0
    ]
    assert len(visits) == 12
    for visit in visits:
        counts = collections.Counter(visit)
        if size >= images_per_identity:
            assert max(counts.values()) == 1
        else:
            assert len(counts) == size
            assert max(counts.values()) - min(counts.values()) <= 1
    # A walk of ceil(size / K) visits shows all images.
    walk = -(-size // images_per_identity)
    for start in range(0, 12, walk):
        assert set(np.ravel(visits[start : start + walk])) == set(np.flatnonzero(labels == 0))


def test_images_of_an_identity_change_over_epochs():
    labels = _labels([6] * 4)
    choices = {
        frozenset(row) for step in range(40) for row in _batch(labels, step, 4, 2).tolist() if labels[row[0]] == 1
    }
    # 15 pairs of 6 images; 40 draws without a walk in them would still miss few.
    assert len(choices) >= 8


def test_an_identity_that_fills_up_an_epoch_leaves_the_walk_of_its_images_whole():
    # 5 identities, 4 a batch: 3 of the 8 visits of an epoch fill up. With 2 visits a walk, every two epochs must show
    # all 8 images of each identity in the visits that do not fill up.
    labels = _labels([8] * 5)
    for first_epoch in range(0, 12, 2):
        shown = collections.defaultdict(set)
        for epoch in (first_epoch, first_epoch + 1):
            rows = np.concatenate([_batch(labels, epoch * 2 + part, 4, 4) for part in range(2)])
            for row in rows[:5]:
                shown[int(labels[row[0]])] |= set(row.tolist())
            for row in rows:
                assert len(set(row.tolist())) == 4
        for identity in range(5):
            assert shown[identity] == set(np.flatnonzero(labels == identity).tolist())


def test_identities_come_up_equally_often():
    # 751 identities of Market-1501's sizes would take long; 10 identities, 4 a batch, 300 epochs of 12 visits.
    labels = _labels([4] * 10)
    visits = collections.Counter(
        int(labels[row[0]]) for step in range(900) for row in _batch(labels, step, 4, 1).tolist()
    )
    # 300 visits each for certain, and 600 filling ones: 60 +- 6 each (binomial standard deviation 7.3 at most).
    assert sum(visits.values()) == 3600
    assert min(visits.values()) > 300 + 60 - 5 * 7.4
    assert max(visits.values()) < 300 + 60 + 5 * 7.4


def test_labels_need_not_be_contiguous():
    labels = np.array([40, 7, 40, 7, 1000])
    rows = labels[_batch(labels, 0, 3, 2)]
    assert set(rows[:, 0].tolist()) == {7, 40, 1000}


def test_classes_are_the_labels_numbered_without_gaps():
    classes, count = sampler.number_classes(np.array([40, 7, 40, 2_000_000_000, 7]))
    assert (classes.tolist(), count) == ([1, 0, 1, 2, 0], 3)
    labels = _labels([2, 1, 3])
    np.testing.assert_array_equal(sampler.number_classes(labels)[0], labels)
    with pytest.raises(ValueError, match="Expected labels from 0, found -1"):
        sampler.number_classes(np.array([0, -1]))


@pytest.mark.parametrize(("identities", "visits"), [(3, 8), (2, 5), (1, 4)])
def test_too_few_identities_fill_a_batch_with_other_images_of_theirs(identities: int, visits: int):
    labels = _labels([12] * identities)
    for step in range(4):
        batch = _batch(labels, step, visits, 2)
        assert batch.shape == (visits, 2)
        shown = labels[batch[:, 0]]
        np.testing.assert_array_equal(labels[batch[:, 1]], shown)
        counts = np.bincount(shown, minlength=identities)
        assert counts.max() - counts.min() <= (visits % identities > 0)
        for identity in range(identities):
            # The visits that fill up show different images, and the first visit walks on as it does without them.
            again = batch[shown == identity][1:].ravel()
            assert len(set(again.tolist())) == len(again)
        alone = _batch(labels, step, identities, 2)
        np.testing.assert_array_equal(batch[:identities], alone)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="Expected labelled images, found none"):
        _batch(np.zeros(0, np.int64), 0, 2, 2)


def test_labels_of_a_test_split_are_refused():
    with pytest.raises(ValueError, match="train on the split 'train'"):
        _batch(np.full(6, -1), 0, 2, 2)


@pytest.mark.parametrize(("identities", "images"), [(0, 4), (4, 0)])
def test_batch_shape_must_be_positive(identities: int, images: int):
    with pytest.raises(ValueError, match=f"num_identities={identities} and images_per_identity={images}"):
        _batch(_labels([4] * 5), 0, identities, images)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(12, 4), (13, 4), (5, 5), (3, 8), (1, 2)])
def test_shuffled_batches_cover_each_epoch(num_examples: int, batch_size: int):
    per_epoch = -(-num_examples // batch_size)
    for epoch in range(3):
        seen: list[int] = []
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            batch = sampler.shuffled_batch(num_examples, step=step, seed=3, batch_size=batch_size)
            assert batch.shape == (batch_size,)
            assert len(set(batch.tolist())) == min(batch_size, num_examples)
            seen += batch.tolist()
        assert sorted(seen[:num_examples]) == list(range(num_examples))


def test_shuffled_batches_differ_by_step_seed_and_from_the_identity_order():
    draw = [
        tuple(sampler.shuffled_batch(50, step=step, seed=seed, batch_size=50).tolist())
        for step in (0, 1)
        for seed in (0, 1)
    ]
    assert len(set(draw)) == 4
    identities = _batch(np.arange(50), 0, 50, 1, seed=0).ravel()
    assert tuple(identities.tolist()) != draw[0]


def test_shuffled_batch_refuses_an_empty_source():
    with pytest.raises(ValueError, match="found 0 and 4"):
        sampler.shuffled_batch(0, step=0, seed=0, batch_size=4)


@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_processes_share_a_global_batch_in_order(process_count: int):
    batch = np.arange(100, 112)
    parts = [sampler.process_slice(batch, index, process_count) for index in range(process_count)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)
    assert {len(part) for part in parts} == {12 // process_count}


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="global batch of 12 does not divide among 5 processes"):
        sampler.process_slice(np.arange(12), 0, 5)
    with pytest.raises(ValueError, match="from 0 to 1, found 2"):
        sampler.process_slice(np.arange(12), 2, 2)
