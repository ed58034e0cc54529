"""What programs take of a run: the checkpoint that is asked for, and datasets from where it was trained."""

import json
import pathlib
import shutil

import jax
import optax
import pytest

import san_jax
from experiments import calibrate, embed, evaluate, export, figures, pseudo_texture, search
from experiments.runs import data_places, models
from san_jax import checkpoint, run_folder, train_state
from san_jax.calibration import CalibrationError
from san_jax.models import parameter_digest
from tests.experiments import search_runs

NEWEST, BEST = 7, 3  # steps of the run's two checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory, exportable_run, pit_reid_dir) -> pathlib.Path:
    """A run with another checkpoint as its best one, trained with the data_dir in which pit_reid is."""
    folder = tmp_path_factory.mktemp("choice") / "run"
    shutil.copytree(exportable_run, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "data_dir": str(pit_reid_dir)}))
    data = {"dataset": "pit_reid", "splits": ["train"], "partial": False, "source_digest": "", "pit": None}
    (folder / "data.json").write_text(json.dumps({**data, "images": 20, "identities": 5, "started_from": {}}))
    _, state = train_state.create(models.load_run(folder).model, optax.identity())
    moved = train_state.TrainState(
        state.step, jax.tree.map(lambda x: 0.9 * x, state.params), state.batch_stats, state.opt_state, {}
    )
    checkpoints = checkpoint.Checkpoints(folder / run_folder.BEST_FOLDER, keep=1)
    checkpoints.save(BEST, moved, {})
    checkpoints.close()
    return folder


def test_the_door_loads_the_checkpoint_that_is_named(run, tmp_path):
    digests = {}
    for name, step in {"newest": NEWEST, "best": BEST, BEST: BEST}.items():
        encoder = san_jax.load_encoder(run, checkpoint=name)
        assert encoder.step == step
        digests.setdefault(step, set()).add(encoder.identity["weights_sha256"])
    assert [len(found) for found in digests.values()] == [1, 1]
    assert digests[NEWEST] != digests[BEST]
    regressor = san_jax.load_regressor(run, checkpoint="best")
    assert parameter_digest(regressor.model) == parameter_digest(models.load_run(run, which="best").model)
    assert parameter_digest(regressor.model) != parameter_digest(san_jax.load_regressor(run).model)
    for load in (san_jax.load_encoder, san_jax.load_regressor):
        with pytest.raises(checkpoint.CheckpointError, match=r"has no checkpoint of step 25; it has 3, 7\."):
            load(run, checkpoint=25)
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"is a file of weights, which has no checkpoint 'best': give a run's folder"):
        san_jax.load_encoder(tmp_path / "weights.pth", checkpoint="best")


def test_embeddings_calibration_search_and_export_are_of_one_checkpoint(run, tmp_path, capsys):
    """All find pit_reid where the run was trained; what was made with one checkpoint is refused with the other."""
    best = [f"--workdir={run}", "--checkpoint=best"]
    gallery = tmp_path / "gallery.parquet"
    images = ["--images=pit_reid:gallery", f"--output={gallery}", "--batch_size=8"]
    embed.main([*best, *images])
    assert "pit_reid is read from" in capsys.readouterr().out
    made_by = san_jax.load_embeddings(gallery).made_by
    assert made_by["step"] == BEST
    assert made_by["weights_sha256"] == san_jax.load_encoder(run, checkpoint="best").identity["weights_sha256"]
    with pytest.raises(SystemExit, match=r"(?s)gallery\.parquet holds something else:.*step: 3 there, 7 now"):
        embed.main([f"--workdir={run}", *images])

    calibrate.main([*best, "--dataset=pit_reid:query+gallery", "--batch_size=8"])
    assert "step 3 on pit_reid:query+gallery: 20 pictures" in capsys.readouterr().out
    assert san_jax.load_encoder(run, checkpoint="best").calibration.made_by["step"] == BEST
    newest = san_jax.load_encoder(run)
    picture = str(search_runs.write_picture(tmp_path / "query.png"))
    with pytest.raises(
        CalibrationError, match=r"at step 3 does not hold for .* at step 7 .*: take checkpoint 3, or .*7$"
    ):
        newest.same_person([picture], [picture])

    asked = [f"--gallery={gallery}", "--query=pit_reid:query", f"--output={tmp_path / 'found'}", "--batch_size=8"]
    with pytest.raises(
        SystemExit, match=r"at step 3, not by .* at step 7 .* as --workdir and --checkpoint=3, or embed"
    ):
        search.main([f"--workdir={run}", *asked])
    search.main([*best, *asked])
    ranked = json.loads((tmp_path / "found" / "ranked.json").read_text())
    assert (ranked["step"], len(ranked["queries"])) == (BEST, 5)

    capsys.readouterr()
    evaluate.main([*best, "--dataset=all"])
    assert "pit_reid is read from" in capsys.readouterr().out
    export.main([*best, f"--output={tmp_path / 'exported'}", "--formats=safetensors"])
    card = json.loads((tmp_path / "exported" / "model_card.json").read_text())
    assert card["run"]["step"] == BEST
    assert [scores["dataset"] for scores in card["scores"]] == ["pit_reid"]
    assert card["calibration"]["pictures"]["pictures"] == 20
    assert "too few pairs to tell" in (tmp_path / "exported" / "README.md").read_text()

    noted = json.loads((run / "calibration.json").read_text())
    noted["made_by"]["step"] = 5
    (run / "calibration.json").write_text(json.dumps(noted))
    calibrate.main([*best, "--dataset=pit_reid:query+gallery", "--batch_size=8"])
    assert "this replaces the calibration of step 5" in capsys.readouterr().out


def test_textures_and_figures_are_of_the_checkpoint(run, tmp_path, monkeypatch):
    search_runs.write_picture(tmp_path / "photos" / "a.png")
    contents = []
    for which in ("newest", "best"):
        common = [f"--workdir={run}", f"--checkpoint={which}", f"--output={tmp_path / which}"]
        pseudo_texture.main([*common, f"--images={tmp_path / 'photos'}", "--batch_size=1"])
        contents.append((tmp_path / which / "a.png").read_bytes())
    assert contents[0] != contents[1]
    drawn = []
    monkeypatch.setattr("experiments.pages.figures.write", lambda *arguments: drawn.append(arguments))
    figures.main(["--figure=6", f"--workdir={run}", "--checkpoint=best", "--dataset=pit_reid"])
    assert drawn[0][3] == "best"
    assert len(drawn[0][0])


def test_where_a_dataset_is_looked_for(run, pit_reid_dir, tmp_path, capsys, monkeypatch):
    assert data_places.find(None, [tmp_path / "weights.pth", run], "pit_reid") == str(pit_reid_dir)
    assert f"pit_reid is read from {pit_reid_dir}, the data_dir that {run} was trained with" in capsys.readouterr().out
    assert data_places.find("given", [run], "pit_reid") == "given"
    monkeypatch.chdir(tmp_path)  # where there is no data/
    assert data_places.find(None, [run], "market1501") == "data"
    out = capsys.readouterr().out
    assert f"market1501 is in none of {pit_reid_dir}, data: give --data_dir\nbuilt in {pit_reid_dir}: pit_reid\n" in out
    assert data_places.find_for_images(None, str(run), "pit_reid:gallery") == str(pit_reid_dir)
    capsys.readouterr()
    monkeypatch.setattr(data_places.data_sources, "list_built", lambda place: ["shop"] if place == "data" else [])
    assert data_places.find(None, [run], "shop") == "data"
    assert f"shop is read from data; it is not in {pit_reid_dir}" in capsys.readouterr().out
    (tmp_path / "pit_reid:photos").mkdir()
    assert data_places.find_for_images(None, str(run), str(tmp_path / "pit_reid:photos")) == "data"
    assert not capsys.readouterr().out
