"""The demo without its programs: fair configs, the clock over interruptions, an honest verdict, the exit status."""

import json

import numpy as np
import pytest

from experiments import demo
from experiments.command_line import config_files
from experiments.pages import demo_report, report
from experiments.pages.examples import evenly_spaced
from experiments.runs import demonstration
from experiments.runs.errors import RunError
from experiments.runs.plan import resolve
from experiments.scoring import evaluation
from experiments.scoring.embedding import EmbeddedSplit
from san_jax import optim, ranking
from san_jax.files import write_atomic
from tests.san_jax.folder_lock_test import holder


@pytest.fixture
def configs(tmp_path):
    return demonstration.train_configs(demonstration.Sizes(), tmp_path / "data", tmp_path / "runs" / "san_pg")


def test_baseline_and_san_differ_in_the_method_alone(configs):
    differing = config_files.differences(configs["baseline"], configs["san"])
    shared = {key for key, values in differing.items() if "absent" not in values}
    assert shared == {"method", "num_steps"}
    only_one_has = {key.partition(".")[0] for key in set(differing) - shared}
    assert "batch.num_identities" not in differing
    assert not only_one_has & {"seed", "dataset", "data_dir", "start", "image_size", "use_val"}
    san, baseline = configs["san"], configs["baseline"]
    assert san.batch_kinds == ("reid", "pit")
    assert san.num_steps == 2 * baseline.num_steps
    # The learning rate at the n-th reID batch is the same to the half step that a PIT batch is.
    schedules = []
    for config in (baseline, san):
        plan = resolve(config)
        steps = optim.ScheduleSteps(steps_per_epoch=25 * len(plan.batch_kinds), num_steps=config.num_steps)
        turns = [kind == "reid" for kind in plan.batch_kinds]
        schedules.append(optim.make_optimizer(plan.optimizer, steps, reid_turns=turns)[0])
    for batch in range(0, baseline.num_steps, 50):
        assert float(schedules[0](batch)) == pytest.approx(float(schedules[1](2 * batch)), rel=1e-5)


def test_networks_and_images_fit_together(configs):
    san_pg = configs["san_pg"]
    assert san_pg.model.to_dict() == {key: configs["san"].model[key] for key in san_pg.model}
    assert san_pg.image_size == configs["san"].image_size == configs["baseline"].image_size
    assert san_pg.batch.pit_size == configs["san"].batch.pit_size
    assert configs["san"].start == configs["baseline"].start
    assert (configs["san"].start.kind, configs["san_pg"].start.kind) == ("run", "random")


def test_configs_are_the_real_ones(configs):
    """Only sizes, optimizer, and erasing are the demo's; the rest is the paper's."""
    for name, config in configs.items():
        kept = config_files.differences(config_files.load(f"{name}.py"), config)
        assert [key for key in kept if key.startswith(("augment", "pit_augment"))] == (
            [] if name == "san_pg" else ["augment.erase_probability"]
        )
        assert [key for key in kept if key.startswith("loss")] == []


def test_clock_adds_up_over_interruptions(tmp_path, monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(demonstration.time, "monotonic", lambda: now[0])
    path = tmp_path / "times.json"

    def interrupted():
        with demonstration.Clock(path).part("train", "4 steps"):
            now[0] += 30
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(path.read_text())["train"] == {"seconds": 30.0, "what": "4 steps", "complete": False}
    clock = demonstration.Clock(path)
    with clock.part("train", "4 steps"):
        now[0] += 12
    again = demonstration.Clock(path)
    with again.part("train", "4 steps"):  # finds everything there
        now[0] += 3
    with again.part("score", "two models"):
        now[0] += 5
    assert again.rows() == [("train", 42.0, "4 steps"), ("score", 5.0, "two models")]
    assert "train: 4 steps (complete already)" in capsys.readouterr().out


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


def test_curves_stand_over_reid_batches(tmp_path, configs):
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
        write_atomic(tmp_path / name / "config.json", config_files.to_json(configs[name]).encode())
    charts = {chart.title: chart for chart in demo_report.charts(tmp_path)}
    first, second = charts["L_ID"].series
    assert (first.label, list(first.steps), list(first.values)) == ("baseline", [10], [5.0])
    assert (second.label, list(second.steps), list(second.values)) == ("SAN", [10], [4.0])
    assert [list(series.values) for series in charts["SAN: L_Rec"].series] == [[0.2], [0.3]]


def test_examples_are_spread_evenly():
    assert evenly_spaced(10, 2) == [2, 7]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(1000, 3) == [166, 500, 833]


@pytest.mark.parametrize(("result", "code"), [(True, None), (False, "rank-1 of a model is below 10 times chance")])
def test_exit_status(monkeypatch, tmp_path, result, code):
    monkeypatch.setattr(demonstration, "run", lambda output: result)
    if code is None:
        demo.main([f"--output={tmp_path}"])
    else:
        with pytest.raises(SystemExit, match=code):
            demo.main([f"--output={tmp_path}"])


def test_failure_says_how_to_continue(monkeypatch, tmp_path):
    def fail(output):
        raise RunError("config differs")

    monkeypatch.setattr(demonstration, "run", fail)
    with pytest.raises(
        SystemExit, match="config differs\nThe same command continues from there; to start afresh, remove"
    ):
        demo.main([f"--output={tmp_path}"])


def test_who_is_refused_is_not_told_to_remove_the_folder_of_the_other_demo(tmp_path):
    with holder(tmp_path) as (process, _), pytest.raises(SystemExit) as end:
        demo.main([f"--output={tmp_path}"])
    (line,) = str(end.value).splitlines()
    assert line.startswith(f"demo: {tmp_path} is being written by another process: ")
    assert f"process {process.pid} on" in line


def test_facts_name_machine_commit_and_seed():
    facts = dict(demonstration.facts(demonstration.Sizes()))
    assert "cores" in facts["processor"]
    assert facts["seed"].startswith("0 ")
    assert len(facts["commit"].split()[0]) == 40 or facts["commit"] == "not a git checkout"
