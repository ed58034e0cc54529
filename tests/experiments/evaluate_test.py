"""The evaluation program on small benchmarks: the JSON, each protocol in words, options, several datasets, errors."""

import json
import pathlib
import re

import jax
import numpy as np
import pytest
from flax import nnx

import datasets
from experiments import evaluate
from experiments.command_line import config_files
from experiments.runs.plan import resolve
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import EmbeddedSplit, Embedder
from san_jax import embed, ranking
from san_jax.models import SAN, merge_model, split_model
from tests import dataset_fixtures
from tests.experiments import tiny_data

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


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_data.write_pit_reid(folder / "rendered", test_ids=5, cameras=4)
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


@pytest.fixture(scope="module")
def model():
    return SAN(0, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))


@pytest.fixture
def loads():
    """What was loaded from a run's folder, in order."""
    return []


@pytest.fixture
def workdir(tmp_path, monkeypatch, model, loads):
    """A run's folder whose model is `model`; loading anything but the encoder fails the test."""

    def load_run(path, *, encoder_only=False):
        assert encoder_only
        assert pathlib.Path(path) == tmp_path / "run"
        loads.append(path)
        return model, PLAN

    monkeypatch.setattr(evaluation.models, "load_run", load_run)
    (tmp_path / "run" / "checkpoints" / "120").mkdir(parents=True)
    return tmp_path / "run"


def trained(workdir, started_from=None, **changes):
    """Notes what the run was trained on, as `experiments.train` does."""
    noted = {**MARKET_TRAIN, **changes}
    (workdir / "data.json").write_text(json.dumps({**noted, "started_from": started_from or {}}))
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


@pytest.fixture
def benchmarks(monkeypatch):
    return Benchmarks(monkeypatch)


def test_result(workdir, data_dir, model, capsys):
    summary = evaluation.run(workdir, "pit_reid", data_dir)
    assert json.loads((workdir / "report" / "evaluate_pit_reid.json").read_text()) == summary
    assert summary["num_query"] == summary["num_valid_queries"] == 5
    assert summary["num_gallery"] == 15
    assert "query_partial" not in summary  # this copy has none
    assert summary["step"] == 120
    assert summary["workdir"] == str(workdir)
    assert (summary["metric"], summary["average_precision"]) == ("euclidean", "standard")
    assert (summary["flip"], summary["rerank"], summary["partial"]) == (False, None, False)
    printed = capsys.readouterr().out
    assert f"{100 * summary['mAP']:9.2f}" in printed
    assert summary["protocol"] in one_line(printed)
    for words in (
        "pit_reid, our own: rendered persons, no published benchmark",
        "gallery images of the same identity and the same camera are dropped",
        "5 single queries against 15 gallery images, of each identity all its images (multi-shot).",
        "AP is the mean of the precision at each correct match (not the trapezoidal area of",
        "Equal distances are ranked by gallery index.",
        "Euclidean distance between 128-d embeddings of the encoder alone, images resized to 48x32, no flip averaging; "
        "no re-ranking.",
        "What the model was trained on is not recorded",
    ):
        assert words in summary["protocol"]
    assert "PARTIAL" not in printed

    # The same numbers from the images themselves: query is camera 0, gallery the other three, in manifest order.
    splits = [Embedder(model, PLAN, data_dir).embed("pit_reid", split) for split in ("query", "gallery")]
    np.testing.assert_array_equal(splits[0].person_ids, np.arange(3, 8))
    np.testing.assert_array_equal(splits[1].person_ids, np.repeat(np.arange(3, 8), 3))
    np.testing.assert_array_equal(splits[1].camera_ids, np.tile([1, 2, 3], 5))
    query, gallery = splits
    result = ranking.evaluate_ranking(
        query.embeddings,
        gallery.embeddings,
        query.person_ids,
        gallery.person_ids,
        query.camera_ids,
        gallery.camera_ids,
    )
    assert {key: summary[key] for key in SCORES} == pytest.approx(evaluation.scores(result), abs=1e-6)
    # Random rankings: 3 of 15 are correct.
    assert summary["chance"]["rank1"] == pytest.approx(3 / 15)
    assert summary["mAP"] > summary["chance"]["mAP"]  # colours alone are better than nothing


