"""The ablation runner without its programs: every row's config, resuming, failures, and the table's words and numbers."""

import dataclasses
import json
import shutil

import pytest

from experiments.ablation import runner, tables
from experiments.ablation.request import AblationError, Request
from experiments.ablation.tables import TABLES, Row, Table
from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import folder
from experiments.runs.plan import resolve
from experiments.scoring import texture_quality
from tests.experiments.ablation.requests import TINY, request_of

RUN_FACTS = ("commit", "processor", "jax", "training_seconds", "reid_batches", "pit_batches", "config")


def rows_of(request: Request) -> list[Row]:
    """The rows of a request's table on its first dataset."""
    return [row for row in TABLES[request.table].rows if row.belongs_to(request.datasets[0])]


def row_configs(request: Request) -> dict[str, Config]:
    """The configs that the runs of a table are made with, by the rows' keys; `programs` stands in for the programs."""
    _, failures = runner.run(request)
    assert [name for name in failures if not name.startswith("textures of ")] == []
    runs, dataset = request.output / "runs", request.datasets[0]
    return {
        row.key: folder.read_config(runs / row.training_set(dataset) / f"{row.key}-seed0") for row in rows_of(request)
    }


def test_rows_of_table_1_differ_as_the_paper_says(programs, tmp_path):
    configs = row_configs(request_of(tmp_path))
    losses = {
        key: (config.method, config.get("batch_kinds"), config.loss.get("triplet_reid"))
        for key, config in configs.items()
    }
    both = ("reid", "pit")
    assert losses == {
        "baseline": ("baseline", None, None),
        "baseline_from_pg": ("baseline", None, None),
        "san_basic": ("san", ("reid",), 0.0),
        "san_l_tr": ("san", ("reid",), 1.0),
        "san_syn": ("san", both, 0.0),
        "san": ("san", both, 1.0),
        "san_true_textures": ("san", both, 1.0),
    }
    assert [key for key, config in configs.items() if config.start.kind == "random"] == ["baseline"]
    assert len({config.start.path for config in configs.values()}) == 2
    oracles = [key for key, config in configs.items() if "target" in config and config.target.kind == "true_texture"]
    assert oracles == ["san_true_textures"]
    # One budget: as many identity-labelled batches, whatever comes between them.
    batches = {
        c.num_steps * kinds.count("reid") // len(kinds) for c in configs.values() for kinds in [resolve(c).batch_kinds]
    }
    assert batches == {TINY.reid_batches}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_row_is_a_config_of_its_own(programs, tmp_path, table):
    """Two rows that were one config under two names would compare nothing."""
    poses = tmp_path / "poses"
    poses.mkdir()
    request = request_of(tmp_path, table, target_dir=str(poses))
    configs = row_configs(request)
    texts = [config_files.to_json(config) for config in configs.values()]
    assert len(set(texts)) == len(texts) == len(rows_of(request))


def test_default_form_of_l_tr_is_that_of_the_config(programs, tmp_path):
    loss = config_files.load("san.py").loss
    assert (
        loss.triplet_reid_channels,
        loss.triplet_reid_margin,
        loss.triplet_reid_blocks,
    ) == tables.DEFAULT_L_TR
    shared = row_configs(request_of(tmp_path, "l_tr"))["san_l_tr"]
    assert config_files.differences(shared, row_configs(request_of(tmp_path))["san_l_tr"]) == {}


def test_differences_of_rows_are_shown_with_their_intervals(programs, tmp_path):
    path, _ = runner.run(request_of(tmp_path, table="1", seeds=2))
    text = path.read_text()
    assert "Differences, trained on pit_reid, scored on pit_reid" in text
    line = next(line for line in text.splitlines() if "SAN-basic less Baseline, encoder from SAN-PG" in line)
    # The same in every query and seed: no noise.
    assert line.count("+10.0 [+10.0, +10.0]") == 2
    assert "| **2** |" in line
    assert "| SAN less SAN w/ L_TR | +0.0 [+0.0, +0.0] |" in text


def test_rows_of_one_key_are_one_run(programs, tmp_path):
    poses = tmp_path / "poses"
    poses.mkdir()
    seen: dict[str, object] = {}
    for table in TABLES:
        for key, config in row_configs(request_of(tmp_path, table, target_dir=str(poses))).items():
            assert config_files.differences(seen.setdefault(key, config), config) == {}


