"""Scores a run on benchmarks: embeddings by the encoder alone, then CMC, mAP and mINP."""

import dataclasses
import json
import os
import pathlib
import sys
import textwrap
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from experiments.runs import data_sources, pseudo_textures, restore
from experiments.scoring import protocols
from san_jax import checkpoint, embed, ranking
from san_jax.data.pipeline import eval_batches, read_names
from san_jax.files import write_atomic
from san_jax.models import SAN
from san_jax.typing import EvalBatch

ALL = "all"
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError)  # their messages say what to do


@dataclasses.dataclass(frozen=True)
class EmbeddedSplit:
    """Embeddings float32 [N D] of a split with person_ids, camera_ids int [N], in the split's order."""

    embeddings: np.ndarray
    person_ids: np.ndarray
    camera_ids: np.ndarray

    def take(self, positions: np.ndarray) -> "EmbeddedSplit":
        """Some of its examples."""
        return EmbeddedSplit(self.embeddings[positions], self.person_ids[positions], self.camera_ids[positions])


def run(
    workdir: str | os.PathLike[str],
    dataset: str,
    data_dir: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    metric: str | None = None,
    average_precision: str = "standard",
    flip: bool = False,
    rerank: ranking.KReciprocal | None = None,
) -> dict[str, Any]:
    """Evaluates a run on one dataset and writes the result.

    Args:
        workdir: Folder of a run.
        dataset: A dataset with splits query and gallery under `data_dir`.
        data_dir: Where TFDS keeps datasets.
        output: JSON file to write; None for `workdir`/report/evaluate_<dataset><options>.json.
        metric: "euclidean" or "cosine"; None for the `test_metric` of the run's config.
        average_precision: "standard", or "trapezoidal" as in the Market authors' MATLAB code.
        flip: Average embeddings with those of the mirror images.
        rerank: Settings of k-reciprocal re-ranking, None for none.

    Returns:
        What the JSON holds: dataset, protocol (words), rank1, rank5, rank10 (partial datasets: rank3 too; None beyond
        the gallery's size), mAP, mINP (fractions), chance (the same scores of random rankings), num_query, num_gallery,
        num_valid_queries, metric, average_precision, flip, rerank (settings or None), image_size, generator (None, or the
        workdir and parameters_sha256 of the run whose textures are the reID input), source_digest and
        release (None but for MSMT17) of the dataset, partial (whether the dataset or that of training is a partial
        copy), trained_on (see `restore.read_data`), started_from (the same of the runs that the weights started from,
        by folder), relation (see `protocols.relation`), workdir, step. Partial REID adds single_shot: the same scores
        and chance averaged over its single-shot splits (None where none is complete), with their protocol, num_splits
        and num_identities. pit_reid adds query_partial and query_occluded, where it has these splits: the same scores,
        chance, num_query and num_valid_queries of these queries, with their protocol.

    Raises:
        ValueError: Unknown options, embeddings that are not finite, a query and gallery that cannot be scored, or a
            generator that is not the one that the run was trained with.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet.
        datasets.DatasetError: The dataset or a split is absent.
    """
    return _Evaluation(workdir, data_dir, metric, average_precision, flip, rerank).score(dataset, output)


def run_datasets(
    workdir: str | os.PathLike[str],
    names: Sequence[str],
    data_dir: str | os.PathLike[str],
    *,
    metric: str | None = None,
    average_precision: str = "standard",
    flip: bool = False,
    rerank: ranking.KReciprocal | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Evaluates a run on several datasets, loading it once; prints a table at the end. Options as in `run`.

    Returns:
        What `run` returns by dataset, and by dataset the reason for each that could not be scored.

    Raises:
        ValueError: Unknown options.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet.
    """
    evaluation = _Evaluation(workdir, data_dir, metric, average_precision, flip, rerank)
    summaries: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for name in names:
        try:
            summaries[name] = evaluation.score(name, None)
        # Whatever is wrong with one dataset (damaged records, memory), the others are still scored.
        except Exception as error:
            if not isinstance(error, KNOWN_ERRORS):
                traceback.print_exc()
            failures[name] = str(error) or type(error).__name__
            print(f"{name}: not scored. {failures[name]}", file=sys.stderr)
        print()
    print(table(summaries, failures))
    return summaries, failures


class _Evaluation:
    """A loaded run with the options that it is scored with."""

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        data_dir: str | os.PathLike[str],
        metric: str | None,
        average_precision: str,
        flip: bool,
        rerank: ranking.KReciprocal | None,
    ) -> None:
        self._workdir = pathlib.Path(workdir)
        self._data_dir = data_dir
        # Before anything is loaded, so that an unknown option is told at once.
        options = protocols.Options(metric or "euclidean", average_precision, flip, rerank)
        self._model, self._config = restore.load_run(workdir, encoder_only=True)
        if metric is None and self._config.stage != "pg":
            options = dataclasses.replace(options, metric=self._config.test_metric)
        self._options = options
        data = restore.read_data(workdir)
        self._generator = _load_generator(self._config, data, workdir)
        self._training = protocols.Training(data, {} if data is None else data.pop(restore.STARTED_FROM))
        self._step = checkpoint.latest_step(self._workdir / restore.CHECKPOINT_FOLDER)

    def score(self, dataset: str, output: str | os.PathLike[str] | None) -> dict[str, Any]:
        """Scores a dataset, writes the JSON and prints the result."""
        options = self._options
        metadata = data_sources.read_metadata(dataset, self._data_dir)
        query, gallery = (self._embed(dataset, split) for split in ("query", "gallery"))
        protocol = protocols.find(dataset)
        summary = {
            "dataset": dataset,
            "protocol": protocols.words(
                dataset,
                options,
                metadata=metadata,
                training=self._training,
                num_query=len(query.person_ids),
                num_gallery=len(gallery.person_ids),
                dimensions=query.embeddings.shape[1],
                image_size=self._config.image_size,
                generator="" if self._generator is None else self._generator.workdir,
            ),
            **_rank(query, gallery, protocol.ranks, options),
            "num_query": len(query.person_ids),
            "num_gallery": len(gallery.person_ids),
            "metric": options.metric,
            "average_precision": options.average_precision,
            "flip": options.flip,
            "rerank": None if options.rerank is None else dataclasses.asdict(options.rerank),
            "image_size": list(self._config.image_size),
            "generator": None
            if self._generator is None
            else {"workdir": self._generator.workdir, "parameters_sha256": self._generator.digest},
            "source_digest": metadata.get("source_digest"),
            "release": metadata.get("release"),
            "partial": bool(protocols.partial_warnings(dataset, metadata, self._training)),
            "trained_on": self._training.data,
            "started_from": self._training.started_from,
            "relation": protocols.relation(dataset, self._training),
            "workdir": str(self._workdir),
            "step": self._step,
        }
        if protocol.index_pairs:
            summary["single_shot"] = self._score_single_shot(dataset, query, gallery, protocol.ranks)
        if protocol.more_queries:
            for split in protocols.query_splits(dataset, data_sources.list_splits(dataset, self._data_dir)):
                summary[split] = self._score_queries(dataset, split, gallery, protocol.ranks)
        if output is None:
            name = f"evaluate_{dataset.replace('/', '_')}{options.suffix}.json"
            path = self._workdir / "report" / name
        else:
            path = pathlib.Path(output)
        write_atomic(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
        print(describe(summary))
        print(f"written to {path}", flush=True)
        return summary

    def _embed(self, dataset: str, split: str) -> EmbeddedSplit:
        return embed_split(
            self._model,
            self._config,
            dataset,
            split,
            self._data_dir,
            flip=self._options.flip,
            generator=self._generator,
        )

    def _score_queries(self, dataset: str, split: str, gallery: EmbeddedSplit, ranks: Sequence[int]) -> dict[str, Any]:
        query = self._embed(dataset, split)
        return {
            "protocol": protocols.query_split_words(dataset, split, len(query.person_ids), self._options),
            **_rank(query, gallery, ranks, self._options),
            "num_query": len(query.person_ids),
        }

    def _score_single_shot(
        self, dataset: str, query: EmbeddedSplit, gallery: EmbeddedSplit, ranks: Sequence[int]
    ) -> dict[str, Any]:
        names = [read_names(data_sources.open_source(dataset, split, self._data_dir)) for split in ("query", "gallery")]
        splits = protocols.index_pairs(names[0], query.person_ids, names[1], gallery.person_ids)
        num_identities = len(set(query.person_ids.tolist()) & set(gallery.person_ids.tolist()))
        results = [_rank(query.take(q), gallery.take(g), ranks, self._options) for q, g in splits]
        absent = dict.fromkeys([*(f"rank{rank}" for rank in ranks), "mAP", "mINP"])

        def mean(values: Sequence[float | None]) -> float | None:
            return None if None in values else float(np.mean(values))  # pyright: ignore[reportArgumentType, reportCallIssue]

        return {
            "protocol": protocols.single_shot_words(len(splits), num_identities, self._options),
            **(absent if not results else {key: mean([result[key] for result in results]) for key in absent}),
            "chance": results[0]["chance"] if results else absent,  # the same for each
            "num_splits": len(splits),
            "num_identities": num_identities,
        }


def _rank(
    query: EmbeddedSplit, gallery: EmbeddedSplit, ranks: Sequence[int], options: protocols.Options
) -> dict[str, Any]:
    """Scores, chance and num_valid_queries; None for the ranks that the gallery has not."""
    labels = (query.person_ids, gallery.person_ids, query.camera_ids, gallery.camera_ids)
    possible = tuple(rank for rank in ranks if rank <= len(gallery.person_ids))
    result = ranking.evaluate_ranking(
        query.embeddings,
        gallery.embeddings,
        *labels,
        ranks=possible,
        metric=options.metric,
        average_precision=options.average_precision,
        rerank=options.rerank,
        mesh=embed.machine_mesh(),
    )
    chance = ranking.chance_scores(*labels, ranks=possible, average_precision=options.average_precision)
    absent = dict.fromkeys(f"rank{rank}" for rank in ranks)
    return {
        **absent,
        **scores(result),
        "chance": {**absent, **scores(chance)},
        "num_valid_queries": result.num_valid_queries,
    }


def _load_generator(
    config: Any, data: Mapping[str, Any] | None, workdir: str | os.PathLike[str]
) -> pseudo_textures.Generator | None:
    """The generator of a run whose input are textures, None for a run whose input are images."""
    if config.stage != "baseline" or config.input == "image":
        return None
    generator = pseudo_textures.load_generator(restore.find_run(config.generator, workdir))
    noted = None if data is None else data.get("generator_sha256")
    if noted != generator.digest:
        raise ValueError(
            f"The run was trained on textures of {config.generator} when its parameters were {noted}; those of "
            f"{generator.workdir} are {generator.digest}. Put that state of the generator back, or train anew."
        )
    return generator


def embed_split(
    model: SAN,
    config: Any,
    dataset: str,
    split: str,
    data_dir: str | os.PathLike[str],
    *,
    flip: bool = False,
    generator: pseudo_textures.Generator | None = None,
) -> EmbeddedSplit:
    """Embeds a split by the encoder alone, over every device of this machine; on a terminal it shows how far it is.

    Args:
        model: What embeds.
        config: The config that it was trained with.
        dataset, split: What is embedded.
        data_dir: Where TFDS keeps datasets.
        flip: Average with the embeddings of the inputs mirrored left to right.
        generator: What regresses a texture from each image, which is embedded in its place; None to embed the images.

    Raises:
        datasets.DatasetError: The dataset or the split is absent.
    """
    mesh, batch_size = embed.machine_mesh(), embed.whole_batch_size()
    batches = eval_batches(
        data_sources.open_source(dataset, split, data_dir),
        batch_size=batch_size,
        image_size=config.image_size if generator is None else generator.config.image_size,
        num_workers=config.num_workers,
    )
    person_ids, camera_ids = [], []

    def noting_labels() -> Iterator[EvalBatch]:
        for batch in tqdm.tqdm(
            batches, desc=f"Embedding {dataset} {split}", unit="batch", disable=None, leave=False, dynamic_ncols=True
        ):
            person_ids.append(batch["person_id"][batch["valid"]])
            camera_ids.append(batch["camera_id"][batch["valid"]])
            yield batch

    def as_inputs(batches: Iterator[EvalBatch]) -> Iterator[Mapping[str, Any]]:
        if generator is None:
            yield from batches
            return
        for textures in embed.regress_batches(generator.model, batches, mesh=mesh):
            inputs = np.stack([generator.resize(texture, config.image_size) for texture in textures])
            yield from embed.padded_batches(inputs, batch_size)

    embeddings = embed.embed_batches(model, as_inputs(noting_labels()), mesh=mesh, flip=flip)
    return EmbeddedSplit(embeddings, np.concatenate(person_ids), np.concatenate(camera_ids))


def scores(result: ranking.RankingResult) -> dict[str, float]:
    """The scores under the names that the JSON has: rank1 and so on, mAP, mINP."""
    return {
        **{f"rank{rank}": value for rank, value in result.cmc.items()},
        "mAP": result.mean_ap,
        "mINP": result.mean_inp,
    }


def describe(summary: Mapping[str, Any]) -> str:
    """A result for the console: the protocol, then scores and chance in percent."""
    lines = [
        f"{summary['dataset']}{' (PARTIAL)' * summary['partial']}: {summary['num_query']:,} queries ({summary['num_valid_queries']:,} with a match), "
        f"{summary['num_gallery']:,} gallery images; {summary['workdir']} at step {summary['step']}",
        *_wrap(summary["protocol"]),
        *_score_lines(summary),
    ]
    for result in _further_results(summary).values():
        lines += [*_wrap(result["protocol"]), *_score_lines(result)]
    return "\n".join(lines)


def _further_results(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The results of a benchmark's other protocols: name -> result."""
    names = {
        "single_shot": "single-shot",
        **{split: split for split in protocols.find(summary["dataset"]).more_queries},
    }
    return {name: summary[key] for key, name in names.items() if key in summary}


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_on_hyphens=False)