@pytest.mark.parametrize("rerank", [None, ranking.KReciprocal(k1=4, k2=2)])
def test_partial_and_occluded_queries_meet_the_same_gallery(workdir, tmp_path, model, monkeypatch, capsys, rerank):
    tiny_data.write_pit_reid(tmp_path / "rendered", test_ids=5, cameras=5, partial_queries=True)
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    embedded = []
    embed_split = Embedder.embed

    def noting(embedder, dataset, split):
        embedded.append(split)
        return embed_split(embedder, dataset, split)

    monkeypatch.setattr(Embedder, "embed", noting)
    flip = rerank is not None
    summary = evaluation.run(
        workdir, "pit_reid", tmp_path / "data", options=protocols.Options(flip=flip, rerank=rerank)
    )
    assert sorted(embedded) == ["gallery", "query", "query_occluded", "query_partial"]  # the gallery once
    name = "evaluate_pit_reid_flip_rerank_k1=4_k2=2.json" if flip else "evaluate_pit_reid.json"
    assert json.loads((workdir / "report" / name).read_text()) == summary
    gallery = Embedder(model, PLAN, tmp_path / "data", flip).embed("pit_reid", "gallery")
    np.testing.assert_array_equal(gallery.camera_ids, np.tile([1, 2], 5))
    results = {"query": summary, **{split: summary[split] for split in ("query_partial", "query_occluded")}}
    for split, found in results.items():
        query = Embedder(model, PLAN, tmp_path / "data", flip).embed("pit_reid", split)
        expected = ranking.evaluate_ranking(
            query.embeddings,
            gallery.embeddings,
            query.person_ids,
            gallery.person_ids,
            query.camera_ids,
            gallery.camera_ids,
            rerank=rerank,
        )
        assert {key: found[key] for key in SCORES} == pytest.approx(evaluation.scores(expected), abs=1e-6)
        assert (found["num_query"], found["num_valid_queries"]) == (5, 5)
        assert found["chance"]["rank1"] == pytest.approx(2 / 10)
    assert len({found["mAP"] for found in results.values()}) > 1
    printed = capsys.readouterr().out
    for split, words in (
        ("query_partial", "hold a part of a test person"),
        ("query_occluded", "something stands before"),
    ):
        assert summary[split]["protocol"] in one_line(printed)
        assert summary[split]["protocol"].startswith(f"{split}: ")
        assert words in summary[split]["protocol"]
        assert ("these queries and the gallery alone" in summary[split]["protocol"]) == flip
        assert "5 single queries against the same gallery" in summary[split]["protocol"]
    rows = evaluation.table({"pit_reid": summary}, {}).splitlines()
    assert [row.split()[:2] for row in rows[2:]] == [["pit_reid,", "query_partial"], ["pit_reid,", "query_occluded"]]
    assert f"{100 * summary['query_occluded']['mINP']:.2f}" in rows[3].split()


@pytest.mark.parametrize("flip", [False, True])
def test_embeddings_are_those_of_the_images(data_dir, model, flip):
    split = Embedder(model, PLAN, data_dir, flip).embed("pit_reid", "query")
    import tensorflow_datasets as tfds
    from PIL import Image

    source = tfds.data_source("pit_reid", split="query", data_dir=data_dir)
    images = np.stack([Image.fromarray(x["image"]).resize((32, 48), Image.Resampling.BILINEAR) for x in source])
    np.testing.assert_allclose(split.embeddings, embed.embed_images(model, images, flip=flip), rtol=1e-4, atol=1e-5)


def test_output(workdir, data_dir, tmp_path):
    summary = evaluation.run(workdir, "pit_reid", data_dir, output=tmp_path / "a" / "b.json")
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == summary
    assert not (workdir / "report").exists()


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"metric": "cosine"}, "_cosine", "Cosine distance between 8-d embeddings"),
        ({"average_precision": "trapezoidal"}, "_trapezoidal", "AP is the area under the precision-recall curve"),
        (
            {"rerank": ranking.KReciprocal(k1=5, k2=2, lambda_value=0.25)},
            "_rerank_k1=5_k2=2_lambda_value=0.25",
            "k-reciprocal re-ranking (Zhong et al., CVPR 2017; k1=5, k2=2, lambda=0.25) from squared Euclidean "
            "distances; it looks at",
        ),
        (
            {"metric": "cosine", "average_precision": "trapezoidal", "flip": True, "rerank": ranking.KReciprocal()},
            "_cosine_trapezoidal_flip_rerank",
            "k1=20, k2=6, lambda=0.3) from squared Euclidean distances of embeddings of length 1; it looks at",
        ),
    ],
)
def test_options_change_words_numbers_and_file(workdir, benchmarks, options, name, words):
    rng = np.random.default_rng(7)
    benchmarks.add("market1501", rng.integers(0, 9, 20), rng.integers(0, 9, 60))
    plain = evaluation.run(workdir, "market1501", "unused")
    summary = evaluation.run(workdir, "market1501", "unused", options=protocols.Options(**options))
    written = json.loads((workdir / "report" / f"evaluate_market1501{name}.json").read_text())
    assert written == summary
    assert words in summary["protocol"]
    assert words not in plain["protocol"]
    assert summary["mAP"] != plain["mAP"]
    settings = options.get("rerank")
    assert summary["rerank"] == (
        settings and {"k1": settings.k1, "k2": settings.k2, "lambda_value": settings.lambda_value}
    )
    for key in ("metric", "average_precision", "flip"):
        assert summary[key] == options.get(key, plain[key])
    # AP by trapezoids is another scale, so chance is another, too; the rest leaves chance as it is.
    assert (summary["chance"]["mAP"] == plain["chance"]["mAP"]) == ("average_precision" not in options)
    assert summary["chance"]["rank1"] == plain["chance"]["rank1"]


def test_small_gallery_leaves_ranks_out(workdir, benchmarks, capsys):
    benchmarks.add("market1501", [1, 2], [1, 2, 2, 3, 4])
    summary = evaluation.run(workdir, "market1501", "unused")
    assert summary["rank5"] == summary["chance"]["rank5"] == 1.0
    assert summary["rank10"] is summary["chance"]["rank10"] is None
    assert "too small for rank 5" not in summary["protocol"]
    assert "The gallery is too small for rank 10, which is left out." in summary["protocol"]
    assert re.search(r"score % +[\d.]+ +100\.00 +- +[\d.]+ +[\d.]+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (
            "market1501",
            "Its junk images (id -1) were dropped when the dataset was built; its distractors (id 0000) stay",
        ),
        ("dukemtmc_reid", "which its makers have withdrawn"),
        ("cuhk03/labeled", "CUHK03, new protocol"),
        ("cuhk03/labeled", "boxes drawn by hand (labeled). Scored by the Market-1501 rule, not by the single-gallery-"),
        ("cuhk03/detected", "boxes of a person detector (detected)."),
        ("msmt17", "MSMT17, release V2."),
        ("partial_ilids", "There are no cameras (the query counts as one, the gallery as another)"),
        ("partial_ilids", "4 single queries against 4 gallery images, of each identity one image (single-shot)."),
        ("ours", "No protocol is known for a dataset of this name: it is scored by the Market-1501 rule"),
    ],
)
def test_words_of_each_benchmark(workdir, benchmarks, dataset, words):
    benchmarks.add(dataset, range(4), range(4), metadata={"release": "V2"})
    summary = evaluation.run(workdir, dataset, "unused")
    assert words in summary["protocol"]
    same_camera = "the same identity and the same camera are dropped"
    assert (same_camera in summary["protocol"]) == (dataset != "partial_ilids")
    assert (workdir / "report" / f"evaluate_{dataset.replace('/', '_')}.json").is_file()
    assert ("rank3" in summary) == (dataset == "partial_ilids")


def test_every_benchmark_has_a_protocol():
    assert set(evaluation.data_sources.BENCHMARKS) <= protocols.PROTOCOLS.keys()


