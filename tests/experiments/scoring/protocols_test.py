"""Each benchmark's protocol in words, what the model was trained on, and partial copies."""

import pytest

from experiments.scoring import evaluation, protocols
from tests.experiments.scoring.made_up import MARKET_TRAIN, one_line, trained


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
def test_words_of_each_benchmark(scored_run, benchmarks, dataset, words):
    benchmarks.add(dataset, range(4), range(4), metadata={"release": "V2"})
    summary = evaluation.run(scored_run, dataset, "unused")
    assert words in summary["protocol"]
    same_camera = "the same identity and the same camera are dropped"
    assert (same_camera in summary["protocol"]) == (dataset != "partial_ilids")
    assert (scored_run / "report" / f"evaluate_{dataset.replace('/', '_')}.json").is_file()
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
def test_what_the_model_was_trained_on(scored_run, benchmarks, dataset, changes, relation, words):
    benchmarks.add(dataset, range(12), range(12))
    noted = trained(scored_run, **changes)
    summary = evaluation.run(scored_run, dataset, "unused")
    assert summary["trained_on"] == noted
    assert summary["relation"] == relation
    assert words in summary["protocol"]
    assert summary["partial"] is False


def test_runs_that_the_weights_started_from(scored_run, benchmarks):
    """SAN* of the paper: fine-tuned from a SAN that started from a SAN-PG; the folders of these runs are gone."""
    before = ("runs/san", "runs/san_pg", "runs/old")
    for dataset in ("msmt17", "market1501", "partial_ilids"):
        benchmarks.add(dataset, range(12), range(12))
    older = {**MARKET_TRAIN, "dataset": "msmt17", "partial": True}
    pit = {**MARKET_TRAIN, "dataset": "pit", "images": 9_290, "identities": None}
    noted = trained(scored_run, started_from=dict(zip(before, (older, pit, None), strict=True)))
    summary = evaluation.run(scored_run, "partial_ilids", "unused")
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
    earlier = evaluation.run(scored_run, "msmt17", "unused")
    assert earlier["relation"] == "same-dataset"
    assert "Same-dataset (by a run that the weights started from): the model was trained on" in earlier["protocol"]
    own = evaluation.run(scored_run, "market1501", "unused")
    assert own["relation"] == "same-dataset"
    assert "Same-dataset: the model was trained on market1501" in own["protocol"]


def test_synthetic_images_of_the_joint_stage_are_said(scored_run, benchmarks):
    benchmarks.add("market1501", range(12), range(12))
    trained(scored_run, pit={"dataset": "pit", "images": 9_290})
    summary = evaluation.run(scored_run, "market1501", "unused")
    assert summary["trained_on"]["pit"] == {"dataset": "pit", "images": 9_290}
    assert "751 identities), and on 9,290 synthetic images of pit." in summary["protocol"]


def test_training_that_is_not_recorded(scored_run, benchmarks):
    benchmarks.add("msmt17", range(12), range(12), metadata={"release": "V1"})
    summary = evaluation.run(scored_run, "msmt17", "unused")
    assert summary["trained_on"] is None
    assert summary["relation"] == "training not recorded"
    assert (
        "not recorded (its run was made by an older version), so neither is whether a val split"
        in (summary["protocol"])
    )


def test_partial_copies_are_stamped(scored_run, benchmarks, capsys):
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
    summary = evaluation.run(scored_run, "market1501", "unused")
    assert summary["partial"] is True
    assert summary["protocol"].startswith(copy)
    assert copy in one_line(capsys.readouterr().out)
    assert evaluation.run(scored_run, "msmt17", "unused")["partial"] is False
    trained(scored_run, partial=True)
    summary = evaluation.run(scored_run, "msmt17", "unused")
    assert summary["partial"] is True
    assert summary["protocol"].startswith(training)
    summary = evaluation.run(scored_run, "market1501", "unused")
    assert copy in summary["protocol"]
    assert training in summary["protocol"]
