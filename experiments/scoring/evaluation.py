"""Scores a run on benchmarks: embeddings by the encoder alone, then CMC, mAP and mINP."""

import dataclasses
import functools
import io
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.runs import batch_norm, data_places, data_sources, folder, models, san_pg
from experiments.scoring import protocols
from experiments.scoring.console import describe, table
from experiments.scoring.embedding import EmbeddedSplit, Embedder
from experiments.scoring.per_query import query_scores
from san_jax import checkpoint, embed, files, onnx_file, pretrained, ranking
from san_jax.data.reading import read_names
from san_jax.files import write_atomic

ALL = "all"
KNOWN_ERRORS = (ValueError, OSError, checkpoint.CheckpointError, onnx_file.MissingPackagesError)


def run(
    workdir: str | os.PathLike[str],
    dataset: str,
    data_dir: str | os.PathLike[str] | None,
    *,
    output: str | os.PathLike[str] | None = None,
    options: protocols.Options | None = None,
    queries: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Evaluate a run on one dataset and write the result.

    Args:
        workdir: Folder of a run, or an export, see `models.load_encoder`.
        dataset: A dataset with splits query and gallery under `data_dir`.
        data_dir: Where TFDS keeps datasets; None to look, see `data_places.find`.
        output: JSON file to write; None for report/evaluate_<dataset><options>.json in the folder. One that holds
            scores with other BatchNorm statistics is not replaced.
        options: How it is scored; None for the defaults.
        queries: `.npz` file that also receives the scores of each query of the split `query`: persons int [Q], and
            rank1, rank5, rank10, mAP (its AP) and mINP (its INP), float64 [Q], NaN for a query without a match. None
            for none.

    Returns:
        What the JSON holds: dataset, protocol (words), rank1, rank5, rank10 (partial datasets: rank3 too; None beyond
        the gallery's size), mAP, mINP (fractions), chance (the same scores of random rankings), num_query, num_gallery,
        num_valid_queries, metric, average_precision, flip, runtime, same_camera ("drop", or "keep" where gallery images
        of the query's identity and camera count as correct), rerank (settings or None), batch_norm (None, or
        the pictures that statistics were re-estimated on, see `batch_norm.Reestimation.apply`), image_size, san_pg
        (None, or the workdir and parameters_sha256 of the run whose textures are the reID input), source_digest and
        release (None but for MSMT17) of the dataset, partial (whether the dataset or that of training is a partial
        copy), trained_on (see `folder.read_data`), started_from (the same of the runs that the weights started from,
        by folder), relation (see `protocols.relation`), workdir, step and checkpoint (which
        was asked for). Partial REID adds single_shot: the same scores
        and chance averaged over its single-shot splits (None where none is complete), with their protocol, num_splits
        and num_identities. pit_reid adds query_partial and query_occluded, where it has these splits: the same scores,
        chance, num_query and num_valid_queries of these queries, with their protocol.

    Raises:
        ValueError: Embeddings are not finite, query and gallery cannot be scored, or the SAN-PG run has changed since
            the run was trained on its textures; `queries` with options that score queries otherwise; statistics that
            cannot be re-estimated; or an `output` that holds scores with others.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet.
        datasets.DatasetError: The dataset or a split is absent.
    """
    return _Evaluation(workdir, data_dir, options or protocols.Options(), queries).score(dataset, output)


def run_datasets(
    workdir: str | os.PathLike[str],
    names: Sequence[str],
    data_dir: str | os.PathLike[str] | None,
    options: protocols.Options | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Evaluate a run on several datasets, loading it once, and print a table at the end; arguments as in `run`.

    Returns:
        By dataset what `run` returns, and by dataset the reason for those that could not be scored.

    Raises:
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no checkpoint yet.
    """
    evaluation = _Evaluation(workdir, data_dir, options or protocols.Options())
    summaries: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for name in names:
        try:
            summaries[name] = evaluation.score(name, None)
        # Whatever goes wrong with one dataset (damaged records, memory), the others are still scored.
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
        data_dir: str | os.PathLike[str] | None,
        options: protocols.Options,
        queries: str | os.PathLike[str] | None = None,
    ) -> None:
        if queries is not None and (options.rerank is not None or options.average_precision != "standard"):
            raise ValueError("the scores of each query are those of plain rankings with the standard AP.")
        self._queries = queries
        self._workdir, self._given = pathlib.Path(workdir), data_dir
        model, self._plan, self._step, data, self._folder = models.load_encoder(workdir, which=options.checkpoint)
        self._options = options.with_metric_of(self._plan)
        self._batch_norm: dict[str, Any] | None = None
        if options.batch_norm is not None:
            batch_norm.refuse_textures(self._plan.textures_from)
            model, self._batch_norm = options.batch_norm.apply(model, self._plan.image_size, data_dir, workdir)
        self._san_pg = san_pg.load_of_run(self._plan, workdir)
        self._training = protocols.Training(data, {} if data is None else data.pop(folder.STARTED_FROM))
        self._embedder = functools.cache(
            lambda place: Embedder(model, self._plan, place, options.flip, self._san_pg, options.runtime)
        )

    def score(self, dataset: str, output: str | os.PathLike[str] | None) -> dict[str, Any]:
        """Score a dataset, write the JSON and print the result."""
        options, path = self._options, self._path(dataset, output)
        data_dir = data_places.find(self._given, [self._workdir], dataset)
        metadata = data_sources.read_metadata(dataset, data_dir)
        query, gallery = (self._embedder(data_dir).embed(dataset, split) for split in ("query", "gallery"))
        protocol = protocols.find(dataset)
        scored = protocols.Scored(
            dataset,
            metadata,
            self._training,
            num_query=len(query.person_ids),
            num_gallery=len(gallery.person_ids),
            dimensions=query.embeddings.shape[1],
            image_size=self._plan.image_size,
            san_pg="" if self._san_pg is None else self._san_pg.workdir,
            kept_camera=protocols.kept_camera_words(options, query.camera_ids, gallery.camera_ids),
            batch_norm=self._batch_norm,
        )
        summary = {
            "dataset": dataset,
            "protocol": protocols.words(scored, options),
            **rank(query, gallery, protocol.ranks, options),
            "num_query": len(query.person_ids),
            "num_gallery": len(gallery.person_ids),
            "metric": options.metric,
            "average_precision": options.average_precision,
            "flip": options.flip,
            "runtime": options.runtime,
            "same_camera": "keep" if scored.kept_camera else "drop",
            "rerank": None if options.rerank is None else dataclasses.asdict(options.rerank),
            "batch_norm": self._batch_norm,
            "image_size": list(self._plan.image_size),
            "san_pg": None
            if self._san_pg is None
            else {"workdir": self._san_pg.workdir, "parameters_sha256": self._san_pg.digest},
            "source_digest": metadata.get("source_digest"),
            "release": metadata.get("release"),
            "partial": bool(protocols.partial_warnings(dataset, metadata, self._training)),
            "trained_on": self._training.data,
            "started_from": self._training.started_from,
            "relation": protocols.relation(dataset, self._training),
            "workdir": str(self._workdir),
            "step": self._step,
            "checkpoint": options.checkpoint,
        }
        if protocol.index_pairs:
            summary["single_shot"] = self._score_single_shot(dataset, data_dir, query, gallery)
        if protocol.more_queries:
            for split in protocols.query_splits(dataset, data_sources.list_splits(dataset, data_dir)):
                found = self._embedder(data_dir).embed(dataset, split)
                summary[split] = self._score_queries(dataset, split, found, gallery)
        if self._queries is not None:
            self._write_queries(pathlib.Path(self._queries), query, gallery)
        write_atomic(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
        print(describe(summary))
        print(f"written to {path}", flush=True)
        return summary

    def _path(self, dataset: str, output: str | os.PathLike[str] | None) -> pathlib.Path:
        """Return the file to write.

        Raises:
            ValueError: It is the user's and holds scores with other statistics, or would be among the package's files.
        """
        if output is None and pretrained.is_shipped(self._folder):
            raise ValueError(f"{self._workdir} came with the package, whose files stay as they are: give --output.")
        if output is None:
            return self._folder / "report" / self._options.file_name(dataset)
        _check_output(pathlib.Path(output), self._batch_norm)
        return pathlib.Path(output)

    def _write_queries(self, path: pathlib.Path, query: EmbeddedSplit, gallery: EmbeddedSplit) -> None:
        cameras = self._options.cameras_of(query.camera_ids, gallery.camera_ids)
        query, gallery = (
            EmbeddedSplit(split.embeddings, split.person_ids, np.asarray(camera_ids))
            for split, camera_ids in zip((query, gallery), cameras, strict=True)
        )
        buffer = io.BytesIO()
        found: dict[str, Any] = query_scores(query, gallery, metric=self._options.metric)
        np.savez_compressed(buffer, persons=query.person_ids, **found)
        write_atomic(path, buffer.getvalue())

    def _score_queries(self, dataset: str, split: str, query: EmbeddedSplit, gallery: EmbeddedSplit) -> dict[str, Any]:
        ranks = protocols.find(dataset).ranks
        return {
            "protocol": protocols.query_split_words(dataset, split, len(query.person_ids), self._options),
            **rank(query, gallery, ranks, self._options),
            "num_query": len(query.person_ids),
        }

    def _score_single_shot(
        self, dataset: str, data_dir: str, query: EmbeddedSplit, gallery: EmbeddedSplit
    ) -> dict[str, Any]:
        ranks = protocols.find(dataset).ranks
        names = [read_names(data_sources.open_source(dataset, split, data_dir)) for split in ("query", "gallery")]
        splits = protocols.index_pairs(names[0], query.person_ids, names[1], gallery.person_ids)
        num_identities = len(set(query.person_ids.tolist()) & set(gallery.person_ids.tolist()))
        results = [rank(query.take(q), gallery.take(g), ranks, self._options) for q, g in splits]
        absent = dict.fromkeys([*(f"rank{rank}" for rank in ranks), "mAP", "mINP"])

        def mean(values: Sequence[float | None]) -> float | None:
            known = [value for value in values if value is not None]
            return float(np.mean(known)) if len(known) == len(values) else None

        return {
            "protocol": protocols.single_shot_words(len(splits), num_identities, self._options),
            **(absent if not results else {key: mean([result[key] for result in results]) for key in absent}),
            "chance": results[0]["chance"] if results else absent,  # the same for each
            "num_splits": len(splits),
            "num_identities": num_identities,
        }


def _check_output(path: pathlib.Path, batch_norm_noted: dict[str, Any] | None) -> None:
    """Raise a ValueError where a file holds scores with other statistics of batch normalisation."""
    try:
        found = files.read_json(path)
    except (OSError, files.DamagedFileError):  # absent, or no result
        return
    if "protocol" not in found or found.get("batch_norm") == batch_norm_noted:
        return
    holds = batch_norm.brief(found.get("batch_norm")) or "BatchNorm statistics as trained"
    raise ValueError(f"{path} holds scores with {holds}, not with those asked for now: give another --output.")


def rank(
    query: EmbeddedSplit, gallery: EmbeddedSplit, ranks: Sequence[int], options: protocols.Options
) -> dict[str, Any]:
    """Return scores, chance and num_valid_queries; None for ranks beyond the gallery's size."""
    labels = (query.person_ids, gallery.person_ids, *options.cameras_of(query.camera_ids, gallery.camera_ids))
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


def scores(result: ranking.RankingResult) -> dict[str, float]:
    """Return the scores under their names in the JSON: rank1, rank5, ..., mAP, mINP."""
    return {
        **{f"rank{rank}": value for rank, value in result.cmc.items()},
        "mAP": result.mean_ap,
        "mINP": result.mean_inp,
    }


def parse_datasets(text: str, data_dir: str | os.PathLike[str] | None, workdir: str | os.PathLike[str]) -> list[str]:
    """Return the names in a comma list; "all" is every dataset with splits query and gallery.

    Args:
        text: What the user gave.
        data_dir: Where TFDS keeps datasets; None to look, see `data_places.find`.
        workdir: The run's folder.

    Raises:
        ValueError: A name is empty, or "all" finds no dataset.
    """
    if text == ALL:
        names = [
            name
            for name, place in data_places.list_built(data_dir, workdir)
            if {"query", "gallery"} <= set(data_sources.list_splits(name, place))
        ]
        if not names:
            raise ValueError(
                f"--dataset=all: no dataset in {data_dir or data_places.DEFAULT} has a query and a gallery. Build one with "
                "`python -m experiments.prepare`."
            )
        return names
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ValueError(f"--dataset={text}: expected names separated by commas, or {ALL}.")
    return list(dict.fromkeys(names))
