"""Partial REID's single-shot scores against a slow computation of them."""

import json
import re

import numpy as np
import pytest

import datasets
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import Embedder
from san_jax import ranking
from tests import dataset_fixtures
from tests.experiments.scoring.made_up import PARTIAL, PLAN, one_line


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


def test_partial_reid_single_shot(scored_run, benchmarks, capsys):
    splits, names = benchmarks.add_partial_reid(range(1, 13), range(1, 6))
    summary = evaluation.run(scored_run, "partial_reid", "unused")
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
    assert json.loads((scored_run / "report" / "evaluate_partial_reid.json").read_text()) == summary
    # Options hold for the single-shot scores, too.
    cosine = evaluation.run(scored_run, "partial_reid", "unused", options=protocols.Options("cosine"))["single_shot"]
    assert cosine["mAP"] != single["mAP"]


def test_partial_reid_with_gaps(scored_run, benchmarks):
    # The query lacks two images of index 2; person 9 has no gallery image at all, so no split can hold them.
    without = {("query", 3, 2), ("query", 4, 2), *(("gallery", 9, i) for i in range(1, 6))}
    splits, names = benchmarks.add_partial_reid(range(1, 13), range(1, 6), without=without, metadata=PARTIAL)
    single = evaluation.run(scored_run, "partial_reid", "unused")["single_shot"]
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


def test_partial_reid_without_a_complete_split(scored_run, benchmarks):
    benchmarks.add_partial_reid(range(1, 6), range(1, 6), without={("gallery", n, n) for n in range(1, 6)})
    summary = evaluation.run(scored_run, "partial_reid", "unused")
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


def test_partial_reid_as_it_is_built(scored_run, scored_model, tmp_path):
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
    summary = evaluation.run(scored_run, "partial_reid", data_dir)
    assert summary["partial"] is True
    assert re.match(
        r"PARTIAL: partial_reid was built from a partial copy \(\d+ problems, 11 of 300 query images, 12 of 300 gallery ",
        summary["protocol"],
    )
    assert (summary["num_query"], summary["num_gallery"], summary["num_valid_queries"]) == (11, 12, 11)
    single = summary["single_shot"]
    assert (single["num_splits"], single["num_identities"]) == (2, 6)
    splits = {
        split: Embedder(scored_model, PLAN, data_dir).embed("partial_reid", split) for split in ("query", "gallery")
    }
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

    flipped = evaluation.run(scored_run, "partial_reid", data_dir, options=protocols.Options(flip=True))
    assert flipped["flip"] is True
    words = "each averaged with that of the mirror image (flip-test averaging); no re-ranking."
    assert words in flipped["protocol"]
    assert words not in summary["protocol"]
    splits = {split: Embedder(scored_model, PLAN, data_dir, True).embed("partial_reid", split) for split in splits}
    mean_ap = slow_single_shot(splits, names, [(1, 1), (1, 2)])["mAP"]
    assert flipped["single_shot"]["mAP"] == pytest.approx(mean_ap, abs=1e-12)
    assert flipped["single_shot"]["mAP"] != single["mAP"]
    assert (scored_run / "report" / "evaluate_partial_reid_flip.json").is_file()