@pytest.mark.parametrize(
    ("dataset", "changes", "relation", "words"),
    [
        (
            "market1501",
            {},
            "same-dataset",
            "Same-dataset: the model was trained on market1501, split train (12,936 images, 751 identities).",
        ),
        (
            "dukemtmc_reid",
            {},
            "cross-dataset",
            "Cross-dataset: the model was trained on market1501, split train (12,936 images, 751 identities).",
        ),
        (
            "msmt17",
            {"dataset": "msmt17", "splits": ["train", "val"], "images": 32_621, "identities": 1_041},
            "same-dataset",
            "trained on msmt17, splits train and val (32,621 images, 1,041 identities), with val.",
        ),
        (
            "msmt17",
            {"dataset": "msmt17", "images": 30_248, "identities": 1_041},
            "same-dataset",
            "trained on msmt17, split train (30,248 images, 1,041 identities), without val.",
        ),
        (
            "cuhk03/detected",
            {"dataset": "cuhk03/labeled"},
            "same persons, other boxes",
            "Same persons, other boxes: the model was trained on cuhk03/labeled, split train (12,936 images, 751 "
            "identities). The two kinds of boxes differ in a training identity",
        ),
    ],
)
def test_what_the_model_was_trained_on(workdir, benchmarks, dataset, changes, relation, words):
    benchmarks.add(dataset, range(12), range(12))
    noted = trained(workdir, **changes)
    summary = evaluation.run(workdir, dataset, "unused")
    assert summary["trained_on"] == noted
    assert summary["relation"] == relation
    assert words in summary["protocol"]
    assert summary["partial"] is False


def test_runs_that_the_weights_started_from(workdir, benchmarks):
    """SAN* of the paper: fine-tuned from a SAN that started from a SAN-PG; the folders of these runs are gone."""
    before = ("runs/san", "runs/san_pg", "runs/old")
    for dataset in ("msmt17", "market1501", "partial_ilids"):
        benchmarks.add(dataset, range(12), range(12))
    older = {**MARKET_TRAIN, "dataset": "msmt17", "partial": True}
    pit = {**MARKET_TRAIN, "dataset": "pit", "images": 9_290, "identities": None}
    noted = trained(workdir, started_from=dict(zip(before, (older, pit, None), strict=True)))
    summary = evaluation.run(workdir, "partial_ilids", "unused")
    assert summary["relation"] == "cross-dataset"
    assert summary["trained_on"] == noted
    assert summary["started_from"] == {before[0]: older, before[1]: pit, before[2]: None}
    assert (
        "the model was trained on market1501, split train (12,936 images, 751 identities). Its weights started from the "
        f"run {before[0]}, trained on msmt17, split train (12,936 images, 751 identities), without val; that one started "
        f"from the run {before[1]}, trained on pit, split train (9,290 images); that one started from the run {before[2]}, "
        "whose training is not recorded."
    ) in summary["protocol"]
    # What a run before it was trained on, and on a partial copy of, the model was trained on.
    assert summary["partial"] is True
    assert summary["protocol"].startswith("PARTIAL: the model was trained on a partial copy of msmt17.")
    earlier = evaluation.run(workdir, "msmt17", "unused")
    assert earlier["relation"] == "same-dataset"
    assert "Same-dataset (by a run that the weights started from): the model was trained on" in earlier["protocol"]
    own = evaluation.run(workdir, "market1501", "unused")
    assert own["relation"] == "same-dataset"
    assert "Same-dataset: the model was trained on market1501" in own["protocol"]


def test_synthetic_images_of_the_joint_stage_are_said(workdir, benchmarks):
    benchmarks.add("market1501", range(12), range(12))
    trained(workdir, pit={"dataset": "pit", "images": 9_290})
    summary = evaluation.run(workdir, "market1501", "unused")
    assert summary["trained_on"]["pit"] == {"dataset": "pit", "images": 9_290}
    assert "751 identities), and on 9,290 synthetic images of pit." in summary["protocol"]


def test_training_that_is_not_recorded(workdir, benchmarks):
    benchmarks.add("msmt17", range(12), range(12), metadata={"release": "V1"})
    summary = evaluation.run(workdir, "msmt17", "unused")
    assert summary["trained_on"] is None
    assert summary["relation"] == "training not recorded"
    assert (
        "not recorded (its run was made by an older version), so neither is whether a val split"
        in (summary["protocol"])
    )


def test_partial_copies_are_stamped(workdir, benchmarks, capsys):
    metadata = {
        "partial": True,
        "num_problems": 3_358,
        "counts": {"query images": 10, "gallery images": 15_913},
        "counts_expected": {"query images": 3_368, "gallery images": 15_913},
    }
    benchmarks.add("market1501", range(12), range(12), metadata=metadata)
    benchmarks.add("msmt17", range(12), range(12), metadata={"partial": False})
    copy = "PARTIAL: market1501 was built from a partial copy (3,358 problems, 10 of 3,368 query images); these scores do not compare"
    training = "PARTIAL: the model was trained on a partial copy of market1501."
    summary = evaluation.run(workdir, "market1501", "unused")
    assert summary["partial"] is True
    assert summary["protocol"].startswith(copy)
    assert copy in one_line(capsys.readouterr().out)
    assert evaluation.run(workdir, "msmt17", "unused")["partial"] is False
    trained(workdir, partial=True)
    summary = evaluation.run(workdir, "msmt17", "unused")
    assert summary["partial"] is True
    assert summary["protocol"].startswith(training)
    summary = evaluation.run(workdir, "market1501", "unused")
    assert copy in summary["protocol"]
    assert training in summary["protocol"]


def slow_single_shot(splits, names, pairs):
    """Partial REID's single-shot scores, one Python list a query: the rank of the one right image."""
    ranks = []
    for query_index, gallery_index in pairs:

        def chosen(split, index):
            return [n for n, name in enumerate(names[split]) if name.endswith(f"_{index:03d}.jpg")]

        for q in chosen("query", query_index):
            row = [
                (
                    float(np.linalg.norm(splits["query"].embeddings[q] - splits["gallery"].embeddings[g])),
                    splits["gallery"].person_ids[g],
                )
                for g in chosen("gallery", gallery_index)
            ]
            ordered = [person for _, person in sorted(row)]
            ranks.append(ordered.index(splits["query"].person_ids[q]) + 1)
    ranks = np.array(ranks)
    return {
        **{f"rank{k}": np.mean(ranks <= k) for k in (1, 3, 5, 10)},
        "mAP": np.mean(1 / ranks),
        "mINP": np.mean(1 / ranks),
    }


def test_partial_reid_single_shot(workdir, benchmarks, capsys):
    splits, names = benchmarks.add_partial_reid(range(1, 13), range(1, 6))
    summary = evaluation.run(workdir, "partial_reid", "unused")
    assert "60 single queries against 60 gallery images, of each identity all its images" in summary["protocol"]
    assert "Partial REID, all against all" in summary["protocol"]
    assert "There are no cameras" in summary["protocol"]
    single = summary["single_shot"]
    expected = slow_single_shot(splits, names, [(q, g) for q in range(1, 6) for g in range(1, 6)])
    assert {key: single[key] for key in expected} == pytest.approx(expected, abs=1e-12)
    assert single["mAP"] != summary["mAP"]
    assert (single["num_splits"], single["num_identities"]) == (25, 12)
    assert single["protocol"].startswith("Single-shot: averaged over 25 pairs of a query index and a gallery index; in")
    assert single["chance"]["rank3"] == pytest.approx(3 / 12)
    printed = one_line(capsys.readouterr().out)
    assert single["protocol"] in printed
    assert json.loads((workdir / "report" / "evaluate_partial_reid.json").read_text()) == summary
    # Options hold for the single-shot scores, too.
    cosine = evaluation.run(workdir, "partial_reid", "unused", options=protocols.Options("cosine"))["single_shot"]
    assert cosine["mAP"] != single["mAP"]


def test_partial_reid_with_gaps(workdir, benchmarks):
    # The query lacks two images of index 2; person 9 has no gallery image at all, so no split can hold them.
    without = {("query", 3, 2), ("query", 4, 2), *(("gallery", 9, i) for i in range(1, 6))}
    splits, names = benchmarks.add_partial_reid(range(1, 13), range(1, 6), without=without, metadata=PARTIAL)
    single = evaluation.run(workdir, "partial_reid", "unused")["single_shot"]
    assert (single["num_splits"], single["num_identities"]) == (20, 11)
    assert (
        "averaged over 20 pairs of a query index and a gallery index (only those are complete, of 25: this copy is"
        in (single["protocol"])
    )
    kept = {split: [n for n, person in enumerate(x.person_ids) if person != 9] for split, x in splits.items()}
    splits = {split: x.take(np.array(kept[split])) for split, x in splits.items()}
    names = {split: [names[split][n] for n in kept[split]] for split in names}
    expected = slow_single_shot(splits, names, [(q, g) for q in (1, 3, 4, 5) for g in range(1, 6)])
    assert {key: single[key] for key in expected} == pytest.approx(expected, abs=1e-12)


