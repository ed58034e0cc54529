"""Benchmarks of random embeddings, and what runs note of their training."""

import json

import numpy as np

from experiments.command_line import config_files
from experiments.runs.plan import resolve
from experiments.scoring import evaluation
from experiments.scoring.embedding import EmbeddedSplit, Embedder

PLAN = resolve(config_files.load("baseline.py:smoke,image_size=(48, 32)"))
SCORES = ("rank1", "rank5", "rank10", "mAP", "mINP")
PARTIAL = {"partial": True, "num_problems": 1, "counts": {}, "counts_expected": {}}
MARKET_TRAIN = {
    "dataset": "market1501",
    "splits": ["train"],
    "images": 12_936,
    "identities": 751,
    "partial": False,
    "source_digest": "0",
    "pit": None,
}


def trained(scored_run, started_from=None, **changes):
    """Notes what the run was trained on, as `experiments.train` does."""
    noted = {**MARKET_TRAIN, **changes}
    (scored_run / "data.json").write_text(json.dumps({**noted, "started_from": started_from or {}}))
    return noted


def one_line(text):
    return " ".join(text.split())


class Benchmarks:
    """Random embeddings in place of built benchmarks: whatever names, labels and metadata a test asks for."""

    def __init__(self, monkeypatch):
        self._splits = {}
        self._metadata = {}
        self._names = {}
        self._rng = np.random.default_rng(0)
        embed_split, read_metadata = Embedder.embed, evaluation.data_sources.read_metadata

        def fake_split(embedder, dataset, split):
            return self._splits[dataset][split] if dataset in self._splits else embed_split(embedder, dataset, split)

        def fake_metadata(dataset, data_dir):
            return self._metadata[dataset] if dataset in self._metadata else read_metadata(dataset, data_dir)

        def fake_source(dataset, split, data_dir):
            return [{"name": name} for name in self._names[dataset][split]]

        monkeypatch.setattr(Embedder, "embed", fake_split)
        monkeypatch.setattr(evaluation.data_sources, "read_metadata", fake_metadata)
        monkeypatch.setattr(evaluation.data_sources, "open_source", fake_source)

    def add(self, dataset, query_ids, gallery_ids, *, metadata=(), names=None):
        """A benchmark of one camera in the query and another in the gallery."""
        self._splits[dataset] = {
            split: EmbeddedSplit(
                self._rng.normal(size=(len(ids), 8)).astype(np.float32), np.asarray(ids), np.full(len(ids), camera)
            )
            for camera, (split, ids) in enumerate([("query", query_ids), ("gallery", gallery_ids)])
        }
        self._metadata[dataset] = dict(metadata)
        self._names[dataset] = names
        return self._splits[dataset]

    def add_partial_reid(self, people, indices, *, without=(), metadata=()):
        """Partial REID with these indices of each person, but the (split, person, index) in `without`, shuffled."""
        names, ids = {}, {}
        for split, folder in (("query", "partial_body_images"), ("gallery", "whole_body_images")):
            images = [(p, i) for p in people for i in indices if (split, p, i) not in without]
            self._rng.shuffle(images)
            names[split] = [f"{folder}/{person:03d}_{index:03d}.jpg" for person, index in images]
            ids[split] = [int(person) for person, _ in images]
        return self.add("partial_reid", ids["query"], ids["gallery"], metadata=metadata, names=names), names
