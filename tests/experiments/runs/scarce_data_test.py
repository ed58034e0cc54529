"""What a training says of identities that are few, or have few images, and that it goes on."""

import numpy as np
import pytest

from experiments.runs import scarce_data, training
from experiments.runs.errors import RunError
from experiments.runs.plan import ReidBatches
from tests.experiments import train_data
from tests.experiments.runs.training_test import load, one_device, patch_steps

__all__ = ["one_device"]  # a fixture of the whole module


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([4, 5, 4, 6], []),
        ([4, 5, 4], ["3 identities are fewer than batch.num_identities=4: a batch shows each of them 1 or 2 times"]),
        ([4, 5], ["2 identities are fewer than batch.num_identities=4: a batch shows each of them 2 times"]),
        ([4, 3, 4, 6], ["1 of 4 identities has fewer than batch.images_per_identity=4 images: a batch repeats"]),
        (
            [4, 1, 4, 6],
            [
                "1 of 4 identities has fewer",
                "1 identity has one image: the triplet losses learn from it as another person only",
            ],
        ),
        ([1, 1, 1, 1], ["4 of 4 identities have fewer", "every identity has one image: the triplet losses have no"]),
    ],
)
def test_batches_say_what_they_repeat(images, expected):
    labels = np.repeat(np.arange(len(images)), images)
    lines = scarce_data.batch_words(labels, ReidBatches("shop", "shop", True, "image", 4, 4))
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_a_training_on_few_identities_goes_on_and_says_how(tmp_path, monkeypatch, capsys):
    patch_steps(monkeypatch)
    train_data.build_benchmark(tmp_path, "few", {"train": [0, 0, 1]})
    training.run(load(tmp_path, dataset="few", batch__num_identities=5, batch__images_per_identity=2), tmp_path / "run")
    printed = capsys.readouterr().out
    assert "2 identities are fewer than batch.num_identities=5: a batch shows each of them 2 or 3 times" in printed
    assert "an epoch has 1 step (2 identities / 5)" in printed


def test_one_identity_is_refused_with_what_to_do(tmp_path):
    train_data.build_benchmark(tmp_path, "one", {"train": [0, 0]})
    with pytest.raises(training.RunError, match=r"one has 1 identity to train on.*train on more persons"):
        training.run(load(tmp_path, dataset="one"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nobody_seen_by_two_cameras_is_refused_across_cameras():
    labels = np.asarray([0, 0, 1, 1, 2])
    scarce_data.check_cameras("own", labels, np.asarray([0, 0, 1, 2, 0]))
    with pytest.raises(RunError, match=r"triplet_reid_cross_camera=True needs identities that two .* own has none"):
        scarce_data.check_cameras("own", labels, np.asarray([0, 0, 1, 1, 2]))
