"""Trains and scores the rows of a table of the paper, all with one budget."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import datasets
from datasets.textured.textured_dataset_builder import SUFFIXES
from experiments.ablation import report, small, tables
from experiments.ablation.differences import QueryScores
from experiments.ablation.request import AblationError, Request
from experiments.ablation.tables import TABLES, Row, SanPg
from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import data_sources, ensure, errors, folder, initial_weights, provenance, rendering
from experiments.runs import san_pg as san_pg_run
from experiments.runs.plan import resolve
from experiments.scoring import evaluation, texture_quality
from render import manifest
from san_jax import checkpoint, folder_lock, run_folder
from san_jax.files import read_json, write_atomic

SMALL_STAGES = {"resnet50": (2, 2, 2, 2), "resnet101": (2, 2, 6, 2), "densenet121": (3, 6, 12, 8)}
# Textures are measured on a rendering of `pit` with this seed, which holds other persons than any training data.
HELD_OUT_SEED = 1_000_003
HELD_OUT_TEXTURES = 100
REID_EPOCHS, PARTIAL_EPOCHS = 320, 40  # in the full configs, see san.py and san_partial.py
ROW_ERRORS = (ValueError, OSError, RuntimeError)  # a row that fails keeps none of the others from being made
# Errors that a user can do something about; the messages say what.
KNOWN_ERRORS = (
    AblationError,
    config_files.ConfigError,
    rendering.RenderError,
    manifest.ManifestError,
    folder_lock.FolderError,
    *errors.KNOWN_ERRORS,
)


def run(request: Request) -> tuple[pathlib.Path, dict[str, str]]:
    """Make every run of the table that is missing, and the table.

    Several processes may do this in one folder at a time. They wait for each other where they need the same data or
    SAN-PG run, and a row that one of them is making is the last that the others turn to. So each ends with the whole
    table.

    Returns:
        The Markdown file, and the reason for each row that could not be made.

    Raises:
        AblationError: Datasets or weights are missing.
        san_jax.checkpoint.CheckpointError: No checkpoint can be kept in a folder of this name.
        san_jax.folder_lock.FolderError: Another process holds the whole folder, or it cannot be written.
        SystemExit: A signal stopped the training; the message says how to go on.
    """
    checkpoint.check_path(request.output)
    return _Ablation(request).run()


@dataclasses.dataclass(frozen=True)
class _Job:
    """A row to make with one seed."""

    row: Row
    dataset: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.row.name}, {self.dataset}, seed {self.seed}"


class _Ablation:
    """The folders, configs and runs of a table."""

    def __init__(self, request: Request):
        self._request = request
        self._table = TABLES[request.table]
        self._failures: dict[str, str] = {}
        self._not_shown: dict[str, str] = {}  # complete, but of something else
        self._left_to_others: set[str] = set()
        self._data_dir = request.output / "data" if request.scale == "small" else request.data_dir

    def run(self) -> tuple[pathlib.Path, dict[str, str]]:
        with self._in_turn("data"):
            self._ensure_data()
        jobs = self._jobs()
        while jobs:
            left = [job for job in jobs if not self._do(job)]
            if len(left) == len(jobs):  # nothing is to be done but to wait
                self._do(left.pop(0), wait=True)
            jobs = left
        if self._table.textures:
            with self._in_turn("textures"):
                self._ensure_quality()
        return self._write(), self._failures

    def _jobs(self) -> list[_Job]:
        """The rows to make, seed by seed: an interrupted table has every row once before any twice."""
        jobs = []
        for dataset in self._request.datasets:
            for seed in range(self._request.seeds):
                rows = [row for row in self._table.rows if row.belongs_to(dataset) and self._request.is_asked_for(row)]
                jobs += [_Job(row, dataset, seed) for row in rows]
        return jobs

    def _do(self, job: _Job, *, wait: bool = False) -> bool:
        """Make a row, or note why it cannot be made; False where another process is making it, unless this one waits."""
        part = self._part(job.row, job.dataset, job.seed)
        try:
            with self._in_turn(part) if wait else folder_lock.hold(self._request.output, part):
                print(f"\n=== {job.name}", flush=True)
                self._ensure_row(job)
        except ROW_ERRORS as error:
            if isinstance(error, folder_lock.FolderInUseError) and error.part == part:
                if job.name not in self._left_to_others:
                    print(f"\n=== {job.name}: left to {error.holder}", flush=True)
                    self._left_to_others.add(job.name)
                return False
            self._failures[job.name] = str(error)
            print(f"{job.name}: not made. {error}", file=sys.stderr, flush=True)
            return True
        self._write()
        return True

    def _in_turn(self, part: str) -> contextlib.AbstractContextManager[None]:
        return folder_lock.hold_in_turn(self._request.output, part)

    def _part(self, row: Row, dataset: str, seed: int) -> str:
        """What the process that makes a row holds of the output."""
        return f"{_file_name(row.training_set(dataset))}-{row.key}-seed{seed}"

    def _ensure_data(self) -> None:
        """Render the datasets that are rendered; check that the benchmarks and the initial weights are there."""
        renders = {"pit", "pit_reid"}
        needed = {on for dataset in self._request.datasets for _, on, _ in self._request.columns(dataset)}
        needed |= {row.trained_on for row in self._rows_to_make() if row.trained_on}
        benchmarks = sorted({*self._request.datasets, *needed} - renders)
        checks = [functools.partial(data_sources.read_metadata, name, self._request.data_dir) for name in benchmarks]
        checks += [
            functools.partial(initial_weights.find, self._request.file_start, encoder) for encoder in self._encoders()
        ]
        problems = []
        for check in checks:
            try:
                check()
            except datasets.DatasetError as error:
                problems.append(str(error))
            except initial_weights.StartError as error:
                problems.append(f"--pretrained={self._request.weights}: {error}")
        if problems:
            raise AblationError("\n".join(problems))
        rendered = renders & {"pit", *self._request.datasets, *needed}
        if self._request.scale == "small":
            for config in small.render_configs(self._request.sizes):
                if config.recipe in rendered:
                    ensure.ensure_rendered(config, self._data_dir)
            for name in benchmarks:
                _link(self._data_dir / name, self._request.data_dir / name)
            return
        built = data_sources.list_built(self._data_dir)
        for recipe in sorted(rendered):
            if recipe not in built:
                ensure.ensure_rendered(config_files.load(f"{recipe}.py"), self._data_dir)

    def _rows_to_make(self) -> list[Row]:
        """The rows that were asked for and that some dataset's table has."""
        return [
            row
            for row in self._table.rows
            if self._request.is_asked_for(row) and any(row.belongs_to(dataset) for dataset in self._request.datasets)
        ]

    def _encoders(self) -> list[str]:
        """Return the encoders that start from the file of weights in the rows to be made."""
        if not self._request.weights:
            return []
        rows = self._rows_to_make()
        san_pgs = [san_pg for row in rows for san_pg in (row.san_pg, row.start_san_pg) if san_pg]
        encoders = [san_pg.encoder for san_pg in san_pgs]
        return sorted({*encoders, *("resnet50" for row in rows if row.start == "file")})

    # Configs

    def _config(self, file: str, *, encoder: str, seed: int, data_dir: pathlib.Path) -> Config:
        """Return a training config at the scale asked for, without start and dataset."""
        config = config_files.load(f"{file}.py")
        if self._request.scale == "small":
            stage_sizes = SMALL_STAGES[encoder]
            small.shrink(config, dataclasses.replace(self._request.sizes, stage_sizes=stage_sizes))
        config.update({"seed": seed, "data_dir": str(data_dir), "start": {"kind": "random", "path": ""}})
        config.model.encoder = encoder
        for key, text in self._request.changes:
            if key in config_files.keys(config):
                config_files.override(config, key, text)
        return config

    def _san_pg_config(self, san_pg: SanPg) -> Config:
        config = self._config("san_pg", encoder=san_pg.encoder, seed=0, data_dir=self._data_dir)
        config.target.kind = san_pg.target
        config.start.update({"kind": self._request.file_start.kind, "path": self._request.file_start.path})
        return config

    def _row_config(self, row: Row, dataset: str, seed: int) -> Config:
        training_set = row.training_set(dataset)
        data_dir = self._view(row.san_pg, training_set) if row.san_pg else self._data_dir
        config = self._config(row.config, encoder="resnet50", seed=seed, data_dir=data_dir)
        config.dataset = training_set
        for key, value in row.changes.items():
            config_files.assign(config, key, value)
        san_pg = row.san_pg or tables.TEXTURES
        if row.start == "file":
            config.start.update({"kind": self._request.file_start.kind, "path": self._request.file_start.path})
        elif row.start == "san_pg":
            config.start.update({"kind": "run", "path": str(self._san_pg_dir(row.start_san_pg or san_pg))})
        else:
            config.start.update({"kind": "run", "path": str(self._row_dir(row.start_row, dataset, seed))})
        if "input" in config and config.input.kind == "texture":
            config.input.path = str(self._san_pg_dir(san_pg))
        if "target" in config and config.target.kind == "folder":
            if not self._request.target_dir:
                raise AblationError("needs --target_dir: a folder of target images named as the training images.")
            config.target.path = self._request.target_dir
        if self._request.scale == "small":
            batches = self._request.sizes.reid_batches
            if row.start == "row":  # the share of the schedule that fine-tuning has in the full configs
                batches = max(1, batches * PARTIAL_EPOCHS // REID_EPOCHS)
            config.num_steps = small.steps_of(config, batches)
        return config

    # Folders

    def _san_pg_dir(self, san_pg: SanPg) -> pathlib.Path:
        return self._request.output / "runs" / "san_pg" / san_pg.name

    def _row_dir(self, key: str, dataset: str, seed: int) -> pathlib.Path:
        return self._request.output / "runs" / _file_name(dataset) / f"{key}-seed{seed}"

    def _result_path(self, row: Row, dataset: str, seed: int) -> pathlib.Path:
        return self._request.output / "results" / _file_name(dataset) / f"{row.key}-seed{seed}.json"

    def _queries_path(self, key: str, dataset: str, seed: int, on: str) -> pathlib.Path:
        folder_of_queries = self._request.output / "results" / _file_name(dataset) / "queries"
        return folder_of_queries / f"{key}-seed{seed}-{_file_name(on)}.npz"

    def _view(self, san_pg: SanPg, dataset: str) -> pathlib.Path:
        """Make a data_dir with links to pit and the benchmark, for the targets that this SAN-PG run makes.

        So the targets of several SAN-PG runs lie side by side, and the user's own data_dir is left alone.
        """
        view = self._request.output / "targets" / san_pg.name
        for name in ("pit", dataset):
            _link(view / name, self._data_dir / name)
        return view

    # Runs

    def _ensure_san_pg(self, san_pg: SanPg) -> pathlib.Path:
        workdir = self._san_pg_dir(san_pg)
        with self._in_turn(f"san_pg-{san_pg.name}"):
            ensure.ensure_run(self._san_pg_config(san_pg), workdir)
        return workdir

    def _ensure_row(self, job: _Job) -> None:
        """Train and score one row with one seed, unless that was done, and note it in its JSON."""
        row, dataset, seed = job.row, job.dataset, job.seed
        config = self._row_config(row, dataset, seed)
        workdir, path = self._row_dir(row.key, config.dataset, seed), self._result_path(row, dataset, seed)
        noted = read_json(path) if path.is_file() else {"scores": {}, "summaries": {}}
        self._check_noted(job, noted, config)
        columns = [column for column in self._request.columns(dataset) if column[0] not in noted["scores"]]
        if not columns:
            print(f"{path}: complete")
            return
        self._ensure_starts(row, dataset, seed, config)
        ensure.ensure_run(config, workdir)
        for column, on, part in columns:
            if on not in noted["summaries"]:
                queries = self._queries_path(row.key, dataset, seed, on)
                noted["summaries"][on] = evaluation.run(workdir, on, self._data_dir, queries=queries)
            summary = noted["summaries"][on]
            scores = summary[part] if part else summary
            noted["scores"][column] = {
                name: scores[name] for name in ("rank1", "rank5", "rank10", "mAP", "mINP", "chance", "protocol")
            }
        # Facts that were noted when the run was trained win over those of a later table that scores it again.
        noted = {"row": row.key, "dataset": dataset, "seed": seed, **_training_facts(config, workdir), **noted}
        write_atomic(path, (json.dumps(noted, indent=1) + "\n").encode())

    def _ensure_starts(self, row: Row, dataset: str, seed: int, config: Config) -> None:
        """Make the runs that a row starts from, and the textures that its run reads."""
        if row.san_pg is not None:
            san_pg_dir = self._ensure_san_pg(row.san_pg)
            reads = config.target if "target" in config else config.input
            if reads.kind in SUFFIXES:
                with self._in_turn(f"targets-{row.san_pg.name}-{_file_name(config.dataset)}"):
                    ensure.ensure_textured(san_pg_dir, config.dataset, config.data_dir)
            if row.start_san_pg is not None:
                self._ensure_san_pg(row.start_san_pg)
        if row.start == "row":
            start = next(other for other in self._table.rows if other.key == row.start_row)
            with self._in_turn(self._part(start, dataset, seed)):
                ensure.ensure_run(self._row_config(start, dataset, seed), self._row_dir(start.key, dataset, seed))

    # Textures

    def _ensure_quality(self) -> None:
        """Measure the textures of the table's SAN-PG runs on pit_reid and on a `pit` that none was trained on."""
        held_out = self._ensure_held_out()
        for san_pg in dict.fromkeys(row.san_pg for row in self._table.rows if row.san_pg):
            path = self._quality_path(san_pg)
            if _holds_qualities(path):
                continue
            try:
                workdir = self._ensure_san_pg(san_pg)
                regressor = san_pg_run.load(workdir)
                measured = {"held-out pit": texture_quality.of_run(regressor, "pit", "train", held_out)}
                if "pit_reid" in self._request.datasets:
                    measured["pit_reid, train"] = texture_quality.of_run(regressor, "pit_reid", "train", self._data_dir)
            except ROW_ERRORS as error:
                self._failures[f"textures of {san_pg.name}"] = str(error)
                continue
            content = {name: texture_quality.to_json(quality) for name, quality in measured.items()}
            write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())

    def _ensure_held_out(self) -> pathlib.Path:
        held_out = self._request.output / "held_out"
        is_small = self._request.scale == "small"
        config: Any = small.render_configs(self._request.sizes)[0] if is_small else config_files.load("pit.py")
        config.update({"seed": HELD_OUT_SEED, "num_textures": HELD_OUT_TEXTURES, "meshes_per_texture": 2})
        ensure.ensure_rendered(config, held_out)
        return held_out

    def _quality_path(self, san_pg: SanPg) -> pathlib.Path:
        return self._request.output / "results" / "textures" / f"{san_pg.name}.json"

    # The table

    def _write(self) -> pathlib.Path:
        with self._in_turn(f"table_{self._request.table}"):  # read no sooner: what the others completed belongs to it
            self._not_shown.clear()
            results = {dataset: self._complete_rows(dataset) for dataset in self._request.datasets}
            return self._write_table(results)

    def _complete_rows(self, dataset: str) -> dict[str, list[dict[str, Any]]]:
        """Return by row what the JSON of each seed holds, of the rows that are complete."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._table.rows:
            if row.belongs_to(dataset):
                results = [self._complete(_Job(row, dataset, seed)) for seed in range(self._request.seeds)]
                found[row.key] = [result for result in results if result is not None]
        return found

    def _complete(self, job: _Job) -> dict[str, Any] | None:
        """Return what the JSON of a row holds; None where it is not there, or is not as the table wants it."""
        path = self._result_path(job.row, job.dataset, job.seed)
        if job.name in self._failures or not path.is_file():
            return None
        noted = read_json(path)
        if not {column for column, _, _ in self._request.columns(job.dataset)} <= set(noted["scores"]):
            return None
        try:
            self._check_noted(job, noted, self._row_config(job.row, job.dataset, job.seed))
        except ROW_ERRORS as error:
            self._not_shown[job.name] = str(error)
            return None
        return noted

    def _check_noted(self, job: _Job, noted: Mapping[str, Any], config: Config) -> None:
        """Raise an AblationError unless a result is of what is asked for: config, SAN-PG and scored pictures."""
        path = self._result_path(job.row, job.dataset, job.seed)
        _check_same_config(path, noted, config, self._row_dir(job.row.key, config.dataset, job.seed))
        for san_pg in filter(None, (job.row.san_pg, job.row.start_san_pg)):
            workdir = self._san_pg_dir(san_pg)
            if not (workdir / run_folder.CONFIG_FILE).is_file():
                continue
            if changed := folder.changed_keys(folder.read_config(workdir), self._san_pg_config(san_pg)):
                raise AblationError(
                    f"{path} comes from a SAN-PG run, {workdir}, with other values of {', '.join(changed)}: give those, "
                    "or another --output."
                )
        for on, summary in noted["summaries"].items():
            if self._is_other_copy(on, summary.get("source_digest")):
                raise AblationError(
                    f"{path} was scored on another copy of {on} than the one in {self._data_dir}: put that back, or give "
                    "another --output."
                )

    def _is_other_copy(self, dataset: str, digest: str | None) -> bool:
        """Whether a dataset is known to have another digest."""
        try:
            there = data_sources.read_metadata(dataset, self._data_dir).get("source_digest")
        except datasets.DatasetError:
            return False
        return None not in (there, digest) and there != digest

    def _write_table(self, results: Mapping[str, Mapping[str, Sequence[Any]]]) -> pathlib.Path:
        left_out = {**self._not_shown, **self._failures}
        sections = report.table_sections(self._table, self._request, results, left_out, self._read_queries)
        if self._table.textures:
            qualities = {
                san_pg.name: read_json(path)
                for san_pg in dict.fromkeys(row.san_pg for row in self._table.rows if row.san_pg)
                if _holds_qualities(path := self._quality_path(san_pg))
            }
            sections.append(report.quality_section(qualities))
        path = self._request.output / f"table_{self._request.table}.md"
        write_atomic(path, report.to_markdown(self._table.title, sections).encode())
        write_atomic(path.with_suffix(".html"), report.to_html(self._table.title, sections).encode())
        return path

    def _read_queries(self, key: str, dataset: str, seed: int, on: str) -> QueryScores | None:
        """Return the scores of each query of a row's run; None where they are absent."""
        path = self._queries_path(key, dataset, seed, on)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            scores = {name: arrays[name] for name in arrays.files if name != "persons"}
            return QueryScores(arrays["persons"], scores)