def test_partial_reid_without_a_complete_split(workdir, benchmarks):
    benchmarks.add_partial_reid(range(1, 6), range(1, 6), without={("gallery", n, n) for n in range(1, 6)})
    summary = evaluation.run(workdir, "partial_reid", "unused")
    assert summary["mAP"] > 0  # all against all is scored
    assert summary["single_shot"]["num_splits"] == 0
    assert summary["single_shot"]["mAP"] is None
    assert "Single-shot: not scored" in summary["single_shot"]["protocol"]
    rerank = protocols.Options(rerank=ranking.KReciprocal())
    assert "Re-ranking looks at the images of each split alone." in protocols.single_shot_words(25, 60, rerank)
    assert "Re-ranking" not in protocols.single_shot_words(25, 60, protocols.Options())
    assert "each of the 5 identities" in summary["single_shot"]["protocol"]
    with pytest.raises(ValueError, match=r"a/001\.jpg: expected a name such as 001_003\.jpg"):
        protocols.index_pairs(["a/001.jpg"], np.array([1]), ["b/001_001.jpg"], np.array([1]))


def test_partial_reid_as_it_is_built(workdir, model, tmp_path):
    """From files to scores: a copy in which a person lacks one of two probe images."""
    for folder in ("partial_body_images", "whole_body_images"):
        (tmp_path / "Partial_REID" / folder).mkdir(parents=True)
        for person in range(1, 7):
            for index in (1, 2):
                image = dataset_fixtures.encoded(100 * person + index, 40, 20, "JPEG")
                (tmp_path / "Partial_REID" / folder / f"{person:03d}_{index:03d}.jpg").write_bytes(image)
    (tmp_path / "Partial_REID" / "partial_body_images" / "004_002.jpg").unlink()
    data_dir = tmp_path / "data"
    datasets.build_dataset("partial_reid", data_dir=data_dir, manual_dir=tmp_path, allow_partial=True)
    summary = evaluation.run(workdir, "partial_reid", data_dir)
    assert summary["partial"] is True
    assert re.match(
        r"PARTIAL: partial_reid was built from a partial copy \(\d+ problems, 11 of 300 query images, 12 of 300 gallery ",
        summary["protocol"],
    )
    assert (summary["num_query"], summary["num_gallery"], summary["num_valid_queries"]) == (11, 12, 11)
    single = summary["single_shot"]
    assert (single["num_splits"], single["num_identities"]) == (2, 6)
    splits = {split: Embedder(model, PLAN, data_dir).embed("partial_reid", split) for split in ("query", "gallery")}
    names = {
        split: [x["name"].decode() for x in evaluation.data_sources.open_source("partial_reid", split, data_dir)]
        for split in splits
    }
    expected = slow_single_shot(splits, names, [(1, 1), (1, 2)])
    # The gallery of a split is smaller than 10.
    assert single["rank10"] is None
    assert {key: single[key] for key in expected if key != "rank10"} == pytest.approx(
        {key: value for key, value in expected.items() if key != "rank10"}, abs=1e-12
    )

    flipped = evaluation.run(workdir, "partial_reid", data_dir, options=protocols.Options(flip=True))
    assert flipped["flip"] is True
    words = "each averaged with that of the mirror image (flip-test averaging); no re-ranking."
    assert words in flipped["protocol"]
    assert words not in summary["protocol"]
    splits = {split: Embedder(model, PLAN, data_dir, True).embed("partial_reid", split) for split in splits}
    mean_ap = slow_single_shot(splits, names, [(1, 1), (1, 2)])["mAP"]
    assert flipped["single_shot"]["mAP"] == pytest.approx(mean_ap, abs=1e-12)
    assert flipped["single_shot"]["mAP"] != single["mAP"]
    assert (workdir / "report" / "evaluate_partial_reid_flip.json").is_file()