def test_at_full_scale_every_row_has_the_epochs_of_its_config(programs, tmp_path, monkeypatch):
    """So as many identity-labelled batches, on any benchmark."""
    monkeypatch.setattr(runner.data_sources, "read_metadata", lambda name, data_dir: {})
    monkeypatch.setattr(runner.initial_weights, "find", lambda start, encoder: None)
    configs = row_configs(
        request_of(tmp_path, scale="full", datasets=("dukemtmc_reid",), weights="weights.pth", table="1")
    )
    assert {(config.num_epochs, config.num_steps, config.model.width) for config in configs.values()} == {
        (320.0, 0, 64)
    }
    assert (configs["baseline"].start.kind, configs["baseline"].start.path) == ("file", "weights.pth")
    assert configs["san"].start.kind == "run"
    tuned = row_configs(request_of(tmp_path / "tuned", "4", scale="full", datasets=("dukemtmc_reid",)))
    assert {key: config.num_epochs for key, config in tuned.items() if key.endswith("_partial")} == {
        "baseline_partial": 40.0,
        "san_partial": 40.0,
    }


def test_an_interrupted_table_goes_on_row_by_row(programs, tmp_path, monkeypatch):
    request = request_of(tmp_path, seeds=2)
    whole = runner.evaluation.run

    def interrupted(workdir, dataset, data_dir, *, queries):
        if "san_l_tr-seed0" in str(workdir):
            raise KeyboardInterrupt
        return whole(workdir, dataset, data_dir, queries=queries)

    monkeypatch.setattr(runner.evaluation, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run(request)
    assert sorted(path.name for path in tmp_path.glob("results/*/*.json")) == [
        "baseline-seed0.json",
        "baseline_from_pg-seed0.json",
        "san_basic-seed0.json",
    ]
    programs.clear()
    monkeypatch.setattr(runner.evaluation, "run", whole)
    path, failures = runner.run(request)
    assert not failures
    scored = [folder for what, folder in programs if what == "score"]
    assert "runs/pit_reid/san_basic-seed0" not in scored
    assert len(scored) == 2 * 7 - 3
    # Mean and sample deviation of 50 and 60 %.
    line = next(line for line in path.read_text().splitlines() if line.startswith("| **SAN** |"))
    assert "55.0 ± 7.1 / 55.0 ± 7.1" in line
    assert "80.1 / 76.4" in line
    # Said once, though the runs started from different ones.
    assert path.read_text().count("Protocol of pit_reid: As always. Random rankings come to rank-1 1.0") == 1
    assert "the model was trained on" not in path.read_text()
    programs.clear()
    runner.run(request)
    assert programs == []


def test_results_are_shown_where_their_runs_were_removed(programs, tmp_path):
    request = request_of(tmp_path, rows=("baseline",))
    runner.run(request)
    shutil.rmtree(tmp_path / "runs")
    programs.clear()
    path, failures = runner.run(request)
    assert (failures, programs) == ({}, [])
    assert "| Baseline (ResNet-50) | 50.0 / 50.0 | 1 |" in path.read_text()
    _, failures = runner.run(dataclasses.replace(request, changes=(("loss.triplet_margin", "0.5"),)))
    assert "is of a run with other values of loss.triplet_margin" in failures["Baseline (ResNet-50), pit_reid, seed 0"]
    assert programs == []


def test_another_table_scores_a_run_and_leaves_what_was_noted_of_its_training(programs, tmp_path, monkeypatch):
    runner.run(request_of(tmp_path, rows=("baseline",)))
    noted = tmp_path / "results/pit_reid/baseline-seed0.json"
    before = json.loads(noted.read_text())
    monkeypatch.setattr(runner.provenance, "commit", lambda: "a later one")
    runner.run(request_of(tmp_path, "4", rows=("baseline",)))
    after = json.loads(noted.read_text())
    assert set(after["scores"]) == {"pit_reid", "partial queries", "occluded queries"}
    assert {fact: after[fact] for fact in RUN_FACTS} == {fact: before[fact] for fact in RUN_FACTS}


def test_a_row_that_fails_does_not_stop_the_others(programs, tmp_path):
    path, failures = runner.run(request_of(tmp_path, "2"))
    assert list(failures) == ["Enc-Dec rec. PN-GAN pose, pit_reid, seed 0"]
    text = path.read_text()
    assert "--target_dir" in text
    assert "| Enc-Dec rec. pose | 50.0 / 50.0 | 1 |" in text
    page = path.with_suffix(".html").read_text()
    assert "<h2>Not made</h2>" in page
    assert "Enc-Dec rec. pose" in page


def test_chosen_rows_are_made_and_the_others_shown(programs, tmp_path):
    runner.run(request_of(tmp_path, rows=("san", "baseline")))
    assert [folder for what, folder in programs if what == "score"] == [
        "runs/pit_reid/baseline-seed0",
        "runs/pit_reid/san-seed0",
    ]
    path, _ = runner.run(request_of(tmp_path, rows=("san_syn",)))
    text = path.read_text()
    assert text.count("| 50.0 / 50.0 | 1 |") + text.count("**50.0 / 50.0** | **1** |") == 3
    assert "| SAN-basic | - | 0 |" in text


def test_fine_tuned_rows_start_from_their_row(programs, tmp_path):
    request = request_of(tmp_path, "4")
    path, failures = runner.run(request)
    assert not failures
    assert "partial queries, ours: rank-1 / rank-5 / rank-10" in path.read_text()
    noted = json.loads((tmp_path / "results/pit_reid/san_partial-seed0.json").read_text())
    expected = {"kind": "run", "path": str(tmp_path / "runs/pit_reid/san-seed0"), "classifier": True}
    assert noted["config"]["start"] == expected
    assert noted["config"]["num_steps"] == 2 * TINY.reid_batches * 40 // 320
    assert set(noted["scores"]) == {"partial queries", "occluded queries"}
    assert all(noted[fact] not in ("", None) for fact in RUN_FACTS)


def test_targets_of_two_san_pgs_stand_side_by_side(programs, tmp_path):
    (tmp_path / "data" / "pit_reid").mkdir(parents=True)
    (tmp_path / "data" / "pit").mkdir()
    runner.run(request_of(tmp_path, "2"))
    views = sorted(path.name for path in (tmp_path / "targets").iterdir())
    assert views == ["resnet50_frontal", "resnet50_input", "resnet50_texture"]
    link = tmp_path / "targets" / "resnet50_frontal" / "pit_reid"
    assert link.resolve() == (tmp_path / "data" / "pit_reid").resolve()


def test_the_small_scale_takes_benchmarks_from_data_dir(programs, tmp_path, monkeypatch):
    rendered = []
    monkeypatch.setattr(runner.ensure, "ensure_rendered", lambda config, data_dir: rendered.append(config.recipe))
    monkeypatch.setattr(runner.data_sources, "read_metadata", lambda name, data_dir: {})
    (tmp_path / "mine" / "market1501").mkdir(parents=True)
    request = request_of(tmp_path / "out", datasets=("market1501",), data_dir=tmp_path / "mine", rows=("san",))
    runner.run(request)
    assert rendered == ["pit"]
    for link in ("data/market1501", "targets/resnet50_texture/market1501"):
        assert (tmp_path / "out" / link).resolve() == (tmp_path / "mine" / "market1501").resolve()


def test_direct_transfer_is_trained_on_rendered_persons_and_scored_on_the_benchmark(programs, tmp_path, monkeypatch):
    rendered = []
    monkeypatch.setattr(runner.ensure, "ensure_rendered", lambda config, data_dir: rendered.append(config.recipe))
    monkeypatch.setattr(runner.data_sources, "read_metadata", lambda name, data_dir: {})
    (tmp_path / "mine" / "market1501").mkdir(parents=True)
    rows = ("transfer_baseline", "transfer")
    request = request_of(tmp_path / "out", datasets=("market1501",), data_dir=tmp_path / "mine", rows=rows)
    path, failures = runner.run(request)
    assert not failures
    assert rendered == ["pit", "pit_reid"]
    configs = [folder.read_config(tmp_path / "out" / "runs" / "pit_reid" / f"{key}-seed0") for key in rows]
    assert {config.dataset for config in configs} == {"pit_reid"}
    assert {config.num_steps for config in configs} == {TINY.reid_batches}
    assert configs[1].target.kind == "true_texture"
    noted = json.loads((tmp_path / "out/results/market1501/transfer-seed0.json").read_text())
    assert (noted["dataset"], set(noted["scores"])) == ("market1501", {"market1501"})
    text = path.read_text()
    assert "SAN-basic, trained on pit_reid alone less Baseline, trained on pit_reid alone** | **+10.0" in text
    # On pit_reid itself they would be the rows that are there.
    assert not any(row.trained_on for row in rows_of(request_of(tmp_path)))


def test_runs_are_scored_on_other_datasets_too(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(runner.data_sources, "read_metadata", lambda name, data_dir: {})
    (tmp_path / "mine" / "market1501").mkdir(parents=True)
    request = request_of(
        tmp_path / "out", data_dir=tmp_path / "mine", score_on=("market1501", "pit_reid"), rows=("baseline",)
    )
    path, _ = runner.run(request)
    noted = json.loads((tmp_path / "out/results/pit_reid/baseline-seed0.json").read_text())
    assert set(noted["scores"]) == {"pit_reid", "market1501"}
    assert "| pit_reid, ours: rank-1 / mAP | market1501, ours: rank-1 / mAP |" in path.read_text()


def test_sizes_are_read_from_text():
    sizes = TINY.changed({"width": "32", "image_size": "(64,32)"})
    assert sizes == dataclasses.replace(TINY, width=32, image_size=(64, 32))
    for wrong in ({"widht": "32"}, {"width": "wide"}):
        with pytest.raises(config_files.ConfigError):
            TINY.changed(wrong)


def test_changes_reach_every_config_that_has_the_key(programs, tmp_path):
    changes = (("model.compute_dtype", "bfloat16"), ("loss.triplet_reid_margin", "0.5"), ("num_steps", "4"))
    request = request_of(tmp_path, changes=changes)
    configs = row_configs(request)
    text = (tmp_path / "table_1.md").read_text()
    given = "model.compute_dtype=bfloat16, loss.triplet_reid_margin=0.5, num_steps=4 (SAN-PG alone)"
    assert f"In every run, by --set: {given}." in text
    assert {config.model.compute_dtype for config in configs.values()} == {"bfloat16"}
    assert configs["san"].loss.triplet_reid_margin == 0.5


def test_rows_of_other_datasets_are_left_out(programs, tmp_path, monkeypatch):
    rows = (
        Row("a", "A", config="baseline", san_pg=None, start="file"),
        dataclasses.replace(TABLES["1"].rows[-1], only=("market1501",)),
    )
    monkeypatch.setitem(TABLES, "1", Table("t", rows))
    path, _ = runner.run(request_of(tmp_path))
    assert "true textures" not in path.read_text()


def test_textures_are_measured_once_and_again_where_a_measure_is_missing(programs, tmp_path, monkeypatch):
    measured = []

    def of_run(regressor, dataset, *where):
        measured.append(dataset)
        return texture_quality.Quality(0.25, float("inf"), 0.5, 33.33, float("nan"))

    monkeypatch.setattr(runner.san_pg_run, "load", lambda workdir: workdir)
    monkeypatch.setattr(runner.texture_quality, "of_run", of_run)
    rows = tuple(row for row in TABLES["1"].rows if row.key == "san")
    monkeypatch.setitem(TABLES, "1", Table("t", rows, textures=True))
    path, failures = runner.run(request_of(tmp_path))
    assert not failures
    assert "| resnet50_texture | held-out pit | 0.2500 | exact | 0.5000 | 33.3 | - |" in path.read_text()
    assert "| L1 | PSNR | SSIM | hue error | chroma ratio |" in path.read_text()
    runner.run(request_of(tmp_path))
    assert measured == ["pit", "pit_reid"]

    kept = tmp_path / "results" / "textures" / "resnet50_texture.json"
    today = kept.read_bytes()
    kept.write_text(json.dumps({"held-out pit": {"l1": 0.3, "psnr": 15.0, "ssim": 0.5}}))
    runner.run(request_of(tmp_path))
    assert measured == ["pit", "pit_reid"] * 2
    assert kept.read_bytes() == today


def test_all_that_is_missing_is_named_before_anything_is_rendered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner.ensure, "ensure_rendered", None)
    request = Request(
        table="1", datasets=("market1501", "cuhk03/labeled"), seeds=1, scale="full", output=tmp_path / "out",
        data_dir=tmp_path / "data", weights="imagenet",
    )  # fmt: skip
    with pytest.raises(AblationError) as error:
        runner.run(request)
    for words in ("No dataset 'market1501'", "No dataset 'cuhk03/labeled'", "the ImageNet weights of resnet50 are not"):
        assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []
