"""The evaluation program: several datasets in one command, options, and how it ends."""

import json
import re
import shutil
import types

import jax
import numpy as np
import pytest

from experiments import evaluate
from experiments.runs import data_sources, exporting, models
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import Embedder
from san_jax import batch_norm, ranking
from san_jax.models import merge_model, split_model
from tests.experiments.scoring.made_up import PARTIAL, PLAN, SCORES, trained


def test_several_datasets_in_one_command(scored_run, pit_reid_dir, benchmarks, loads, monkeypatch, capsys):
    benchmarks.add("market1501", range(20), range(20))
    benchmarks.add("cuhk03/labeled", range(20), range(20), metadata=PARTIAL)
    benchmarks.add_partial_reid(range(1, 13), range(1, 6))
    trained(scored_run)
    names = ["market1501", "cuhk03/labeled", "partial_reid"]
    arguments = [f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}"]
    evaluate.main([*arguments, f"--dataset={','.join(names)}", "--metric=cosine"])
    assert len(loads) == 1
    summaries = [
        json.loads((scored_run / "report" / f"evaluate_{name.replace('/', '_')}_cosine.json").read_text())
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


def test_a_dataset_that_fails_does_not_lose_the_others(scored_run, pit_reid_dir, benchmarks, capsys):
    benchmarks.add("market1501", range(20), range(20))
    benchmarks.add("msmt17", range(20), range(100, 120))
    arguments = [f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}", "--dataset=msmt17,nothing,market1501"]
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(arguments)
    assert str(stopped.value).startswith("evaluate: msmt17: None of the 20 queries has a gallery image")
    assert "\nevaluate: nothing: No dataset 'nothing' in" in str(stopped.value)
    assert sorted(path.name for path in (scored_run / "report").iterdir()) == ["evaluate_market1501.json"]
    printed = capsys.readouterr()
    assert re.search(r"^msmt17 +not scored: None of the 20 queries", printed.out, re.MULTILINE)
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(("camera", "why"), [(0, "for all images are of one camera"), (-1, "for no camera is known")])
def test_a_single_camera_is_scored_without_the_camera_rule_and_says_so(scored_run, benchmarks, capsys, camera, why):
    splits = benchmarks.add("own_photos", range(20), range(20))
    expected = ranking.evaluate_ranking(
        splits["query"].embeddings, splits["gallery"].embeddings, range(20), range(20), [0] * 20, [1] * 20
    )
    for split in splits.values():
        split.camera_ids[:] = camera
    evaluate.main([f"--workdir={scored_run}", "--dataset=own_photos"])
    summary = json.loads((scored_run / "report" / "evaluate_own_photos.json").read_text())
    assert (summary["same_camera"], summary["mAP"]) == ("keep", pytest.approx(expected.mean_ap, abs=1e-6))
    words = f"Gallery images of the query's identity and camera are kept as correct matches, {why} (not the Market-1501"
    assert words in summary["protocol"]
    assert words in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match="None of the 20 queries has a gallery image of its identity from another"):
        evaluate.main([f"--workdir={scored_run}", "--dataset=own_photos", "--same_camera=drop"])


def test_persons_of_one_camera_each_end_in_the_rule_and_what_to_do(scored_run, benchmarks):
    splits = benchmarks.add("own_photos", range(20), range(20))
    for split in splits.values():
        split.camera_ids[:] = np.arange(20) % 2
    with pytest.raises(SystemExit) as stopped:
        evaluate.main([f"--workdir={scored_run}", "--dataset=own_photos"])
    message = str(stopped.value)
    assert message.startswith(
        "evaluate: None of the 20 queries has a gallery image of its identity from another camera"
    )
    assert "which the Market-1501 rule drops" in message
    assert "Cameras of query and gallery: 0, 1." in message
    assert "If there is only one camera, or none is known, number visits, days or tracks as cameras" in message
    assert "as `experiments.evaluate --same_camera=keep` does" in message
    assert not (scored_run / "report").exists()
    evaluate.main([f"--workdir={scored_run}", "--dataset=own_photos", "--same_camera=keep"])
    summary = json.loads((scored_run / "report" / "evaluate_own_photos_keep.json").read_text())
    assert summary["num_valid_queries"] == 20
    assert "kept as correct matches, as --same_camera=keep asks" in summary["protocol"]