def test_several_datasets_in_one_command(workdir, data_dir, benchmarks, loads, monkeypatch, capsys):
    benchmarks.add("market1501", range(20), range(20))
    benchmarks.add("cuhk03/labeled", range(20), range(20), metadata=PARTIAL)
    benchmarks.add_partial_reid(range(1, 13), range(1, 6))
    trained(workdir)
    names = ["market1501", "cuhk03/labeled", "partial_reid"]
    arguments = [f"--workdir={workdir}", f"--data_dir={data_dir}"]
    evaluate.main([*arguments, f"--dataset={','.join(names)}", "--metric=cosine"])
    assert len(loads) == 1
    summaries = [
        json.loads((workdir / "report" / f"evaluate_{name.replace('/', '_')}_cosine.json").read_text())
        for name in names
    ]
    assert [summary["dataset"] for summary in summaries] == names
    lines = capsys.readouterr().out.splitlines()[-5:]

    def row(label, result, note):
        return [*label.split(), *(f"{100 * result[key]:.2f}" for key in SCORES), *note.split()]

    assert lines[0].split() == ["%", *SCORES]
    assert [line.split() for line in lines[1:]] == [
        row("market1501", summaries[0], "same-dataset"),
        row("cuhk03/labeled", summaries[1], "cross-dataset, PARTIAL"),
        row("partial_reid", summaries[2], "cross-dataset"),
        row("partial_reid, single-shot", summaries[2]["single_shot"], "cross-dataset"),
    ]


def test_a_dataset_that_fails_does_not_lose_the_others(workdir, data_dir, benchmarks, capsys):
    benchmarks.add("market1501", range(20), range(20))
    benchmarks.add("msmt17", range(20), range(100, 120))
    arguments = [f"--workdir={workdir}", f"--data_dir={data_dir}", "--dataset=msmt17,nothing,market1501"]
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(arguments)
    assert str(stopped.value).startswith("evaluate: msmt17: None of the 20 queries has a gallery image")
    assert "\nevaluate: nothing: No dataset 'nothing' in" in str(stopped.value)
    assert sorted(path.name for path in (workdir / "report").iterdir()) == ["evaluate_market1501.json"]
    printed = capsys.readouterr()
    assert re.search(r"^msmt17 +not scored: None of the 20 queries", printed.out, re.MULTILINE)
    assert "Traceback" not in printed.err


def test_a_single_camera_ends_in_the_rule_and_what_to_do(workdir, benchmarks):
    splits = benchmarks.add("own_photos", range(20), range(20))
    splits["gallery"].camera_ids[:] = 0
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([f"--workdir={workdir}", "--dataset=own_photos"])
    message = str(stopped.value)
    assert message.startswith(
        "evaluate: None of the 20 queries has a gallery image of its identity from another camera"
    )
    assert "which the Market-1501 rule drops" in message
    assert "Cameras of query and gallery: 0." in message
    assert "If there is only one camera, or none is known, number visits, days or tracks as cameras" in message
    assert not (workdir / "report").exists()


def test_an_unforeseen_failure_is_shown_whole(workdir, benchmarks, monkeypatch, capsys):
    benchmarks.add("market1501", range(20), range(20))
    rank = evaluation._rank
    broken = iter([True, False])

    def fail_once(*arguments):
        if next(broken):
            raise ZeroDivisionError("a bug")
        return rank(*arguments)

    monkeypatch.setattr(evaluation, "_rank", fail_once)
    benchmarks.add("msmt17", range(20), range(20))
    summaries, failures = evaluation.run_datasets(workdir, ["market1501", "msmt17"], "unused")
    assert list(summaries) == ["msmt17"]
    assert failures == {"market1501": "a bug"}
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_all(workdir, data_dir, capsys):
    tiny_data_pit = evaluation.data_sources.list_built(data_dir)
    assert tiny_data_pit == ["pit_reid"]
    evaluate.main([f"--workdir={workdir}", f"--data_dir={data_dir}", "--dataset=all"])
    assert (workdir / "report" / "evaluate_pit_reid.json").is_file()


