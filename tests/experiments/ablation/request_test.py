"""Requests that cannot be made are refused by name."""

import pytest

from experiments.ablation.request import AblationError
from tests.experiments.ablation.requests import request_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1"),
        ({"table": "5"}, "--table must be one of 1, 2, 3, 4, pg, l_tr, bursts"),
        ({"datasets": ()}, "names no dataset"),
        ({"rows": ("sam",)}, "--rows: table 1 has baseline, .* no sam"),
        ({"target_dir": "absent"}, "not a folder"),
        ({"changes": (("model.widht", "8"),)}, "--set model.widht: no config of table 1 has this key"),
        ({"changes": (("seed", "3"),)}, "--set seed: the runner sets this key itself"),
        (
            {"table": "bursts", "changes": (("optimizer.gradient_clip_norm", "5.0"),)},
            "this key is what sets the rows bursts_basic, .* apart",
        ),
    ],
)
def test_requests_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(AblationError, match=message):
        request_of(tmp_path, **changes)


def test_a_key_of_rows_that_are_not_asked_for_can_be_set(tmp_path):
    changes = (("loss.triplet_reid", "0.5"),)
    with pytest.raises(AblationError, match="sets the rows san_basic, san_syn"):
        request_of(tmp_path, changes=changes)
    assert request_of(tmp_path, changes=changes, rows=("san",)).changes == changes
