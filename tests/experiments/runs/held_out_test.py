"""experiments/runs/held_out.py: which identities are kept from training, and what is searched for among them."""

import numpy as np
import pytest

from experiments.runs.errors import RunError
from experiments.runs.held_out import hold_out
from san_jax.data import reading

# Of identity: the cameras of its images. 3 has one camera, 4 has one image.
CAMERAS = {0: [0, 0, 1, 2], 1: [0, 1], 2: [1, 1, 2], 3: [2, 2, 2], 4: [0]}


def source(cameras: dict[int, list[int]] = CAMERAS) -> list[dict[str, int]]:
    return [{"label": label, "camera_id": camera} for label, of in cameras.items() for camera in of]


def labels_of(examples: list[dict[str, int]], positions: np.ndarray) -> set[int]:
    return {examples[position]["label"] for position in positions}


@pytest.mark.parametrize("seed", range(5))
def test_identities_are_trained_on_or_scored(seed: int):
    examples = source()
    held = hold_out(examples, 2, seed=seed)
    together = np.concatenate([held.training, held.query, held.gallery])
    assert sorted(together) == list(range(len(examples)))
    scored = labels_of(examples, held.query)
    assert len(scored) == 2
    assert scored <= {0, 1, 2}  # the others could not be found by another camera
    assert labels_of(examples, held.gallery) == scored
    assert labels_of(examples, held.training) == set(CAMERAS) - scored
    for query in held.query:
        matches = [examples[other] for other in held.gallery if examples[other]["label"] == examples[query]["label"]]
        assert any(match["camera_id"] != examples[query]["camera_id"] for match in matches)


def test_the_seed_chooses():
    chosen = {tuple(hold_out(source(), 1, seed=seed).query) for seed in range(20)}
    assert len(chosen) > 3
    first, again = (hold_out(source(), 1, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.query, again.query)


def test_with_one_camera_an_identity_needs_two_images():
    held = hold_out(source({0: [5, 5, 5], 1: [5], 2: [5, 5], 3: [5]}), 2, seed=0)
    assert labels_of(source({0: [5, 5, 5], 1: [5], 2: [5, 5], 3: [5]}), held.query) == {0, 2}
    assert len(held.query) == 2  # one of each identity


@pytest.mark.parametrize(
    ("cameras", "count", "message"),
    [
        (CAMERAS, 4, "of 5 training identities 3 have images of two cameras or more and can be scored"),
        ({0: [1, 1], 1: [1, 1]}, 1, "of 2 training identities 2 have two images or more .* two at least must be left"),
    ],
)
def test_too_few_identities(cameras: dict[int, list[int]], count: int, message: str):
    with pytest.raises(RunError, match=f"held_out_identities={count}: {message}"):
        hold_out(source(cameras), count, seed=0)


def test_subset_is_read_in_its_order():
    examples = source()
    subset = reading.Subset(examples, np.array([4, 0]))
    assert len(subset) == 2
    assert [subset[0], subset[1]] == [examples[4], examples[0]]
    np.testing.assert_array_equal(reading.read_labels(subset), [1, 0])
