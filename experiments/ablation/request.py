"""What is asked of an ablation, checked before anything is made."""

import dataclasses
import pathlib

from experiments.ablation import small
from experiments.ablation.tables import TABLES, Row
from experiments.command_line import config_files
from experiments.runs.settings import Start

# Two cores train Table 1 in about an hour. For less noise, there are more pairs and test identities than in the demo.
SMALL = small.Sizes(
    pit_textures=400, train_identities=200, test_identities=200, images_per_identity=8, san_pg_steps=600
)
# The runner sets these keys and groups of the training configs itself.
OWN_KEYS = ("seed", "dataset", "data_dir", "start", "target", "input")


class AblationError(ValueError):
    """Arguments that no table can be made of. The message says what to change."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        table: Name of the table, a key of `TABLES`.
        datasets: Training benchmarks.
        seeds: Number of seeds; they are 0, 1, ...
        scale: "full" or "small".
        output: Folder of everything that is made.
        data_dir: Where TFDS keeps the datasets. The small scale takes benchmarks from there, and keeps what it renders
            in `output`/data.
        weights: What the rows with the start "file" and SAN-PG start from: "imagenet", the path of a file, or "" for
            random weights.
        target_dir: Folder of target images for the row that needs one; "" for none.
        rows: Keys of the rows to make now, () for all; of the others the table shows what is there.
        changes: (dotted key, text) applied to every training config that has the key, such as model.compute_dtype.
        sizes: Sizes of the small scale.
        score_on: Datasets that every run is scored on besides those of the table, such as another benchmark than it was
            trained on (direct transfer).
    """

    table: str
    datasets: tuple[str, ...]
    seeds: int
    scale: str
    output: pathlib.Path
    data_dir: pathlib.Path
    weights: str
    target_dir: str = ""
    rows: tuple[str, ...] = ()
    changes: tuple[tuple[str, str], ...] = ()
    sizes: small.Sizes = SMALL
    score_on: tuple[str, ...] = ()

    def __post_init__(self):
        if self.table not in TABLES:
            raise AblationError(f"--table must be one of {', '.join(TABLES)}, found {self.table!r}.")
        if self.seeds < 1:
            raise AblationError(f"--seeds must be at least 1, found {self.seeds}.")
        known = [row.key for row in TABLES[self.table].rows]
        if unknown := set(self.rows) - set(known):
            raise AblationError(f"--rows: table {self.table} has {', '.join(known)}, no {', '.join(sorted(unknown))}.")
        if not self.datasets:
            raise AblationError("--dataset names no dataset.")
        if self.target_dir and not pathlib.Path(self.target_dir).is_dir():
            raise AblationError(f"--target_dir: {self.target_dir} is not a folder.")
        configs = [
            config_files.load(f"{name}.py") for name in {"san_pg", *(row.config for row in TABLES[self.table].rows)}
        ]
        for key, text in self.changes:
            if key.partition(".")[0] in OWN_KEYS:
                raise AblationError(f"--set {key}: the runner sets this key itself, see --help.")
            having = [config for config in configs if key in config_files.keys(config)]
            if not having:
                raise AblationError(f"--set {key}: no config of table {self.table} has this key.")
            if rows := [row.key for row in TABLES[self.table].rows if key in row.changes and self.is_asked_for(row)]:
                raise AblationError(
                    f"--set {key}: this key is what sets the rows {', '.join(rows)} apart. Leave it out, or name other "
                    "rows by --rows."
                )
            for config in having:
                config_files.override(config, key, text)  # raises where the value does not fit

    def is_asked_for(self, row: Row) -> bool:
        """Whether a row of the table is to be made."""
        return not self.rows or row.key in self.rows

    def columns(self, dataset: str) -> tuple[tuple[str, str, str], ...]:
        """(column, dataset to score on, part of the summary) of the runs on a training dataset."""
        columns = TABLES[self.table].columns(dataset)
        added = [name for name in self.score_on if name not in {column for column, _, _ in columns}]
        return (*columns, *((name, name, "") for name in added))

    @property
    def file_start(self) -> Start:
        """How a run starts from `weights`."""
        if self.weights in ("", "imagenet"):
            return Start(self.weights or "random")
        return Start("file", self.weights)
