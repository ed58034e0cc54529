"""A small request."""

import pathlib

from experiments.ablation import small
from experiments.ablation.request import Request

TINY = small.Sizes(san_pg_steps=3, reid_batches=8)


def request_of(tmp_path: pathlib.Path, table: str = "1", **changes) -> Request:
    values = {
        "table": table,
        "datasets": ("pit_reid",),
        "seeds": 1,
        "scale": "small",
        "output": tmp_path,
        "data_dir": tmp_path / "nowhere",
        "weights": "",
        "sizes": TINY,
        **changes,
    }
    return Request(**values)
