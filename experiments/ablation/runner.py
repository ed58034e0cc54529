"""Trains and scores the rows of a table of the paper with one budget."""

import dataclasses
import functools
import html
import json
import os
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import datasets
from experiments.ablation import small, tables
from experiments.ablation.tables import TABLES, Generator, Row, Table
from experiments.command_line import config_files
from experiments.runs import data_sources, initial_weights, provenance, rendering, restore, stages, training
from experiments.scoring import evaluation, protocols, texture_quality
from san_jax import checkpoint, folder_lock, metric_logger
from san_jax.data.reading import read_labels
from san_jax.files import write_atomic

# Two cores train Table 1 in about an hour. Against the demo: more pairs for SAN-PG, twice the test identities, for less noise.
SMALL = small.Sizes(
    pit_textures=400, train_identities=200, test_identities=200, images_per_identity=8, generator_steps=600
)
SMALL_STAGES = {"resnet50": (2, 2, 2, 2), "resnet101": (2, 2, 6, 2), "densenet121": (3, 6, 12, 8)}
HELD_OUT_SEED = (
    1_000_003  # of the rendering of `pit` that textures are measured on: other persons than any seed trains on
)
HELD_OUT_TEXTURES = 100
REID_EPOCHS, PARTIAL_EPOCHS = 320, 40  # of the full configs, see san.py and san_partial.py
# Keys of the training configs that follow from the table and the arguments.
OWN_KEYS = {"seed", "dataset", "data_dir", "init_from", "pretrained", "target", "target_dir", "input", "generator"}
ROW_ERRORS = (ValueError, OSError, RuntimeError, checkpoint.CheckpointError)


class AblationError(ValueError):
    """Arguments that no table can be made of. The message says what to change."""