def _file_name(dataset: str) -> str:
    return dataset.replace("/", "_")


def _link(link: pathlib.Path, folder: pathlib.Path) -> None:
    """Make a link to a folder, unless it is there."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():  # or is a dangling link
        made = link.with_name(f".{link.name}.{os.getpid()}")
        made.symlink_to(folder.resolve(), target_is_directory=True)
        made.replace(link)  # at once: another process may be making the same


def _check_same_config(path: pathlib.Path, noted: Mapping[str, Any], config: Config, workdir: pathlib.Path) -> None:
    """Raise an AblationError unless the result `noted` in `path`, if any, is of a run with this config."""
    if "config" not in noted:
        return
    # Where the run's folder was removed, its config is what the result noted.
    is_there = (workdir / run_folder.CONFIG_FILE).is_file()
    old = folder.read_config(workdir) if is_there else config_files.from_json(json.dumps(noted["config"]))
    if changed := folder.changed_keys(old, config):
        raise AblationError(
            f"{path} is of a run with other values of {', '.join(changed)}: give those, or another --output."
        )


def _training_facts(config: Config, workdir: pathlib.Path) -> dict[str, Any]:
    """Return what a result notes about the training: its budget, its time, and where and from what it was made."""
    plan = resolve(config)
    num_steps = (folder.read_data(workdir) or {})[folder.NUM_STEPS]
    num_pit = num_steps * plan.batch_kinds.count("pit") // len(plan.batch_kinds)
    return {
        "reid_batches": num_steps - num_pit,
        "pit_batches": num_pit,
        "batch": config.batch.num_identities * config.batch.images_per_identity,
        "training_seconds": report.training_seconds(workdir, plan),
        "commit": provenance.commit(),
        "processor": provenance.processor(),
        "jax": provenance.accelerator(),
        "config": json.loads(config_files.to_json(config)),
    }


def _holds_qualities(path: pathlib.Path) -> bool:
    """Whether a file holds all measures of today; one of a version with fewer is measured again."""
    names = {field.name for field in dataclasses.fields(texture_quality.Quality)}
    return path.is_file() and all(set(quality) == names for quality in read_json(path).values())