def _score_lines(result: Mapping[str, Any]) -> list[str]:
    names = list(result["chance"])
    return [
        " " * 8 + "".join(f"{name:>9}" for name in names),
        f"{'score %':<8}" + "".join(_percent(result[name]) for name in names),
        f"{'chance %':<8}" + "".join(_percent(result["chance"][name]) for name in names),
    ]


def _percent(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{100 * value:9.2f}"


def table(summaries: Mapping[str, Mapping[str, Any]], failures: Mapping[str, str]) -> str:
    """The scores of several datasets in percent, a line each, and those that could not be scored."""
    names = [*(f"rank{rank}" for rank in protocols.RANKS), "mAP", "mINP"]
    rows: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
    for dataset, summary in summaries.items():
        rows.append((dataset, summary, summary))
        rows += [(f"{dataset}, {name}", result, summary) for name, result in _further_results(summary).items()]
    width = max((len(name) for name in [*failures, *(name for name, _, _ in rows), "%"]), default=0)
    lines = [f"{'%':<{width}}" + "".join(f"{name:>9}" for name in names)]
    for label, result, summary in rows:
        note = summary["relation"] + (", PARTIAL" if summary["partial"] else "")
        lines.append(f"{label:<{width}}" + "".join(_percent(result[name]) for name in names) + f"  {note}")
    lines += [f"{name:<{width}}  not scored: {reason.splitlines()[0]}" for name, reason in failures.items()]
    return "\n".join(lines)


def parse_datasets(text: str, data_dir: str | os.PathLike[str]) -> list[str]:
    """The names in a comma list; "all" for every dataset under `data_dir` that has splits query and gallery.

    Raises:
        ValueError: No name, or "all" where there is none.
    """
    if text == ALL:
        names = [
            name
            for name in data_sources.list_built(data_dir)
            if {"query", "gallery"} <= set(data_sources.list_splits(name, data_dir))
        ]
        if not names:
            raise ValueError(
                f"--dataset=all: no dataset in {data_dir} has a query and a gallery. Build one with "
                "`python -m experiments.prepare`."
            )
        return names
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ValueError(f"--dataset={text}: expected names parted by commas, or {ALL}.")
    return list(dict.fromkeys(names))
