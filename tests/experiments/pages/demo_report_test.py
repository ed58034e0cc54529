"""The demo's page: an honest verdict, the table of scores, ranked lists and curves."""

import json

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.pages import demo_report, report
from experiments.runs import demonstration
from experiments.scoring import evaluation
from experiments.scoring.embedding import EmbeddedSplit
from san_jax import ranking, run_folder
from san_jax.files import write_atomic


def summary(mean_ap, rank1=0.4, chance=0.01):
    scores = dict.fromkeys([key for key, _ in report.SCORES], 0.5)
    return {**scores, "mAP": mean_ap, "rank1": rank1, "chance": {"rank1": chance}}


def make_verdict(baseline, san, *, interval=(0.05, 0.15), **changes):
    summaries = {"baseline": summary(baseline, **changes), "san": summary(san, **changes)}
    return demo_report.verdict(summaries, interval, times_chance=10)


def test_verdict_names_the_model_that_is_ahead():
    assert make_verdict(0.2, 0.3)[0].startswith("SAN is ahead: mAP 30.0 (SAN) against 20.0 (baseline), +10.0 points")
    behind = make_verdict(0.3, 0.2, interval=(-0.15, -0.05))[0]
    assert behind.startswith("The baseline is ahead; SAN did not help here: mAP 20.0 (SAN) against 30.0")


@pytest.mark.parametrize("interval", [(-0.01, 0.2), (-0.2, 0.01), (0.0, 0.1), (0.0, 0.0)])
@pytest.mark.parametrize("san", [0.1, 0.2, 0.4])
def test_no_model_is_ahead_while_the_interval_holds_zero(interval, san):
    first, second, _ = make_verdict(0.2, san, interval=interval)
    assert first.startswith("Neither model is ahead: mAP")
    assert "0 lies inside, so another draw of test persons could turn the result" in second
    assert "0 lies outside" in make_verdict(0.2, 0.3)[1]


def test_only_certain_differences_are_marked_in_the_table():
    both = {"baseline": summary(0.2, rank1=0.5), "san": summary(0.3)}
    intervals = {"rank1": (-0.2, -0.1), "rank5": (-0.1, 0.1), "rank10": (0.0, 0.1), "mAP": (0.05, 0.2), "mINP": (0, 0)}
    _, baseline, san, difference = demo_report.score_rows(both, intervals)
    assert list(baseline.ahead) == ["rank1"]
    assert list(san.ahead) == ["mAP"]
    assert difference.differences == pytest.approx({"rank1": -0.1, "rank5": 0, "rank10": 0, "mAP": 0.1, "mINP": 0})
    assert difference.intervals == intervals


def test_verdict_names_the_multiple_of_chance():
    assert "Rank-1 is 40 (baseline) and 40 (SAN) times" in make_verdict(0.2, 0.3)[2]
    assert "as the demo asks" in make_verdict(0.2, 0.3)[2]
    assert "DID NOT GET" in make_verdict(0.2, 0.3, rank1=0.09)[2]


def test_table_has_the_partial_queries_that_were_scored():
    both = {"baseline": summary(0.2), "san": summary(0.3)}
    intervals = dict.fromkeys([key for key, _ in report.SCORES], (-0.1, 0.1))
    names = ["random ranking", "baseline", "SAN", "SAN minus baseline"]
    assert [row.name for row in demo_report.score_rows(both, intervals)] == names
    both = {name: {**one, "query_occluded": summary(one["mAP"] / 2)} for name, one in both.items()}
    rows = demo_report.score_rows(both, intervals)[4:]
    assert [(row.name, row.scores["mAP"], row.emphasis) for row in rows] == [
        ("baseline, query_occluded", 0.1, False),
        ("SAN, query_occluded", 0.15, False),
    ]


def test_bootstrap_draws_identities_not_queries():
    # Two identities, many queries of each: their differences are +1 and -1. Drawing queries would give about 0 +- 0.1.
    differences = np.repeat([1.0, -1.0], 200)
    assert demo_report.bootstrap_interval(differences, np.repeat([4, 9], 200)) == (-1.0, 1.0)
    # Queries without a match count nowhere; all alike: no spread.
    assert demo_report.bootstrap_interval(np.array([0.5, np.nan, 0.5]), np.array([1, 1, 2])) == (0.5, 0.5)


@pytest.mark.parametrize("metric", ranking.METRICS)
def test_scores_of_each_query_have_the_mean_that_is_reported(metric):
    rng = np.random.default_rng(2)
    query, gallery = (
        EmbeddedSplit(rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, 6, n), rng.integers(0, 3, n))
        for n in (20, 30)
    )
    query.person_ids[0] = 77  # without a match
    result = ranking.evaluate_ranking(
        query.embeddings,
        gallery.embeddings,
        query.person_ids,
        gallery.person_ids,
        query.camera_ids,
        gallery.camera_ids,
        metric=metric,
    )
    each = demo_report.query_scores(query, gallery, metric=metric)
    assert list(each) == [key for key, _ in report.SCORES]
    for key, expected in evaluation.scores(result).items():
        assert np.isnan(each[key][0])
        assert np.nanmean(each[key]) == pytest.approx(expected, abs=1e-12)
        assert np.isfinite(each[key]).sum() == result.num_valid_queries


@pytest.fixture
def ranked():
    """The section of one query; SAN finds the right images first, the baseline does not."""

    def image(level):
        return {"image": np.full((16, 8, 3), level, np.uint8), "camera_id": 0, "person_id": 5}

    query = EmbeddedSplit(np.zeros((1, 2), np.float32), np.array([5]), np.array([0]))

    def gallery(*distances):
        embeddings = np.float32([[distance, 0] for distance in distances])
        return EmbeddedSplit(embeddings, np.array([9, 5, 5, 5]), np.array([0, 0, 1, 2]))

    splits = {"baseline": (query, gallery(3, 1, 4, 2)), "san": (query, gallery(250, 1, 0.5, 20))}
    metrics = dict.fromkeys(demo_report.MODELS, "euclidean")
    return demo_report.ranking_section([image(7)], [image(10), image(11), image(12), image(13)], splits, metrics)


def test_ranked_lists_stand_side_by_side(ranked):
    (figure,) = ranked.figures
    assert figure.caption == "test identity 5: 2 right ones in the gallery"
    assert figure.query.image[0, 0, 0] == 7
    assert [strip.caption for strip in figure.lists] == [
        "baseline: 2 of the first 3 are right",
        "SAN: 2 of the first 3 are right",
    ]


def test_ranked_lists_are_marked_and_leave_out_what_the_rule_drops(ranked):
    # The image of the query's own camera (11) is dropped.
    baseline, san = ([(p.image[0, 0, 0], p.mark) for p in strip.images] for strip in ranked.figures[0].lists)
    assert baseline == [(13, True), (10, False), (12, True)]
    assert san == [(12, True), (13, True), (10, False)]


def test_distances_stand_below_the_ranked_pictures(ranked):
    baseline, san = ([p.label.replace("\u00a0", " ") for p in strip.images] for strip in ranked.figures[0].lists)
    assert baseline == ["2.00 cam 2", "3.00 cam 0", "4.00 cam 1"]
    assert san == ["0.500 cam 1", "20.0 cam 2", "250 cam 0"]
    assert ranked.figures[0].lists[1].images[2].alt == "rank 3 of SAN, another person, camera 0, distance 250"
    assert "Euclidean distance" in ranked.text


def test_curves_stand_over_reid_batches(tmp_path):
    configs = demonstration.train_configs(demonstration.Sizes(), tmp_path / "data", tmp_path / "runs" / "san_pg")
    for name, lines in {
        "san_pg": [{"step": 10, "pit/reconstruction": 0.5}],
        "baseline": [{"step": 10, "reid/identification": 5.0, "reid/triplet": 1.0}],
        "san": [
            {
                "step": 20,
                "reid/identification": 4.0,
                "reid/triplet": 0.5,
                "reid/reconstruction": 0.2,
                "reid/triplet_reid": 0.7,
                "pit/reconstruction": 0.3,
            }
        ],
    }.items():
        write_atomic(tmp_path / name / "metrics.jsonl", "".join(json.dumps(x) + "\n" for x in lines).encode())
        run_folder.write_config(tmp_path / name, json.loads(config_files.to_json(configs[name])))
    charts = {chart.title: chart for chart in demo_report.charts(tmp_path)}
    first, second = charts["L_ID"].series
    assert (first.label, list(first.steps), list(first.values)) == ("baseline", [10], [5.0])
    assert (second.label, list(second.steps), list(second.values)) == ("SAN", [10], [4.0])
    assert [list(series.values) for series in charts["SAN: L_Rec"].series] == [[0.2], [0.3]]