def test_all(scored_run, pit_reid_dir, capsys):
    tiny_data_pit = evaluation.data_sources.list_built(pit_reid_dir)
    assert tiny_data_pit == ["pit_reid"]
    evaluate.main([f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}", "--dataset=all"])
    assert (scored_run / "report" / "evaluate_pit_reid.json").is_file()


def test_main_passes_every_option(scored_run, pit_reid_dir):
    evaluate.main(
        [
            f"--workdir={scored_run}",
            f"--data_dir={pit_reid_dir}",
            "--dataset=pit_reid",
            "--metric=cosine",
            "--average_precision=trapezoidal",
            "--flip",
            "--rerank",
            "--k1=4",
            "--lambda_value=0.5",
        ]
    )
    (path,) = (scored_run / "report").iterdir()
    assert path.name == "evaluate_pit_reid_cosine_trapezoidal_flip_rerank_k1=4_lambda_value=0.5.json"
    summary = json.loads(path.read_text())
    assert summary["rerank"] == {"k1": 4, "k2": 6, "lambda_value": 0.5}
    assert (summary["metric"], summary["average_precision"], summary["flip"]) == ("cosine", "trapezoidal", True)


def test_statistics_of_other_pictures(scored_run, pit_reid_dir, scored_model, tmp_path, capsys):
    """Embedded with them, and said wherever the scores stand; what was scored as trained is left alone."""
    arguments = [f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"]
    evaluate.main([*arguments, f"--output={tmp_path / 'scores.json'}"])
    as_trained = (tmp_path / "scores.json").read_bytes()
    assert json.loads(as_trained)["batch_norm"] is None
    assert "BatchNorm" not in capsys.readouterr().out

    adapt = ["--batch_norm=pit_reid:train", "--batch_norm_images=6", "--batch_norm_seed=1"]
    evaluate.main([*arguments, *adapt])
    (path,) = (scored_run / "report").iterdir()
    assert path.name == "evaluate_pit_reid_bn_pit_reid_train_images=6_seed=1.json"
    summary = json.loads(path.read_text())
    noted = {"dataset": "pit_reid", "split": "train", "images": 6, "seed": 1, "batch_size": 64}
    assert summary["batch_norm"] == noted
    assert summary["protocol"].startswith("BATCHNORM RE-ESTIMATED: ")
    printed = capsys.readouterr().out
    assert f"{scored_run} at step 120, BatchNorm of pit_reid:train\n" in printed
    assert summary["protocol"] in " ".join(printed.split())
    assert evaluation.table({"pit_reid": summary}, {}).splitlines()[1].endswith(", BatchNorm of pit_reid:train")

    source = data_sources.open_source("pit_reid", "train", pit_reid_dir)
    batches = batch_norm.read_batches(source, "image", batch_norm.draw(len(source), 6, seed=1), PLAN.image_size)
    model = batch_norm.reestimate(scored_model, batches)
    query, gallery = (Embedder(model, PLAN, pit_reid_dir).embed("pit_reid", split) for split in ("query", "gallery"))
    expected = evaluation.rank(query, gallery, (1, 5, 10), protocols.Options(metric="euclidean"))
    assert {key: summary[key] for key in SCORES} == pytest.approx({key: expected[key] for key in SCORES}, abs=1e-6)
    assert summary["mAP"] != pytest.approx(json.loads(as_trained)["mAP"], abs=1e-6)

    with pytest.raises(SystemExit, match="holds scores with BatchNorm statistics as trained, not with those asked"):
        evaluate.main([*arguments, *adapt, f"--output={tmp_path / 'scores.json'}"])
    assert (tmp_path / "scores.json").read_bytes() == as_trained
    with pytest.raises(SystemExit, match="holds scores with BatchNorm of pit_reid:train, not with those asked for"):
        evaluate.main([*arguments, f"--output={path}"])
    assert json.loads(path.read_text()) == summary


def test_main_names_what_is_missing(scored_run, pit_reid_dir, scored_model, monkeypatch):
    arguments = [f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}"]
    with pytest.raises(SystemExit, match=r"evaluate: .*'pit_ried'.*pit_reid"):
        evaluate.main([*arguments, "--dataset=pit_ried"])
    graphdef, params, batch_stats = split_model(scored_model)
    broken = merge_model(graphdef, jax.tree.map(lambda x: x * np.nan, params), batch_stats)
    monkeypatch.setattr(evaluation.models, "load_run", lambda path, **options: (broken, PLAN, 120))
    with pytest.raises(SystemExit, match="holds NaN or infinity"):
        evaluate.main([*arguments, "--dataset=pit_reid"])


def test_main_refuses_before_anything_is_loaded(scored_run, pit_reid_dir, loads, capsys):
    arguments = [f"--workdir={scored_run}", f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"]
    for option, message in (
        ("--k1=0", "k1 is 0; it counts neighbours and must be at least 1"),
        ("--lambda_value=1.5", "lambda_value is 1.5; it must lie in"),
    ):
        with pytest.raises(SystemExit, match=message):
            evaluate.main([*arguments, "--rerank", option])
    for more, message in (
        (["--k2=3"], "--k2 is a setting of --rerank, which is not given"),
        (["--batch_norm=train"], "--batch_norm: expected as_trained or DATASET:SPLIT, such as market1501:train, found"),
        (["--batch_norm_images=9"], "--batch_norm_images is a setting of --batch_norm=DATASET:SPLIT, which is not"),
        (["--batch_norm_seed=9"], "--batch_norm_seed is a setting of --batch_norm=DATASET:SPLIT, which is not given"),
        (["--batch_norm=a:train", "--batch_norm_images=1"], "expected an integer of at least 2, found 1"),
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
            evaluation.run(scored_run, "pit_reid", pit_reid_dir, options=protocols.Options(**options))
    assert not loads


def test_a_folder_that_is_no_run(tmp_path, pit_reid_dir):
    with pytest.raises(SystemExit, match=r"config\.json does not exist: expected the folder of a run"):
        evaluate.main([f"--workdir={tmp_path}", f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"])


def test_an_export_is_scored_as_its_run(exportable_run, pit_reid_dir, tmp_path, capsys):
    run, exported = tmp_path / "run", tmp_path / "exported"
    shutil.copytree(exportable_run, run)
    trained(run)
    exporting.run(run, exported, formats=["safetensors"])
    given = [f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"]
    evaluate.main([f"--workdir={run}", f"--output={tmp_path / 'run.json'}", *given])
    for source in (exported, exported / "encoder.safetensors"):
        evaluate.main([f"--workdir={source}", *given])
    of_run, of_export = (
        json.loads(path.read_text()) for path in (tmp_path / "run.json", exported / "report" / "evaluate_pit_reid.json")
    )
    assert of_export.pop("workdir") == str(exported / "encoder.safetensors")
    del of_run["workdir"]
    for name in ("mAP", "mINP"):
        assert of_export.pop(name) == pytest.approx(of_run.pop(name), abs=1e-6)
    assert of_export == of_run  # step and training included
    with pytest.raises(SystemExit, match=r"evaluate: .* has no checkpoint '7'"):
        evaluate.main([f"--workdir={exported}", "--checkpoint=7", *given])


def test_an_encoder_that_comes_along_is_scored_into_a_file_of_the_users(pit_reid_dir, tmp_path):
    given = ["--workdir=rendered-small", f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"]
    with pytest.raises(SystemExit, match=r"evaluate: rendered-small came with the package, .*: give --output"):
        evaluate.main(given)
    evaluate.main([*given, f"--output={tmp_path / 'scores.json'}"])
    summary = json.loads((tmp_path / "scores.json").read_text())
    assert summary["trained_on"]["dataset"] == "pit_reid"
    assert summary["step"] > 0


def test_weights_that_do_not_say_how_they_were_trained_are_not_scored(tmp_path, pit_reid_dir, monkeypatch):
    monkeypatch.setattr(
        models.inference, "load_encoder", lambda path, checkpoint: types.SimpleNamespace(calibrated_in=None)
    )
    (tmp_path / "resnet50.pth").touch()
    with pytest.raises(SystemExit, match=r"evaluate: .*resnet50.pth names a file of weights that does not say how"):
        evaluate.main([f"--workdir={tmp_path / 'resnet50.pth'}", f"--data_dir={pit_reid_dir}", "--dataset=pit_reid"])
