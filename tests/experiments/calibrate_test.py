"""The program that calibrates: what it writes into the run, what the Python door answers by it, and what it refuses."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import san_jax
from experiments import calibrate, embed
from experiments.pages import calibration_page
from experiments.runs import exporting
from experiments.searching import calibration_run
from experiments.searching.galleries import SearchError
from san_jax import calibration, embedding_files, files, inference, pretrained, verification
from san_jax.calibration import CalibrationError
from san_jax.embedding_files import Embeddings
from tests import pages
from tests.experiments import search_runs
from tests.experiments.pages.report_test import Page
from tests.experiments.search_runs import workplace  # noqa: F401 (a fixture)

SEARCH_PAGE = pages.REPOSITORY / "docs" / "search.md"
MADE_BY = {
    "weights_sha256": "a" * 64,
    "san_pg_sha256": None,
    "image_size": [64, 32],
    "metric": "euclidean",
    "flip": False,
    "workdir": "runs/made_up",
    "step": 7,
    "images": "made_up:query+gallery",
}


def make_embeddings(
    persons: int = 60, of_each: int = 6, cameras: int = 3, images: str = MADE_BY["images"]
) -> Embeddings:
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(persons), of_each)
    points = (rng.normal(size=(persons, 16))[ids] + 0.5 * rng.normal(size=(len(ids), 16))).astype(np.float32)
    views = np.tile(np.arange(of_each) % cameras, persons)
    return Embeddings([f"{i}.jpg" for i in range(len(ids))], points, ids, views, {**MADE_BY, "images": images})


@pytest.fixture
def run(workplace, tmp_path):  # noqa: F811
    """A copy of the run, and a function that calibrates it."""
    shutil.copytree(workplace.run, tmp_path / "run")

    def call(*flags: str):
        calibrate.main([f"--workdir={tmp_path / 'run'}", f"--data_dir={workplace.data_dir}", "--batch_size=8", *flags])
        return calibration.read(tmp_path / "run")

    return call


def test_a_split_calibrates_the_run(run, workplace, tmp_path, capsys):  # noqa: F811
    found = run("--dataset=pit_reid:query+gallery")
    # 5 persons with a picture of each of 4 cameras.
    assert found.pictures == {
        "images": "pit_reid:query+gallery",
        "pictures": 20,
        "left_out": 0,
        "persons": 5,
        "cameras": 4,
        "across_cameras": True,
        "genuine": 5 * 6,
        "impostor": 10 * 4 * 3,
    }
    whole = san_jax.load_embeddings(tmp_path / "run" / "embeddings" / "pit_reid_query+gallery.parquet")
    counts = verification.count_pairs(whole.embeddings, whole.person_ids, whole.camera_ids)
    rate, threshold = verification.equal_error_rate(counts)
    assert found.equal_error == {"rate": rate, "threshold": threshold}
    assert found.points == tuple(verification.operating_point(counts, rate) for rate in (1e-2, 1e-3, 1e-4))
    assert [point.threshold for point in found.points] == [None] * 3  # 120 impostor pairs support none of them
    printed = capsys.readouterr().out
    assert "false-match rate 0.01: not supported, 120 impostor pairs are fewer than the 1,000 that it needs" in printed
    assert "pairs across cameras: 30 of one person, 120 of two" in printed
    page = (tmp_path / "run" / "report" / "calibration.html").read_text()
    Page(page)
    assert page.count("not supported: 120 impostor pairs") == 3
    # What is there is taken again, and --embeddings gives the same.
    assert files.canonical_json(dataclasses.asdict(found)["points"]) == files.canonical_json(
        dataclasses.asdict(run(f"--embeddings={tmp_path / 'run' / 'embeddings' / 'pit_reid_query+gallery.parquet'}"))[
            "points"
        ]
    )


def test_another_calibration_names_the_one_that_it_replaces(run, workplace, capsys):  # noqa: F811
    run(f"--embeddings={workplace.gallery}")
    run(f"--embeddings={workplace.gallery}")
    assert "replaces" not in capsys.readouterr().out
    run(f"--embeddings={workplace.gallery}", "--same_camera=keep")
    printed = capsys.readouterr().out
    first = "step 7 on pit_reid:gallery (15 pictures, pairs across cameras, "
    second = "step 7 on pit_reid:gallery (15 pictures, pairs within cameras, too, "
    assert f"this replaces the calibration of {first}" in printed
    assert f" by that of {second}" in printed
    run("--dataset=pit_reid:query+gallery")
    assert f"calibration of {second}" in (printed := capsys.readouterr().out)
    assert " by that of step 7 on pit_reid:query+gallery (20 pictures, pairs across cameras, " in printed


def test_the_door_answers_by_the_calibration(run, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration_run, "FALSE_MATCH_RATES", (0.25, 0.1))
    found = run("--dataset=pit_reid:query+gallery", "--flip")
    encoder = san_jax.load_encoder(tmp_path / "run", batch_size=8)
    first = [search_runs.write_picture(tmp_path / f"{i}.png", i) for i in range(3)]
    second = [first[0], *(Image.new("RGB", (20, 40), colour) for colour in ("red", "blue"))]
    answer = encoder.same_person(first, second, false_match_rate=0.1)
    distances = np.linalg.norm(
        encoder(first, flip=True).astype(np.float64) - encoder(second, flip=True).astype(np.float64), axis=1
    )
    np.testing.assert_allclose(answer.distances, distances)
    point = found.points[1]
    assert point.threshold is not None
    assert answer.same.tolist() == (distances < point.threshold).tolist() == [True, *answer.same.tolist()[1:]]
    assert answer.false_match_rate == point.false_matches / 120 <= 0.1
    assert answer.false_non_match_rate == point.false_non_matches / 30
    np.testing.assert_array_equal(answer.probability, found.reliability.at(distances))
    assert encoder.same_person(first, second).point == point  # the lowest rate that there is
    with pytest.raises(ValueError, match="expected pairs of images, found 3 first and 2 second ones"):
        encoder.same_person(first, second[:2])
    with pytest.raises(
        CalibrationError,
        match=r"of 0.01: calibrations are made for 0.25, 0.1; .* has 120 impostor pairs .*for 0.25 and 0.1:",
    ):
        encoder.same_person(first, second, false_match_rate=0.01)


def test_a_calibration_of_other_weights_is_refused(run, tmp_path):
    run("--dataset=pit_reid:query+gallery")
    folder = tmp_path / "run"
    content = files.read_json(folder / "calibration.json")
    for change, message in (
        (
            {"made_by": {**content["made_by"], "weights_sha256": "f" * 64}},
            "does not hold for .* at step 7 .weights_sha256",
        ),
        ({"version": 0}, "written by another version"),
    ):
        files.write_json(folder / "calibration.json", {**content, **change})
        with pytest.raises(CalibrationError, match=message):
            _ = san_jax.load_encoder(folder).calibration
    files.write_json(folder / "calibration.json", content)
    with pytest.raises(CalibrationError, match=r"image_size: \[64, 32\] there, \[32, 16\] here"):
        _ = san_jax.load_encoder(folder, image_size=(32, 16)).calibration
    (folder / "calibration.json").unlink()
    with pytest.raises(CalibrationError, match=r"is not calibrated: make calibration.json with python -m exp"):
        _ = san_jax.load_encoder(folder).calibration
    with pytest.raises(CalibrationError, match="Only runs are calibrated"):
        _ = dataclasses.replace(san_jax.load_encoder(folder), calibrated_in=None).calibration


def test_an_export_takes_the_calibration_along(run, tmp_path):
    folder, output = tmp_path / "run", tmp_path / "exported"
    exporting.run(folder, output, formats=["safetensors"])
    with pytest.raises(CalibrationError, match="exported is not calibrated"):
        _ = san_jax.load_encoder(output / "encoder.safetensors").calibration
    run("--dataset=pit_reid:query+gallery")
    exporting.run(folder, output, formats=["safetensors"], overwrite=True)
    encoder = san_jax.load_encoder(output / "encoder.safetensors")
    assert encoder.calibration.points == san_jax.load_encoder(folder).calibration.points
    # Another calibration beside the file is not taken for this one's.
    content = files.read_json(output / "calibration.json")
    files.write_json(
        output / "calibration.json", {**content, "made_by": {**content["made_by"], "weights_sha256": "f" * 64}}
    )
    with pytest.raises(CalibrationError, match=r"does not hold for .*exported"):
        _ = san_jax.load_encoder(output / "encoder.safetensors").calibration


def test_an_export_is_calibrated_in_its_own_folder(run, workplace, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(calibration_run, "FALSE_MATCH_RATES", (0.25,))
    run("--dataset=pit_reid:query+gallery")
    exported = tmp_path / "exported"
    exporting.run(tmp_path / "run", exported, formats=["safetensors"])
    before = san_jax.load_encoder(exported).calibration
    given = ["--dataset=pit_reid:gallery", f"--data_dir={workplace.data_dir}", "--batch_size=8", "--same_camera=keep"]
    calibrate.main([f"--workdir={exported}", *given])
    printed = capsys.readouterr().out
    assert "the export on pit_reid:gallery: " in printed
    assert "this replaces the calibration of step " in printed
    assert f"written to {exported / 'calibration.json'}; look at {exported / 'report' / 'calibration.html'}" in printed
    encoder = san_jax.load_encoder(exported / "encoder.safetensors")
    assert encoder.calibration.pictures["images"] == "pit_reid:gallery"
    assert encoder.calibration.pictures["genuine"] != before.pictures["genuine"]
    card = files.read_json(exported / "model_card.json")
    assert card["calibration"]["pictures"] == encoder.calibration.pictures
    assert "Measured on pit_reid:gallery" in (exported / "README.md").read_text()
    assert card["scores"] is not None
    assert card["run"]["step"] == before.made_by["step"]
    # Of other weights it is refused, and the message names no step, for an export has none.
    content = files.read_json(exported / "calibration.json")
    files.write_json(
        exported / "calibration.json", {**content, "made_by": {**content["made_by"], "weights_sha256": "f" * 64}}
    )
    with pytest.raises(
        CalibrationError, match=r"does not hold for \S+exported \(.*\): calibrate again, python -m"
    ) as error:
        _ = san_jax.load_encoder(exported).calibration
    assert "None" not in str(error.value)


def test_weights_without_a_folder_of_their_own_are_not_calibrated(tmp_path):
    with pytest.raises(
        SystemExit, match=r"calibrate: rendered-small came with the package, .* copy its folder, "
    ) as end:
        calibrate.main(["--workdir=rendered-small", "--dataset=pit_reid:query+gallery"])
    assert str(pretrained.find("rendered-small").parent) in str(end.value)
    encoder = dataclasses.replace(san_jax.load_encoder("rendered-small"), calibrated_in=None)
    with pytest.raises(
        SearchError, match=r"weights.pth names a file of weights: expected the folder of a run, or of an"
    ):
        calibration_run.find_place("weights.pth", encoder)


def test_an_export_into_the_runs_own_folder_is_refused(run, tmp_path):
    run("--dataset=pit_reid:query+gallery")
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(exporting.ExportError, match="the run's own folder"):
        exporting.run(tmp_path / "run", tmp_path / "run" / ".", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


@pytest.mark.parametrize(
    ("persons", "rate", "message"),
    [
        (
            60,  # 42,480 impostor pairs
            1e-4,
            "There is no threshold for a false-match rate of 0.0001: it needs 100,000 impostor pairs (pairs of two "
            "persons), and the calibration on made_up:query+gallery has 42,480. It has a threshold for 0.01 and 0.001: "
            "ask for one of these, or calibrate on more persons.",
        ),
        (
            10,  # 1,080
            0.05,
            "There is no threshold for a false-match rate of 0.05: calibrations are made for 0.01, 0.001, 0.0001; the "
            "calibration on made_up:query+gallery has 1,080 impostor pairs (pairs of two persons). It has a threshold "
            "for 0.01: ask for that rate, or calibrate on more persons.",
        ),
        (
            4,  # 144
            None,
            "There is no threshold for a false-match rate of 0.001: it needs 10,000 impostor pairs (pairs of two "
            "persons), and the calibration on made_up:query+gallery has 144. It has no threshold for any rate: calibrate "
            "on more persons.",
        ),
    ],
)
def test_a_rate_without_a_threshold(persons, rate, message):
    found = calibration_run.calibrate(make_embeddings(persons=persons), "euclidean")
    with pytest.raises(CalibrationError) as raised:
        found.point(rate)
    assert str(raised.value) == message


def test_what_is_found_is_what_is_read(tmp_path):
    found = calibration_run.calibrate(make_embeddings(), "euclidean")
    calibration.write(tmp_path, found)
    first = (tmp_path / "calibration.json").read_bytes()
    calibration.write(tmp_path, calibration.read(tmp_path))
    assert (tmp_path / "calibration.json").read_bytes() == first


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1}', '{"version": 1, "reliability": 3}'])
def test_a_damaged_calibration_is_to_be_made_again(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(CalibrationError, match=r"calibration\.json is damaged .*: make it again with python -m exp"):
        calibration.read(tmp_path)


def test_probabilities_and_rates_on_other_persons():
    found = calibration_run.calibrate(make_embeddings(persons=200), "euclidean", seed=1)
    held_out = found.held_out
    assert (held_out["persons_learnt"], held_out["persons_checked"]) == (100, 100)
    (first, *_) = held_out["points"]
    assert first["target"] == 1e-2
    assert first["impostors"] == 100 * 99 // 2 * 6 * 4
    assert 0 < first["false_matches"] / first["impostors"] < 0.05  # learnt at 0.01, on others of the same kind
    # The persons are of one kind, so probabilities learnt on some hold for the others.
    for row in held_out["reliability"]:
        if row["genuine"] + row["impostor"] > 200:
            assert row["observed"] == pytest.approx(row["predicted"], abs=0.15)
    assert calibration_run.calibrate(make_embeddings(persons=2, of_each=2, cameras=2), "euclidean").held_out == {}


def test_the_page_shows_thresholds_and_curves():
    found = calibration_run.calibrate(make_embeddings(), "euclidean")
    found = dataclasses.replace(found, limits=("Only <here>.",))
    page = Page(calibration_page.to_html(found))
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert [label.partition(":")[0] for label in labels] == [
        "ROC",
        "Probability of the same person over distances",
        "Reliability, on persons not learnt from over predictions",
    ]
    assert "Only <here>." in page.text
    assert f"{found.points[0].threshold:.4g}" in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "link", "here"}
    # 60 x 59 / 2 pairs of persons, 36 pairs of pictures each, less 3 x 4 of one camera: 42,480 support 1e-3, not 1e-4.
    assert [point.threshold is None for point in found.points] == [False, False, True]
    assert "not supported: 42,480 impostor pairs, expected 100,000" in page.text


def test_the_page_says_that_one_half_has_too_few_pairs():
    found = calibration_run.calibrate(make_embeddings(persons=8), "euclidean")  # 4 persons: 6 x 24 pairs of two
    assert found.held_out["points"] == []
    page = Page(calibration_page.to_html(found))
    assert "has too few pairs of two persons for any of these rates" in page.text
    assert [attributes["aria-label"] for tag, attributes in page.tags if attributes.get("role") == "region"] == [
        "Thresholds"
    ]


def test_pairs_within_a_camera_count_only_where_there_is_no_other():
    several = make_embeddings()
    across = calibration_run.calibrate(several, "euclidean").pictures
    assert (across["across_cameras"], across["genuine"]) == (True, 60 * 12)
    kept = calibration_run.calibrate(several, "euclidean", same_camera="keep").pictures
    assert (kept["across_cameras"], kept["genuine"]) == (False, 60 * 15)
    for camera in (0, embedding_files.UNKNOWN):
        single = dataclasses.replace(several, camera_ids=np.full(len(several), camera))
        found = calibration_run.calibrate(single, "euclidean")
        assert (found.pictures["across_cameras"], found.pictures["genuine"]) == (False, 60 * 15)
        assert "Pairs within one camera are counted" in calibration_run._limits(found, None, "x")[1]
        with pytest.raises(
            SearchError, match=r"no person of its 60 has two pictures from two cameras.*--same_camera=keep"
        ):
            calibration_run.calibrate(single, "euclidean", same_camera="drop")


def test_what_it_cannot_say():
    found = calibration_run.calibrate(make_embeddings(), "euclidean")
    (only,) = calibration_run._limits(found, {"dataset": "other", "splits": ["train"]}, "made_up:train")
    assert "They say nothing about identities unlike those" in only
    assert (
        "like the 60 persons and 3 cameras of made_up:query+gallery"
        in calibration_run._limits(found, None, MADE_BY["images"])[0]
    )
    unknown = make_embeddings()
    unknown.camera_ids[:] = embedding_files.UNKNOWN
    words = calibration_run._limits(calibration_run.calibrate(unknown, "euclidean"), None, "made_up:train")
    assert "persons and cameras like the 60 persons of made_up:train" in words[0]
    trained = {"dataset": "made_up", "splits": ["train"]}
    assert "TRAINED ON made_up:train" in calibration_run._limits(found, trained, "made_up:train")[-1]
    assert len(calibration_run._limits(found, trained, "made_up:query+gallery")) == 1
    assert "TRAINED ON" in calibration_run._limits(found, trained, "made_up_textured:train")[-1]
    started = {"dataset": "other", "splits": ["train"], "started_from": {"runs/first": trained, "runs/old": None}}
    assert "ONE THAT IT STARTED FROM, WAS TRAINED ON" in calibration_run._limits(found, started, "made_up:train")[-1]


def test_who_is_nobody_takes_no_part():
    embeddings = make_embeddings()
    embeddings.person_ids[:12] = embedding_files.UNKNOWN
    assert calibration_run.calibrate(embeddings, "euclidean").pictures["left_out"] == 12
    market = make_embeddings(images="market1501:gallery")
    found = calibration_run.calibrate(market, "euclidean").pictures  # person 0 stands for distractors
    assert (found["persons"], found["left_out"]) == (59, 6)
    mine = make_embeddings(images="market1501_mine:gallery")  # a dataset of own pictures has no distractors
    assert calibration_run.calibrate(mine, "euclidean").pictures["left_out"] == 0
    embeddings.person_ids[:] = embedding_files.UNKNOWN
    with pytest.raises(SearchError, match="the persons of its pictures are not known"):
        calibration_run.calibrate(embeddings, "euclidean")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"persons": 9, "of_each": 1}, r"no person of its 9 has two pictures, so nothing"),
        ({"persons": 1, "of_each": 4}, r"no pair of pictures of two persons: expected at least two persons, found 1"),
    ],
)
def test_pictures_that_make_no_pairs(shape, message):
    with pytest.raises(SearchError, match=message):
        calibration_run.calibrate(make_embeddings(**shape), "euclidean")


def test_what_is_refused(run, workplace, tmp_path, capsys):  # noqa: F811
    for flags, message in (
        ((), "give either --dataset=NAME:SPLIT or --embeddings=FILE"),
        (("--dataset=a:b", "--embeddings=c"), "give either"),
        (("--embeddings=c", "--flip"), "--flip is for --dataset"),
        (("--dataset=a:b", "--same_camera=maybe"), "--same_camera"),
    ):
        with pytest.raises(SystemExit) as raised:
            run(*flags)
        assert raised.value.code == 2
        assert message in capsys.readouterr().err
    whole = san_jax.load_embeddings(workplace.gallery)
    other = {**whole.made_by, "weights_sha256": "f" * 64, "workdir": "runs/other", "step": 99}
    embedding_files.write_parquet(tmp_path / "o.parquet", [whole], other, size=128, dtype="float32")
    with pytest.raises(SystemExit, match=r"calibrate: .*o.parquet was made by runs/other at step 99, not by"):
        run(f"--embeddings={tmp_path / 'o.parquet'}")
    with pytest.raises(SystemExit, match=r"calibrate: .*no 'galery'. Did you mean 'gallery'"):
        run("--dataset=pit_reid:galery")
    with pytest.raises(SystemExit, match=r"calibrate: --images=pit_reid does not exist"):
        run("--dataset=pit_reid")
    assert not (tmp_path / "run" / "calibration.json").exists()
    assert json.loads((tmp_path / "run" / "config.json").read_text())
    assert isinstance(inference.load_encoder(tmp_path / "run").identity["weights_sha256"], str)


def test_the_python_of_the_page_runs_as_it_stands(run, workplace, tmp_path, monkeypatch, capsys):  # noqa: F811
    add_times, ask = (code for language, code in pages.Page(SEARCH_PAGE).blocks if language == "python")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "runs" / "san")
    made_by = {**san_jax.load_embeddings(workplace.gallery).made_by, "images": "made_up:test"}
    found = calibration_run.calibrate(dataclasses.replace(make_embeddings(), made_by=made_by), "euclidean")
    calibration.write("runs/san", found)
    for day in ("monday", "tuesday"):
        for number in (1, 2):
            search_runs.write_picture(tmp_path / day / f"{number}.jpg", number)
            search_runs.write_picture(tmp_path / "photos" / f"{day}{number}.jpg", number)
    exec(ask, {})
    assert "[ True  True]" in capsys.readouterr().out
    exec(add_times, {})
    embed.main(["--workdir=runs/san", "--images=photos/list.csv", "--output=timed.parquet"])
    timed = san_jax.load_embeddings("timed.parquet")
    assert len(timed) == 4
    assert timed.times is not None
    assert timed.times[0] == (tmp_path / "photos" / timed.names[0]).stat().st_mtime
