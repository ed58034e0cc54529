"""The table of texture quality: what is measured, what the JSON and the Markdown say, what is not held out."""

import json

import pytest
from flax import nnx

from experiments import figures as program
from experiments.command_line import config_files
from experiments.runs import data_sources, folder, models, san_pg
from experiments.scoring import texture_quality
from experiments.scoring.texture_quality import Quality
from san_jax import run_folder
from san_jax.models import SAN


@pytest.fixture
def run(tmp_path):
    """Writes the folder of a SAN-PG run without checkpoints, trained on the pit of digest "old" in data_dir "data"."""
    config = config_files.load("san_pg.py:smoke")
    config.data_dir = "data"
    (tmp_path / "run").mkdir()
    run_folder.write_config(tmp_path / "run", json.loads(config_files.to_json(config)))
    record = {"dataset": "pit", "source_digest": "old", "started_from": {}}
    (tmp_path / "run" / "data.json").write_text(json.dumps(record))
    return tmp_path / "run"


def stand_in(workdir, which):
    plan = folder.read_plan(workdir)
    return san_pg.Regressor(workdir, None, plan, plan.target, {"newest": 7, "best": 3}[which], "")


def test_quality_table(run, monkeypatch, tmp_path, capsys):
    """A row for each run and the floor, a column for each dataset; the JSON says what the Markdown does."""
    asked = []
    monkeypatch.setattr(san_pg, "load", stand_in)

    def of_run(regressor, dataset, split, data_dir, *, sample):
        asked.append((regressor.workdir, regressor.step, dataset, split, data_dir, sample))
        if dataset == "pit":
            return Quality(0.12344, 21.5, 0.625, 33.33, 0.4444)
        return Quality(0.5, float("inf"), -0.25, float("nan"), float("nan"))

    monkeypatch.setattr(texture_quality, "of_run", of_run)
    monkeypatch.setattr(texture_quality, "of_mean", lambda *where, sample: Quality(1.0, 10.0, 0.1, 90.0, 0.25))
    monkeypatch.setattr(texture_quality, "count", lambda *where, sample: (sample, 1234))
    monkeypatch.setattr(
        data_sources,
        "read_metadata",
        lambda name, data_dir: {
            "recipe": name,
            "seed": int(data_dir == "other"),
            "source_digest": f"{name}-{data_dir}",
        },
    )
    program.main(
        [
            "--figure=quality",
            f"--workdir={run}",
            "--checkpoint=best",
            "--dataset=pit_reid",
            "--held_out=other",
            "--sample=5",
            f"--output={tmp_path}",
        ]
    )
    assert asked == [(str(run), 3, "pit", "train", "other", 5), (str(run), 3, "pit_reid", "train", "data", 5)]
    text = (tmp_path / "texture_quality.md").read_text()
    assert text in capsys.readouterr().out
    head, _, row, floor = text.splitlines()[2:6]
    assert head.startswith(
        "| SAN-PG run | held-out pit: L1 | held-out pit: PSNR | held-out pit: SSIM | held-out pit: hue error "
        "| held-out pit: chroma ratio | pit_reid, train: L1 "
    )
    assert row.startswith(f"| {run} (resnet50, width ")
    assert row.endswith(" | 0.1234 | 21.50 | 0.6250 | 33.3 | 0.444 | 0.5000 | exact | -0.2500 | - | - |")
    assert floor == "| mean texture" + 2 * " | 1.0000 | 10.00 | 0.1000 | 90.0 | 0.250" + " |"
    assert "held-out pit: 5 of 1,234 images of pit, train, in other" in text
    table = json.loads((tmp_path / "texture_quality.json").read_text())
    assert "the length of (Cb, Cr), is above 15; 90 is chance" in text
    assert table["rows"][0]["quality"] == {
        "held-out pit": {"l1": 0.12344, "psnr": 21.5, "ssim": 0.625, "hue_error": 33.33, "chroma_ratio": 0.4444},
        "pit_reid, train": {"l1": 0.5, "psnr": None, "ssim": -0.25, "hue_error": None, "chroma_ratio": None},
    }
    assert (table["rows"][0]["encoder"], table["rows"][0]["step"]) == ("resnet50", 3)
    assert table["measured"]["pit_reid, train"]["source_digest"] == "pit_reid-data"


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"recipe": "pit", "seed": 1, "source_digest": "old"}, "was trained on the pit in other"),
        ({"recipe": "pit", "seed": 0, "source_digest": "new"}, "share their first textures"),
    ],
)
def test_a_pit_that_was_trained_on_is_not_held_out(run, monkeypatch, held, expected):
    there = {"recipe": "pit", "seed": 0, "source_digest": "old"}
    monkeypatch.setattr(data_sources, "read_metadata", lambda name, data_dir: held if data_dir == "other" else there)
    with pytest.raises(SystemExit, match=rf"figures: .*{expected}"):
        program.main(["--figure=quality", f"--workdir={run}", "--held_out=other"])


def test_a_baseline_is_named_for_having_no_textures(run, monkeypatch):
    run_folder.write_config(run, json.loads(config_files.to_json(config_files.load("baseline.py:smoke"))))
    monkeypatch.setattr(data_sources, "read_metadata", lambda name, data_dir: {"source_digest": "new"})
    monkeypatch.setattr(texture_quality, "count", lambda *where, sample: (1, 1))
    model = SAN(0, width=4, stage_sizes=(1, 1, 1, 1), decoder=False, rngs=nnx.Rngs(0))
    monkeypatch.setattr(models, "load_run", lambda path, which: models.LoadedRun(model, folder.read_plan(path), 7))
    with pytest.raises(SystemExit, match=r"figures: .*run is a run without decoder"):
        program.main(["--figure=quality", f"--workdir={run}", "--held_out=other"])