# What `run` raises where a user can do something about it; the messages say what.
KNOWN_ERRORS = (
    AblationError,
    datasets.DatasetError,
    config_files.ConfigError,
    training.RunError,
    stages.StageError,
    rendering.RenderError,
    checkpoint.CheckpointError,
    folder_lock.FolderError,
    OSError,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        table: Name of the table, a key of `TABLES`.
        datasets: Training benchmarks.
        seeds: Number of seeds; they are 0, 1, ...
        scale: "full" or "small".
        output: Folder of everything that is made.
        data_dir: Where TFDS keeps the datasets; the small scale keeps its own in `output`/data.
        pretrained: Weights that the "pretrained" rows and SAN-PG start from, as `config.pretrained`; "" for random ones.
        target_dir: Folder of target images for the row that needs one; "" for none.
        rows: Keys of the rows to make now, () for all; of the others the table shows what is there.
        changes: (dotted key, text) applied to every training config that has the key, such as model.compute_dtype.
        sizes: Of the small scale.
    """

    table: str
    datasets: tuple[str, ...]
    seeds: int
    scale: str
    output: pathlib.Path
    data_dir: pathlib.Path
    pretrained: str
    target_dir: str = ""
    rows: tuple[str, ...] = ()
    changes: tuple[tuple[str, str], ...] = ()
    sizes: small.Sizes = SMALL

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
        if self.scale == "small" and self.datasets != ("pit_reid",):
            raise AblationError(
                f"--scale=small renders and trains on pit_reid; --dataset={','.join(self.datasets)} needs --scale=full."
            )
        if self.target_dir and not pathlib.Path(self.target_dir).is_dir():
            raise AblationError(f"--target_dir: {self.target_dir} is not a folder.")
        configs = [
            config_files.load(f"{name}.py") for name in {"san_pg", *(row.config for row in TABLES[self.table].rows)}
        ]
        for key, text in self.changes:
            if key in OWN_KEYS:
                raise AblationError(f"--set {key}: the runner sets this key itself, see --help.")
            having = [config for config in configs if key in config_files.keys(config)]
            if not having:
                raise AblationError(f"--set {key}: no config of table {self.table} has this key.")
            for config in having:
                config_files.override(config, key, text)  # raises where the value does not fit


def run(plan: Plan) -> tuple[pathlib.Path, dict[str, str]]:
    """Makes every run of the table that is missing, and the table.

    Returns:
        The Markdown file, and for each row that could not be made the reason.

    Raises:
        AblationError: The data cannot be had.
        san_jax.checkpoint.CheckpointError: No checkpoint can be kept in a folder of this name.
        san_jax.folder_lock.FolderError: Another process makes tables in the folder, or it cannot be written.
        SystemExit: Training was stopped by a signal; the message says how to go on.
    """
    checkpoint.check_path(plan.output)
    with folder_lock.hold(plan.output):
        return _Ablation(plan).run()


class _Ablation:
    """The folders and configs of a plan."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._table = TABLES[plan.table]
        self._data_dir = plan.output / "data" if plan.scale == "small" else plan.data_dir
        self._identities: dict[str, int] = {}

    def run(self) -> tuple[pathlib.Path, dict[str, str]]:
        self._ensure_data()
        failures: dict[str, str] = {}
        results: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for dataset in self._plan.datasets:
            rows = [row for row in self._table.rows if not row.only or dataset in row.only]
            # Seed by seed: an interrupted table has every row once before any twice.
            for seed in range(self._plan.seeds):
                for row in rows:
                    if self._plan.rows and row.key not in self._plan.rows:
                        if (path := self._result_path(row, dataset, seed)).is_file():
                            noted = restore.read_json(path)
                            results.setdefault(dataset, {}).setdefault(row.key, []).append(noted)
                        continue
                    name = f"{row.name}, {dataset}, seed {seed}"
                    print(f"\n=== {name}", flush=True)
                    try:
                        result = self._ensure_row(row, dataset, seed)
                    except (*ROW_ERRORS, metric_logger.NonFiniteLossError) as error:
                        failures[name] = str(error)
                        print(f"{name}: not made. {error}", file=sys.stderr, flush=True)
                        continue
                    results.setdefault(dataset, {}).setdefault(row.key, []).append(result)
                    self._write(results, failures)
        if self._table.textures:
            self._ensure_quality(failures)
        return self._write(results, failures), failures

    def _ensure_data(self) -> None:
        """Renders what the scale renders; the benchmarks and the weights to start from must be there."""
        renders = {"pit", "pit_reid"}
        needed = {on for dataset in self._plan.datasets for _, on, _ in self._table.columns(dataset)}
        benchmarks = sorted({*self._plan.datasets, *needed} - renders) if self._plan.scale == "full" else []
        problems = []
        for check in [
            *(functools.partial(data_sources.read_metadata, name, self._data_dir) for name in benchmarks),
            *(
                functools.partial(initial_weights.find, self._plan.pretrained, encoder, flag="--pretrained")
                for encoder in self._encoders()
            ),
        ]:
            try:
                check()
            except (datasets.DatasetError, initial_weights.PretrainedError) as error:
                problems.append(str(error))
        if problems:
            raise AblationError("\n".join(problems))
        if self._plan.scale == "small":
            for config in small.render_configs(self._plan.sizes):
                stages.ensure_rendered(config, self._data_dir)
            return
        built = data_sources.list_built(self._data_dir)
        for recipe in sorted(renders & {"pit", *self._plan.datasets, *needed}):
            if recipe not in built:
                stages.ensure_rendered(config_files.load(f"{recipe}.py"), self._data_dir)

    def _encoders(self) -> list[str]:
        """The encoders that start from the file of weights, in the rows to be made."""
        if not self._plan.pretrained:
            return []
        rows = [row for row in self._table.rows if not self._plan.rows or row.key in self._plan.rows]
        generators = [generator for row in rows for generator in (row.generator, row.start_generator) if generator]
        encoders = [generator.encoder for generator in generators]
        return sorted({*encoders, *("resnet50" for row in rows if row.start == "pretrained")})

    # Configs

    def _config(self, file: str, *, encoder: str, seed: int, data_dir: pathlib.Path) -> Any:
        """A training config at the plan's scale, without start and dataset."""
        config = config_files.load(f"{file}.py")
        if self._plan.scale == "small":
            stage_sizes = SMALL_STAGES[encoder]
            small.shrink(config, dataclasses.replace(self._plan.sizes, stage_sizes=stage_sizes))
        config.update({"seed": seed, "data_dir": str(data_dir), "pretrained": ""})
        config.model.encoder = encoder
        for key, text in self._plan.changes:
            if key in config_files.keys(config):
                config_files.override(config, key, text)
        return config

    def _generator_config(self, generator: Generator) -> Any:
        config = self._config("san_pg", encoder=generator.encoder, seed=0, data_dir=self._data_dir)
        config.target = generator.target
        config.pretrained = self._plan.pretrained
        if self._plan.scale == "full":  # epochs of the PIT that is there
            pairs = len(data_sources.open_source(config.pit_dataset, "train", self._data_dir))
            config.optimizer.steps_per_epoch = -(-pairs // config.batch.pit_size)
        return config

    def _row_config(self, row: Row, dataset: str, seed: int) -> Any:
        data_dir = self._view(row.generator, dataset) if row.generator else self._data_dir
        config = self._config(row.config, encoder="resnet50", seed=seed, data_dir=data_dir)
        config.dataset = dataset
        for key, value in row.changes.items():
            config_files.assign(config, key, value)
        if row.start == "pretrained":
            config.pretrained = self._plan.pretrained
        elif row.start == "generator":
            config.init_from = str(self._generator_dir(row.start_generator or row.generator or tables.TEXTURES))
        else:
            config.init_from = str(self._row_dir(row.start_row, dataset, seed))
        if config.stage == "baseline" and config.input == "texture":
            config.generator = str(self._generator_dir(row.generator or tables.TEXTURES))
        if config.stage == "san" and config.target == "folder":
            if not self._plan.target_dir:
                raise AblationError("needs --target_dir: a folder of target images named as the training images.")
            config.target_dir = self._plan.target_dir
        turns = training.turns_of(config)
        if self._plan.scale == "small":
            batches = self._plan.sizes.reid_batches
            if row.start == "row":  # fine-tuning takes as large a part of the schedule as in the paper's configs
                batches = max(1, batches * PARTIAL_EPOCHS // REID_EPOCHS)
        else:
            epoch = -(-self._num_identities(dataset) // config.batch.num_identities)
            batches = epoch * (PARTIAL_EPOCHS if row.start == "row" else REID_EPOCHS)
            config.optimizer.steps_per_epoch = -(-epoch * len(turns) // turns.count("reid"))
        config.num_steps = -(-batches * len(turns) // turns.count("reid"))
        return config

    def _num_identities(self, dataset: str) -> int:
        if dataset not in self._identities:
            splits = data_sources.training_splits(dataset, self._data_dir, use_val=True)
            source = data_sources.open_source(dataset, "+".join(splits), self._data_dir)
            self._identities[dataset] = len(set(read_labels(source).tolist()))
        return self._identities[dataset]

    # Folders

    def _generator_dir(self, generator: Generator) -> pathlib.Path:
        return self._plan.output / "runs" / "san_pg" / generator.name

    def _row_dir(self, key: str, dataset: str, seed: int) -> pathlib.Path:
        return self._plan.output / "runs" / dataset.replace("/", "_") / f"{key}-seed{seed}"

    def _result_path(self, row: Row, dataset: str, seed: int) -> pathlib.Path:
        return self._plan.output / "results" / dataset.replace("/", "_") / f"{row.key}-seed{seed}.json"

    def _view(self, generator: Generator, dataset: str) -> pathlib.Path:
        """A data_dir that shows pit and the benchmark, and takes the targets that this generator makes.

        So those of several generators stand side by side, and nothing is written where the user keeps the benchmarks.
        """
        view = self._plan.output / "targets" / generator.name
        for name in ("pit", dataset):
            link = view / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.unlink(missing_ok=True)  # one that leads nowhere
                link.symlink_to((self._data_dir / name).resolve(), target_is_directory=True)
        return view

    # Stages

    def _ensure_generator(self, generator: Generator) -> pathlib.Path:
        workdir = self._generator_dir(generator)
        stages.ensure_run(self._generator_config(generator), workdir)
        return workdir

    def _ensure_row(self, row: Row, dataset: str, seed: int) -> dict[str, Any]:
        """Trains and scores one row with one seed, unless that was done."""
        workdir = self._row_dir(row.key, dataset, seed)
        path = self._result_path(row, dataset, seed)
        config = self._row_config(row, dataset, seed)
        noted = restore.read_json(path) if path.is_file() else {"scores": {}, "summaries": {}}
        columns = [
            (column, on, part) for column, on, part in self._table.columns(dataset) if column not in noted["scores"]
        ]
        if "config" in noted:
            # Where the run's folder was removed, its config is what the result noted.
            is_there = (workdir / restore.CONFIG_FILE).is_file()
            old = restore.read_config(workdir) if is_there else config_files.from_json(json.dumps(noted["config"]))
            if changed := training.changed_keys(old, config):
                raise AblationError(
                    f"{path} is of a run with other values of {', '.join(changed)}: give those, or another --output."
                )
        if not columns:
            print(f"{path}: complete")
            return noted
        if row.generator is not None:
            generator_dir = self._ensure_generator(row.generator)
            target = config.target if config.stage == "san" else config.input
            if target in ("texture", "frontal"):
                stages.ensure_textured(generator_dir, dataset, self._view(row.generator, dataset))
            if row.start_generator is not None:
                self._ensure_generator(row.start_generator)
        if row.start == "row":
            start = next(other for other in self._table.rows if other.key == row.start_row)
            stages.ensure_run(self._row_config(start, dataset, seed), self._row_dir(start.key, dataset, seed))
        stages.ensure_run(config, workdir)
        for column, on, part in columns:
            if on not in noted["summaries"]:
                noted["summaries"][on] = evaluation.run(workdir, on, self._data_dir)
            summary = noted["summaries"][on]
            scores = summary[part] if part else summary
            noted["scores"][column] = {
                name: scores[name] for name in ("rank1", "rank5", "rank10", "mAP", "mINP", "chance", "protocol")
            }
        turns = training.turns_of(config)
        num_pit = config.num_steps * turns.count("pit") // len(turns)
        facts = {
            "row": row.key,
            "dataset": dataset,
            "seed": seed,
            "reid_batches": config.num_steps - num_pit,
            "pit_batches": num_pit,
            "batch": config.batch.num_identities * config.batch.images_per_identity,
            "training_seconds": training_seconds(workdir, config),
            "commit": provenance.commit(),
            "processor": provenance.processor(),
            "jax": provenance.accelerator(),
            "config": json.loads(config_files.to_json(config)),
        }
        noted = {
            **facts,
            **noted,
        }  # what was noted when the run was trained stays where another table scores it once more
        write_atomic(path, (json.dumps(noted, indent=1) + "\n").encode())
        return noted

    # Textures

    def _ensure_quality(self, failures: dict[str, str]) -> None:
        """Measures the textures of the table's generators: on a `pit` that none was trained on, and on pit_reid."""
        held_out = self._ensure_held_out()
        for generator in dict.fromkeys(row.generator for row in self._table.rows if row.generator):
            path = self._quality_path(generator)
            if path.is_file():
                continue
            try:
                workdir = self._ensure_generator(generator)
                measured = {"held-out pit": texture_quality.of_run(workdir, "pit", "train", held_out)}
                if "pit_reid" in self._plan.datasets:
                    measured["pit_reid, train"] = texture_quality.of_run(workdir, "pit_reid", "train", self._data_dir)
            except ROW_ERRORS as error:
                failures[f"textures of {generator.name}"] = str(error)
                continue
            content = {name: dataclasses.asdict(quality) for name, quality in measured.items()}
            write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())

    def _ensure_held_out(self) -> pathlib.Path:
        folder = self._plan.output / "held_out"
        is_small = self._plan.scale == "small"
        config: Any = small.render_configs(self._plan.sizes)[0] if is_small else config_files.load("pit.py")
        config.update({"seed": HELD_OUT_SEED, "num_textures": HELD_OUT_TEXTURES, "meshes_per_texture": 2})
        stages.ensure_rendered(config, folder)
        return folder

    def _quality_path(self, generator: Generator) -> pathlib.Path:
        return self._plan.output / "results" / "textures" / f"{generator.name}.json"

    # The table

    def _write(self, results: Mapping[str, Mapping[str, Sequence[Any]]], failures: Mapping[str, str]) -> pathlib.Path:
        sections = table_sections(self._table, self._plan, results, failures)
        if self._table.textures:
            qualities = {
                generator.name: restore.read_json(path)
                for generator in dict.fromkeys(row.generator for row in self._table.rows if row.generator)
                if (path := self._quality_path(generator)).is_file()
            }
            sections.append(quality_section(qualities))
        path = self._plan.output / f"table_{self._plan.table}.md"
        write_atomic(path, to_markdown(self._table.title, sections).encode())
        write_atomic(path.with_suffix(".html"), to_html(self._table.title, sections).encode())
        return path


def training_seconds(workdir: str | os.PathLike[str], config: Any) -> float:
    """How long a run trained, from the images per second that it logged; waits between interruptions do not count."""
    seconds, last = 0.0, 0
    turns = training.turns_of(config)
    sizes = [training.batch_size(config, kind) for kind in turns]
    for line in metric_logger.read_metrics(workdir):
        images = sum(sizes[(step - 1) % len(sizes)] for step in range(last + 1, int(line["step"]) + 1))
        seconds, last = seconds + images / line["images_per_second"], int(line["step"])
    return seconds


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, paragraphs, and a table of text cells; `strong` are the numbers of its emphasised rows."""

    title: str
    paragraphs: Sequence[str]
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    strong: frozenset[int] = frozenset()


def table_sections(
    table: Table,
    plan: Plan,
    results: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]],
    failures: Mapping[str, str],
) -> list[Section]:
    """What the table's page holds: our scores beside the paper's, how they came about, every run, and what failed.

    Args:
        table: The table.
        plan: What was asked for.
        results: Dataset -> row's key -> what each seed's JSON holds.
        failures: Run -> reason.
    """
    sections = [_scores_section(table, plan, dataset, results.get(dataset, {})) for dataset in plan.datasets]
    for dataset in plan.datasets:
        runs = [run for row in table.rows for run in results.get(dataset, {}).get(row.key, ())]
        if runs:
            sections.append(_runs_section(table, dataset, runs))
    if failures:
        rows = [[name, reason] for name, reason in failures.items()]
        sections.append(Section("Not made", [], ["run", "reason"], rows))
    return sections


def _scores_section(
    table: Table, plan: Plan, dataset: str, results: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Section:
    columns = [column for column, _, _ in table.columns(dataset)]
    names = {"rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "mAP": "mAP"}
    words = " / ".join(names[name] for name in table.scores)
    papers = list(dict.fromkeys(column for row in table.rows for column in row.paper))
    header = ["", *(f"{column}, ours: {words}" for column in columns), "runs", *(f"{paper}, paper" for paper in papers)]
    rows = []
    for row in table.rows:
        if row.only and dataset not in row.only:
            continue
        runs = results.get(row.key, ())
        ours = [spread(table.scores, [run["scores"][column] for run in runs]) for column in columns]
        paper = [
            " / ".join(f"{score:.1f}" for score in row.paper[name]) if name in row.paper else "" for name in papers
        ]
        rows.append([row.name + (" (ours, not in the paper)" if row.ours else ""), *ours, str(len(runs)), *paper])
    paragraphs = [budget_words(plan, [run for runs in results.values() for run in runs])]
    if papers:
        paragraphs.append(
            "The columns marked paper are the authors' numbers on other data with full-size networks; they are no "
            "measurement of this code and cannot be compared with ours in height, only in order."
            if dataset == "pit_reid"
            else "The columns marked paper are the authors' numbers, no measurement of this code."
        )
    paragraphs += [
        f"{row.name}: {row.note}." for row in table.rows if row.note and (not row.only or dataset in row.only)
    ]
    title = f"Trained on {dataset}"
    return Section(title, paragraphs, header, rows, frozenset(i for i, row in enumerate(rows) if row[0] == "SAN"))


def spread(names: Sequence[str], scores: Sequence[Mapping[str, float]]) -> str:
    """Scores of several seeds in percent: mean, and with two or more seeds the sample standard deviation."""
    if not scores:
        return "-"
    parts = []
    for name in names:
        values = [100.0 * score[name] for score in scores if score[name] is not None]
        if not values:
            parts.append("-")
            continue
        deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        parts.append(f"{statistics.fmean(values):.1f}{deviation}")
    return " / ".join(parts)


def budget_words(plan: Plan, runs: Sequence[Mapping[str, Any]]) -> str:
    """What every run was given, in one paragraph."""
    if not runs:
        return "No run is complete yet."
    batches = sorted({(run["reid_batches"], run["batch"]) for run in runs})
    given = ", ".join(f"{count:,} identity-labelled batches of {size} images" for count, size in batches)
    text = f"Each run had {given}; rows with synthetic data had PIT batches between them."
    if plan.scale == "small":
        sizes = plan.sizes
        text += (
            f" SMALL SCALE: images {sizes.image_size[0]}x{sizes.image_size[1]}, networks of base width {sizes.width} "
            f"(64 is the real one) and few blocks, textures {sizes.texture_size}x{sizes.texture_size}, "
            f"{sizes.train_identities} training and {sizes.test_identities} test identities of pit_reid, rendered "
            f"{small.EASIER_WORDS}; SAN-PG trained for {sizes.generator_steps} steps of {sizes.num_identities * sizes.images_of_each} of "
            f"{sizes.pit_textures * sizes.pit_meshes} pairs; Adam with a cosine from 1e-3, no random erasing."
        )
    start = plan.pretrained or "random weights (no ImageNet file was given)"
    text += f" SAN-PG and the baseline start from {start}, the other rows from a SAN-PG run of seed 0."
    return text


def _runs_section(table: Table, dataset: str, runs: Sequence[Mapping[str, Any]]) -> Section:
    names = {row.key: row.name for row in table.rows}
    header = ["run", "seed", "rank-1 / mAP / mINP", "reID + PIT batches", "training", "commit", "hardware", "JAX"]
    rows, paragraphs = [], []
    for run in runs:
        for column, on, _ in table.columns(dataset):
            scores = run["scores"][column]
            rows.append(
                [
                    f"{names[run['row']]}, {column}",
                    str(run["seed"]),
                    " / ".join(
                        "-" if scores[name] is None else f"{100 * scores[name]:.1f}"
                        for name in ("rank1", "mAP", "mINP")
                    ),
                    f"{run['reid_batches']:,} + {run['pit_batches']:,}",
                    f"{run['training_seconds'] / 60:.1f} min",
                    run["commit"][:12] + run["commit"][40:],
                    run["processor"],
                    run["jax"],
                ]
            )
            chance = scores["chance"]
            paragraphs.append(
                f"Protocol of {column}: {without_training(scores['protocol'], on, run['summaries'][on])} Random rankings come to rank-1 "
                f"{100 * chance['rank1']:.1f}, mAP {100 * chance['mAP']:.1f}."
            )
    return Section(f"Every run on {dataset}", list(dict.fromkeys(paragraphs)), header, rows)


def without_training(protocol: str, dataset: str, summary: Mapping[str, Any]) -> str:
    """A protocol's words without the last ones, on what the run was trained on, which differ from row to row."""
    training = protocols.Training(summary["trained_on"], summary["started_from"])
    return protocol.removesuffix(protocols.training_words(dataset, training)).rstrip()


def quality_section(qualities: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Section:
    """Textures of the generators against the truth."""
    rows = []
    for name, measured in qualities.items():
        for data, quality in measured.items():
            rows.append([name, data, f"{quality['l1']:.4f}", f"{quality['psnr']:.2f}", f"{quality['ssim']:.4f}"])
    paragraph = (
        "Mean over textures of L1 (textures in [-1, 1], as L_Rec), PSNR (dB) and SSIM. held-out pit: a rendering of other persons "
        "than those trained on; pit_reid, train: the pseudo textures that the reID network is supervised with."
    )
    return Section("Texture quality", [paragraph], ["SAN-PG", "data", "L1", "PSNR", "SSIM"], rows)


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """The page as Markdown."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    lines = [f"# {title}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for paragraph in section.paragraphs:
            lines += [paragraph, ""]
        if section.header:
            lines += ["| " + " | ".join(map(cell, section.header)) + " |", "|" + "---|" * len(section.header)]
            for index, row in enumerate(section.rows):
                cells = [f"**{cell(text)}**" if index in section.strong and text else cell(text) for text in row]
                lines.append("| " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML that loads nothing; all text is escaped."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>',
        "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}",
        "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}",
        "tr.strong td{font-weight:600;background:#f3f7ff}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(paragraph)}</p>" for paragraph in section.paragraphs]
        if section.header:
            parts.append("<table><tr>" + "".join(f"<th>{html.escape(text)}</th>" for text in section.header) + "</tr>")
            for index, row in enumerate(section.rows):
                style = ' class="strong"' if index in section.strong else ""
                parts.append(f"<tr{style}>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>")
            parts.append("</table>")
    return "\n".join([*parts, "</body></html>", ""])
