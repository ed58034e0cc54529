"""Scores of a run on small benchmarks: the JSON, the queries, options, failures, and which datasets are meant."""

import json
import re

import numpy as np
import pytest

import datasets
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import Embedder
from san_jax import ranking
from tests import dataset_fixtures
from tests.experiments import tiny_data
from tests.experiments.scoring.made_up import PLAN, SCORES, one_line


def test_result(scored_run, pit_reid_dir, scored_model, capsys):
    summary = evaluation.run(scored_run, "pit_reid", pit_reid_dir)
    assert json.loads((scored_run / "report" / "evaluate_pit_reid.json").read_text()) == summary
    assert summary["num_query"] == summary["num_valid_queries"] == 5
    assert summary["num_gallery"] == 15
    assert "query_partial" not in summary  # this copy has none
    assert summary["step"] == 120
    assert summary["workdir"] == str(scored_run)
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
    splits = [Embedder(scored_model, PLAN, pit_reid_dir).embed("pit_reid", split) for split in ("query", "gallery")]
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
def test_partial_and_occluded_queries_meet_the_same_gallery(
    scored_run, tmp_path, scored_model, monkeypatch, capsys, rerank
):
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
        scored_run, "pit_reid", tmp_path / "data", options=protocols.Options(flip=flip, rerank=rerank)
    )
    assert sorted(embedded) == ["gallery", "query", "query_occluded", "query_partial"]  # the gallery once
    name = "evaluate_pit_reid_flip_rerank_k1=4_k2=2.json" if flip else "evaluate_pit_reid.json"
    assert json.loads((scored_run / "report" / name).read_text()) == summary
    gallery = Embedder(scored_model, PLAN, tmp_path / "data", flip).embed("pit_reid", "gallery")
    np.testing.assert_array_equal(gallery.camera_ids, np.tile([1, 2], 5))
    results = {"query": summary, **{split: summary[split] for split in ("query_partial", "query_occluded")}}
    for split, found in results.items():
        query = Embedder(scored_model, PLAN, tmp_path / "data", flip).embed("pit_reid", split)
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


def test_output(scored_run, pit_reid_dir, tmp_path):
    summary = evaluation.run(scored_run, "pit_reid", pit_reid_dir, output=tmp_path / "a" / "b.json")
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == summary
    assert not (scored_run / "report").exists()


def test_scores_of_each_query(scored_run, pit_reid_dir, tmp_path):
    path = tmp_path / "queries.npz"
    summary = evaluation.run(scored_run, "pit_reid", pit_reid_dir, queries=path)
    with np.load(path, allow_pickle=False) as found:
        assert found["persons"].shape == (summary["num_query"],)
        assert {name: np.nanmean(found[name]) for name in SCORES} == pytest.approx(
            {name: summary[name] for name in SCORES}, abs=1e-6
        )
        assert np.isfinite(found["mAP"]).sum() == summary["num_valid_queries"]


@pytest.mark.parametrize("options", [{"rerank": ranking.KReciprocal(k1=4, k2=2)}, {"average_precision": "trapezoidal"}])
def test_scores_of_each_query_are_those_of_plain_rankings(scored_run, pit_reid_dir, tmp_path, options):
    path = tmp_path / "queries.npz"
    with pytest.raises(ValueError, match="plain rankings"):
        evaluation.run(scored_run, "pit_reid", pit_reid_dir, options=protocols.Options(**options), queries=path)
    assert not path.exists()


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
def test_options_change_words_numbers_and_file(scored_run, benchmarks, options, name, words):
    rng = np.random.default_rng(7)
    benchmarks.add("market1501", rng.integers(0, 9, 20), rng.integers(0, 9, 60))
    plain = evaluation.run(scored_run, "market1501", "unused")
    summary = evaluation.run(scored_run, "market1501", "unused", options=protocols.Options(**options))
    written = json.loads((scored_run / "report" / f"evaluate_market1501{name}.json").read_text())
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


def test_small_gallery_leaves_ranks_out(scored_run, benchmarks, capsys):
    benchmarks.add("market1501", [1, 2], [1, 2, 2, 3, 4])
    summary = evaluation.run(scored_run, "market1501", "unused")
    assert summary["rank5"] == summary["chance"]["rank5"] == 1.0
    assert summary["rank10"] is summary["chance"]["rank10"] is None
    assert "too small for rank 5" not in summary["protocol"]
    assert "The gallery is too small for rank 10, which is left out." in summary["protocol"]
    assert re.search(r"score % +[\d.]+ +100\.00 +- +[\d.]+ +[\d.]+\n", capsys.readouterr().out)


def test_an_unforeseen_failure_is_shown_whole(scored_run, benchmarks, monkeypatch, capsys):
    benchmarks.add("market1501", range(20), range(20))
    evaluate_ranking = ranking.evaluate_ranking
    broken = iter([True, False])

    def fail_once(*arguments, **options):
        if next(broken):
            raise ZeroDivisionError("a bug")
        return evaluate_ranking(*arguments, **options)

    monkeypatch.setattr(ranking, "evaluate_ranking", fail_once)
    benchmarks.add("msmt17", range(20), range(20))
    summaries, failures = evaluation.run_datasets(scored_run, ["market1501", "msmt17"], "unused")
    assert list(summaries) == ["msmt17"]
    assert failures == {"market1501": "a bug"}
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_all_takes_those_with_query_and_gallery(monkeypatch):
    splits = {"pit": ["train"], "partial_ilids": ["gallery", "query"], "x_textured": ["train"], "y": ["query"]}
    monkeypatch.setattr(evaluation.data_sources, "list_built", lambda data_dir: list(splits))
    monkeypatch.setattr(evaluation.data_sources, "list_splits", lambda name, data_dir: splits[name])
    assert evaluation.parse_datasets("all", "data", "run") == ["partial_ilids"]
    del splits["partial_ilids"]
    with pytest.raises(ValueError, match="--dataset=all: no dataset in data has a query and a gallery"):
        evaluation.parse_datasets("all", "data", "run")


def test_names_of_datasets():
    assert evaluation.parse_datasets("b, a,b", "data", "run") == ["b", "a"]
    with pytest.raises(ValueError, match="--dataset=a,: expected names separated by commas, or all"):
        evaluation.parse_datasets("a,", "data", "run")


def test_a_dataset_without_query(scored_run, tmp_path):
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    datasets.build_dataset("pit", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    with pytest.raises(datasets.DatasetError, match=r"has the splits train, no 'query'"):
        evaluation.run(scored_run, "pit", tmp_path / "data")
