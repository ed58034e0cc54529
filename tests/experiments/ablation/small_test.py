"""The small scale: what its sizes change in the configs."""

import pytest

from experiments.ablation import small
from experiments.command_line import config_files


def test_a_warm_up_is_of_the_reid_training_alone():
    """So that one SAN-PG run serves reID trainings with and without it."""
    sizes = small.Sizes().changed({"reid_warmup_epochs": "2.5", "reid_batches": "90"})
    for name, warmup in (("san", 2.5), ("baseline", 2.5), ("san_pg", 0.0)):
        config = config_files.load(f"{name}.py")
        small.shrink(config, sizes)
        assert config.optimizer.warmup_epochs == warmup
        small.shrink(config, small.Sizes())
        assert config.optimizer.warmup_epochs == 0.0


def test_sizes_are_read_from_text():
    sizes = small.Sizes().changed({"image_size": "(64, 32)", "width": "8"})
    assert (sizes.image_size, sizes.width, sizes.reid_batches) == ((64, 32), 8, small.Sizes().reid_batches)
    for wrong in ({"widths": "8"}, {"width": "wide"}):
        with pytest.raises(ValueError, match="width"):
            small.Sizes().changed(wrong)
