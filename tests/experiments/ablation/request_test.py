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
    ],
)
def test_requests_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(AblationError, match=message):
        request_of(tmp_path, **changes)