def test_all_takes_those_with_query_and_gallery(monkeypatch):
    splits = {"pit": ["train"], "partial_ilids": ["gallery", "query"], "x_textured": ["train"], "y": ["query"]}
    monkeypatch.setattr(evaluation.data_sources, "list_built", lambda data_dir: list(splits))
    monkeypatch.setattr(evaluation.data_sources, "list_splits", lambda name, data_dir: splits[name])
    assert evaluation.parse_datasets("all", "data") == ["partial_ilids"]
    del splits["partial_ilids"]
    with pytest.raises(ValueError, match="--dataset=all: no dataset in data has a query and a gallery"):
        evaluation.parse_datasets("all", "data")


def test_names_of_datasets():
    assert evaluation.parse_datasets("b, a,b", "data") == ["b", "a"]
    with pytest.raises(ValueError, match="--dataset=a,: expected names separated by commas, or all"):
        evaluation.parse_datasets("a,", "data")


def test_main_passes_every_option(workdir, data_dir):
    evaluate.main(
        [
            f"--workdir={workdir}",
            f"--data_dir={data_dir}",
            "--dataset=pit_reid",
            "--metric=cosine",
            "--average_precision=trapezoidal",
            "--flip",
            "--rerank",
            "--k1=4",
            "--lambda_value=0.5",
        ]
    )
    (path,) = (workdir / "report").iterdir()
    assert path.name == "evaluate_pit_reid_cosine_trapezoidal_flip_rerank_k1=4_lambda_value=0.5.json"
    summary = json.loads(path.read_text())
    assert summary["rerank"] == {"k1": 4, "k2": 6, "lambda_value": 0.5}
    assert (summary["metric"], summary["average_precision"], summary["flip"]) == ("cosine", "trapezoidal", True)


def test_main_names_what_is_missing(workdir, data_dir, model, monkeypatch):
    arguments = [f"--workdir={workdir}", f"--data_dir={data_dir}"]
    with pytest.raises(SystemExit, match=r"evaluate: .*'pit_ried'.*pit_reid"):
        evaluate.main([*arguments, "--dataset=pit_ried"])
    graphdef, params, batch_stats = split_model(model)
    broken = merge_model(graphdef, jax.tree.map(lambda x: x * np.nan, params), batch_stats)
    monkeypatch.setattr(evaluation.models, "load_run", lambda path, encoder_only: (broken, PLAN))
    with pytest.raises(SystemExit, match="holds NaN or infinity"):
        evaluate.main([*arguments, "--dataset=pit_reid"])


def test_main_refuses_before_anything_is_loaded(workdir, data_dir, loads, capsys):
    arguments = [f"--workdir={workdir}", f"--data_dir={data_dir}", "--dataset=pit_reid"]
    for option, message in (
        ("--k1=0", "k1 is 0; it counts neighbours and must be at least 1"),
        ("--lambda_value=1.5", "lambda_value is 1.5; it must lie in"),
    ):
        with pytest.raises(SystemExit, match=message):
            evaluate.main([*arguments, "--rerank", option])
    for more, message in (
        (["--k2=3"], "--k2 is a setting of --rerank, which is not given"),
        (["--dataset=a,b", "--output=x.json"], "--output names the file of one dataset, but --dataset names 2"),
        (["--average_precision=best"], "argument --average_precision: invalid choice: 'best'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            evaluate.main([*arguments, *more])
        assert message in capsys.readouterr().err
    for options, message in (
        ({"metric": "l1"}, "metric must be one of euclidean, cosine, found 'l1'"),
        ({"average_precision": "best"}, "average_precision must be one of standard, trapezoidal, found 'best'"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluation.run(workdir, "pit_reid", data_dir, options=protocols.Options(**options))
    assert not loads


def test_a_dataset_without_query(workdir, tmp_path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    with pytest.raises(datasets.DatasetError, match=r"has the splits train, no 'query'"):
        evaluation.run(workdir, "pit", tmp_path / "data")


def test_a_folder_that_is_no_run(tmp_path, data_dir):
    with pytest.raises(SystemExit, match=r"config\.json does not exist: expected the folder of a run"):
        evaluate.main([f"--workdir={tmp_path}", f"--data_dir={data_dir}", "--dataset=pit_reid"])


def test_progress_of_the_embedding_is_shown(data_dir, model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Embedder(model, PLAN, data_dir).embed("pit_reid", "gallery")
    assert "Embedding pit_reid gallery: " in capsys.readouterr().err
