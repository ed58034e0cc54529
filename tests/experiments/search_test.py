"""The program that searches: matches are the nearest, whatever the form of gallery and query; filters, answers, refusals."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pyarrow.parquet
import pytest

import san_jax
from experiments import calibrate, embed, search
from experiments.searching import galleries, queries, search_run, verdicts
from san_jax import embedding_files, onnx_file
from san_jax.calibration import CalibrationError
from san_jax.id_words import IdWords
from tests.datasets.own import drawn
from tests.experiments import search_runs
from tests.experiments.export_runs import needs_onnx
from tests.experiments.search_runs import workplace  # noqa: F401 (a fixture)


@pytest.fixture
def find(workplace, tmp_path):  # noqa: F811
    """Runs the program, by default for pit_reid's queries, and returns what ranked.json holds."""

    def call(*flags: str, query: object = "pit_reid:query", gallery: object = workplace.gallery, name: str = "found"):
        common = [f"--workdir={workplace.run}", f"--gallery={gallery}", f"--data_dir={workplace.data_dir}"]
        search.main([*common, f"--query={query}", f"--output={tmp_path / name}", "--batch_size=8", *flags])
        return json.loads((tmp_path / name / "ranked.json").read_text())

    return call


def ranked_names(found) -> list[list[str]]:
    return [[match["name"] for match in query["matches"]] for query in found["queries"]]


@pytest.fixture
def expected(workplace):  # noqa: F811
    """Names of the gallery's pictures by distance, for each query."""
    gallery = san_jax.load_embeddings(workplace.gallery)
    source = galleries.open_gallery(workplace.gallery)
    encoder = san_jax.load_encoder(workplace.run, batch_size=8)
    wanted = queries.read("pit_reid:query", encoder, source.made_by, str(workplace.data_dir)).embeddings
    a, b = (one.embeddings.astype(np.float64) for one in (wanted, gallery))
    distances = np.sqrt(np.square(a[:, None] - b[None]).sum(axis=-1))
    order = np.argsort(distances, axis=1, kind="stable")
    return wanted, gallery, np.take_along_axis(distances, order, axis=1), order


def test_matches_are_the_nearest(find, expected, tmp_path, capsys):
    found = find("--top=4")
    wanted, gallery, distances, order = expected
    assert ranked_names(found) == [[gallery.names[i] for i in row[:4]] for row in order]
    for query, person, row, places in zip(found["queries"], wanted.person_ids, distances, order, strict=True):
        np.testing.assert_allclose([match["distance"] for match in query["matches"]], row[:4], rtol=1e-12)
        assert query["person_id"] == person
        assert [match["right"] for match in query["matches"]] == (gallery.person_ids[places[:4]] == person).tolist()
        assert [match["camera_id"] for match in query["matches"]] == gallery.camera_ids[places[:4]].tolist()
        assert [match["rank"] for match in query["matches"]] == [1, 2, 3, 4]
    assert (found["searched"], found["step"], found["metric"]) == (15, 7, "euclidean")
    assert found["same_person"]["calibrated"] is False
    assert "is not calibrated" in found["same_person"]["reason"]
    rows = list(csv.DictReader((tmp_path / "found" / "ranked.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [name for names in ranked_names(found) for name in names]
    assert {row["right"] for row in rows} <= {"true", "false"}
    assert {row["same_person"] for row in rows} == {""}
    page = (tmp_path / "found" / "index.html").read_text()
    assert page.count("<img") == 5 * (1 + 4)
    assert "picture not found" not in page
    assert page.count('class="picture right"') == sum(row["right"] == "true" for row in rows)
    printed = capsys.readouterr().out
    assert "15 pictures searched; look at" in printed
    firsts = [query["matches"][0]["right"] for query in found["queries"]]
    assert (printed.count(", the right person"), printed.count(", another person")) == (sum(firsts), 5 - sum(firsts))


@pytest.mark.parametrize(("right", "words"), [(None, ""), (True, ", the right person"), (False, ", another person")])
def test_the_terminal_says_what_is_known_of_the_nearest(right, words):
    match = search_run.Match(1, "a.jpg", 0, 0.5, 1, None, 0, None, None, None, right, True, 0.9)
    ranked = search_run.Ranked("q.jpg", None, None, None, None, 1, 1, [match])
    found = search_run.Found([ranked], 1, [], verdicts.Verdict(None, None, "none"))
    first = search_run.describe(found, search_run.Request("g", "w", "q", "o")).splitlines()[0]
    assert first == f"q.jpg: a.jpg, distance 0.500{words}, same person"


@pytest.mark.parametrize("size", [1, 4])
def test_small_blocks_find_the_same(find, workplace, monkeypatch, size):  # noqa: F811
    whole = find()
    monkeypatch.setattr(search_run.rank, "__kwdefaults__", {"size": size})
    found = find(name="again")
    assert ranked_names(found) == ranked_names(whole)
    assert found["queries"] == whole["queries"]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equal_embeddings_are_at_0_and_small_distances_are_exact(metric):
    """Float32 has 7 digits of the squared lengths: with these, it cannot tell the first 5 pictures from the query."""
    embeddings = np.full((8, 64), 10.0, np.float32)
    embeddings[:, 0] += np.array([3e-4, 2e-4, 0, 1e-4, 0, 1, 2, 3], np.float32)
    none = np.full(8, embedding_files.UNKNOWN)
    block = embedding_files.Embeddings([f"{number}.jpg" for number in range(8)], embeddings, none, none)
    wanted = queries.Queries(block.take(np.array([2])), None, [], IdWords())

    class Memory(galleries.Gallery):
        def blocks(self, filters, size=4):
            yield np.arange(8), block

    request = search_run.Request("g", "w", "q", "o", top=6)
    gallery, verdict = Memory("g", {"metric": metric}), verdicts.Verdict(None, None)
    ((ranked,), _) = search_run.rank(gallery, wanted, request, verdict, size=4)
    assert [match.number for match in ranked.matches] == [2, 4, 3, 1, 0, 5]
    a = embeddings.astype(np.float64)
    if metric == "cosine":
        a /= np.sqrt((a * a).sum(axis=1, keepdims=True))
    square = np.square(a - a[2]).sum(axis=1)
    expected = square / 2 if metric == "cosine" else np.sqrt(square)
    found = [match.distance for match in ranked.matches]
    assert (ranked.met, ranked.others) == (8, 3)  # 5 are the query's own picture, but for rounding
    assert found[:2] == [0, 0]
    np.testing.assert_allclose(found, expected[[2, 4, 3, 1, 0, 5]], rtol=1e-6)


def test_npz_and_folders_are_galleries_too(find, workplace, tmp_path):  # noqa: F811
    whole = find()
    flags = [f"--workdir={workplace.run}", "--images=pit_reid:gallery", f"--data_dir={workplace.data_dir}"]
    for name in ("g.npz", "g"):
        embed.main([*flags, f"--output={tmp_path / name}", "--batch_size=8"])
        assert find(gallery=tmp_path / name, name=f"found_{name}")["queries"] == whole["queries"]


def test_filters(find, workplace, tmp_path):  # noqa: F811
    gallery = san_jax.load_embeddings(workplace.gallery)
    cameras = dict(zip(gallery.names, gallery.camera_ids.tolist(), strict=True))
    found = find("--cameras=1,3", "--top=20")
    assert found["searched"] == 10
    assert all({cameras[name] for name in names} == {1, 3} for names in ranked_names(found))
    assert [match["number"] for match in found["queries"][0]["matches"]] == [
        gallery.names.index(name) for name in ranked_names(found)[0]
    ]
    # Queries that are the gallery itself: what is left out is the query's own camera.
    found = find("--other_cameras", "--top=20", query=workplace.gallery, name="others")
    for query, names in zip(found["queries"], ranked_names(found), strict=True):
        assert {cameras[name] for name in names} == {1, 2, 3} - {query["camera_id"]}
        assert query["met"] == len(names) == 10
        assert query["others"] == sum(not match["right"] for match in query["matches"]) == 8
    table = pyarrow.parquet.read_table(workplace.gallery)
    times = pyarrow.array([None, *range(1, 15)], pyarrow.float64())
    table = table.append_column("time", times)
    pyarrow.parquet.write_table(table.append_column("track", pyarrow.array(range(15))), tmp_path / "timed.parquet")
    found = find(
        "--after=3", "--before=1970-01-01T00:00:05", "--top=20", gallery=tmp_path / "timed.parquet", name="timed"
    )
    assert sorted(match["time"] for match in found["queries"][0]["matches"]) == [3, 4, 5]
    assert all(match["track"] == match["number"] == match["time"] for match in found["queries"][0]["matches"])
    assert "from 3 s on; up to 1970-01-01T00:00:05 UTC" in (tmp_path / "timed" / "index.html").read_text()
    assert (found["filters"]["after"], found["filters"]["before"]) == (3, 5)
    message = r"\(from 2026-11-28T08:00 UTC on\): .* Its times are seconds, as of a video .*, from 1 s to 14 s: give"
    with pytest.raises(SystemExit, match=message):
        find("--after=2026-11-28T08:00", gallery=tmp_path / "timed.parquet", name="late")


def test_a_refusal_says_when_the_pictures_were_taken(workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)
    for times, message in (
        (np.linspace(1795852800, 1795852860, 15), "from 2026-11-28 08:00:00+00:00 to 2026-11-28 08:01:00+00:00."),
        (np.full(15, np.nan), "No picture's time is known."),
    ):
        part = dataclasses.replace(whole, times=times)
        embedding_files.write_parquet(tmp_path / "t.parquet", [part], whole.made_by, size=128, dtype="float32")
        assert message in galleries.open_gallery(tmp_path / "t.parquet").times_words()


def test_filters_that_cannot_be_applied(find, tmp_path):
    with pytest.raises(SystemExit, match=r"gallery.parquet does not say when its pictures were taken"):
        find("--after=3")
    with pytest.raises(SystemExit, match=r"has no picture that could be a match \(cameras 9\): give other filters"):
        find("--cameras=9")
    picture = search_runs.write_picture(tmp_path / "a.png")
    with pytest.raises(SystemExit, match=r"--other_cameras needs the camera of each query"):
        find("--other_cameras", query=picture)


def test_other_cameras_are_known_ones(find, workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)
    cameras = np.where(whole.camera_ids == 2, embedding_files.UNKNOWN, whole.camera_ids)
    for name, ids in (("some", cameras), ("none", np.full(15, embedding_files.UNKNOWN))):
        part = dataclasses.replace(whole, camera_ids=ids)
        embedding_files.write_parquet(
            tmp_path / f"{name}.parquet", [part], whole.made_by, size=whole.embeddings.shape[1], dtype="float32"
        )
    found = find("--other_cameras", "--top=20", gallery=tmp_path / "some.parquet", name="a")
    assert {match["camera_id"] for query in found["queries"] for match in query["matches"]} == {1, 3}
    with pytest.raises(SystemExit, match=r"of other cameras\): .* Filters leave out pictures whose camera or time"):
        find("--other_cameras", gallery=tmp_path / "none.parquet", name="b")


def test_paths_that_are_formulas_to_spreadsheets():
    match = search_run.Match(
        1, "=cmd|' /C calc'!A0/1.jpg", 0, 0.5, -1, "=1+1", 0, "@door", None, None, False, None, None
    )
    text = search_run._as_csv([search_run.Ranked("+49.jpg", None, None, None, None, 1, 1, [match])])
    (row,) = csv.DictReader(text.splitlines())
    assert (row["query"], row["name"]) == ("./+49.jpg", "./=cmd|' /C calc'!A0/1.jpg")
    assert (row["person_id"], row["right"], row["time"]) == ("-1", "false", "")
    assert (row["person"], row["camera"]) == ("'=1+1", "'@door")


def test_embeddings_that_do_not_say_what_made_them_are_refused(find, workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)
    made_by = {key: value for key, value in whole.made_by.items() if key not in ("metric", "weights_sha256")}
    path, size = tmp_path / "gallery.parquet", whole.embeddings.shape[1]
    embedding_files.write_parquet(path, [whole], made_by, size=size, dtype="float32")
    for options in ({"gallery": path}, {"query": path}):
        with pytest.raises(SystemExit, match=r"gallery\.parquet does not say what made .* lack weights_sha256, metric"):
            find(**options)


def test_pictures_of_ones_own(find, workplace, tmp_path, capsys):  # noqa: F811
    """A gallery and queries of files; bad ones are named; a picture finds itself; moved pictures are found by --images."""
    photos = tmp_path / "photos"
    for number in range(4):
        search_runs.write_picture(photos / "deep" / f"{number}.png", number)
    (photos / "0_bad.jpg").write_bytes(b"\xff\xd8\xff and no more")
    gallery = tmp_path / "photos.npz"
    embed.main([f"--workdir={workplace.run}", f"--images={photos}", f"--output={gallery}", "--batch_size=8"])
    found = find(query=photos / "deep" / "2.png", gallery=gallery, name="one")
    assert [query["query"] for query in found["queries"]] == ["2.png"]
    best = found["queries"][0]["matches"][0]
    assert (best["name"], best["right"], best["person_id"]) == ("deep/2.png", None, None)
    length = float(np.linalg.norm(san_jax.load_embeddings(gallery).embeddings[best["number"]]))
    assert best["distance"] <= 1e-5 * length  # not always 0: the picture was in another place of its batch
    found = find(query=photos, gallery=gallery, name="all")
    assert [names[0] for names in ranked_names(found)] == [f"deep/{number}.png" for number in range(4)]
    (left_out,) = found["left_out"]
    assert left_out[0] == "0_bad.jpg"
    assert "left out 0_bad.jpg: not a readable picture" in capsys.readouterr().out
    shutil.move(photos, tmp_path / "moved")
    query = tmp_path / "moved" / "deep" / "2.png"
    find(query=query, gallery=gallery, name="lost")
    page = (tmp_path / "lost" / "index.html").read_text()
    assert page.count(", picture not found</small>") == page.count(', picture not found"') == 4
    hint = "The pictures of the gallery are not where they were (give --images): no match has a picture."
    assert page.index(hint) < page.index("<section")
    assert hint in capsys.readouterr().out
    assert "<small>deep/0.png, picture not found</small>" in page
    (tmp_path / "some" / "deep").mkdir(parents=True)
    shutil.copy(query, tmp_path / "some" / "deep")
    find(f"--images={tmp_path / 'some'}", query=query, gallery=gallery, name="some_found")
    assert "(give --images): 3 of the 4 matches shown have no picture." in capsys.readouterr().out
    find(f"--images={tmp_path / 'moved'}", query=query, gallery=gallery, name="again")
    page = (tmp_path / "again" / "index.html").read_text()
    assert "picture not found" not in page
    assert "not where they were" not in page + capsys.readouterr().out
    assert "<small>deep/0.png</small>" in page
    with pytest.raises(SystemExit, match=r"its only picture cannot be read:\n0_bad.jpg: not a readable"):
        find(query=tmp_path / "moved" / "0_bad.jpg", gallery=gallery, name="bad")


def test_textures(find, workplace, tmp_path):  # noqa: F811
    find("--textures", "--top=2")
    page = (tmp_path / "found" / "index.html").read_text()
    assert page.count("<summary>Textures of these pictures</summary>") == 5
    assert page.count('alt="texture of ') == 5 * (1 + 2)
    regressor = san_jax.load_regressor(workplace.run)
    size = regressor.texture_size
    assert f'width="{size[1]}" height="{size[0]}" alt="texture of rank 1"' in page


def test_answers_of_a_calibrated_run(find, workplace, tmp_path, monkeypatch):  # noqa: F811
    shutil.copytree(workplace.run, tmp_path / "run")
    calibrate.main([f"--workdir={tmp_path / 'run'}", f"--embeddings={workplace.gallery}"])
    encoder = san_jax.load_encoder(tmp_path / "run")
    common = [f"--workdir={tmp_path / 'run'}", "--batch_size=8", "--overwrite"]
    with pytest.raises(SystemExit, match=r"rate of 0.001: it needs 10,000 impostor pairs"):
        find(*common, "--false_match_rate=0.001")
    assert "no threshold" in find(*common)["same_person"]["reason"]
    monkeypatch.setattr(san_jax.calibration, "FALSE_MATCH_RATES", (0.25,))
    monkeypatch.setattr("experiments.searching.calibration_run.FALSE_MATCH_RATES", (0.25,))
    calibrate.main([f"--workdir={tmp_path / 'run'}", f"--embeddings={workplace.gallery}"])
    encoder = san_jax.load_encoder(tmp_path / "run")
    found = find(*common, "--false_match_rate=0.25")
    point = encoder.calibration.points[0]
    assert found["same_person"]["threshold"] == point.threshold
    assert found["same_person"]["false_match_rate"] == point.false_match_rate <= 0.25
    matches = [match for query in found["queries"] for match in query["matches"]]
    assert [match["same_person"] for match in matches] == [match["distance"] < point.threshold for match in matches]
    assert len({match["same_person"] for match in matches}) == 2
    assert all(0 <= match["probability"] <= 1 for match in matches)
    assert find(*common)["same_person"]["target"] == 0.25  # where none is asked for: the lowest one that there is
    page = (tmp_path / "found" / "index.html").read_text()
    assert "by its distance the same person" in page
    assert "They say nothing about identities unlike those" in page
    # 5 persons, 3 pictures of each: a query meets 12 of other persons.
    assert "Each query meets 12 pictures here not known to show its person" in page
    assert f"by chance is about {12 * point.false_match_rate:.2g}." in page
    assert "meets 10 to 15 pictures here" in " ".join(
        verdicts.find(encoder, galleries.open_gallery(workplace.gallery).made_by, 0.25).words([15, 10])
    )
    # Not for embeddings that were averaged with those of mirrored pictures.
    flipped = {**galleries.open_gallery(workplace.gallery).made_by, "flip": True}
    assert "flip: False there, True here" in verdicts.find(encoder, flipped, None).reason
    with pytest.raises(CalibrationError, match="does not hold for these embeddings"):
        verdicts.find(encoder, flipped, 0.25)


def test_a_gallery_of_another_run_is_refused(find, workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)
    other = {**whole.made_by, "weights_sha256": "f" * 64, "workdir": "runs/other", "step": 99}
    path = tmp_path / "other.parquet"
    embedding_files.write_parquet(path, [whole], other, size=128, dtype="float32")
    message = (
        rf"other.parquet was made by runs/other at step 99, not by {workplace.run} at step 7 \(weights_sha256: ffff"
    )
    with pytest.raises(SystemExit, match=message):
        find(gallery=path)
    with pytest.raises(SystemExit, match=r"--query=.* was made by runs/other at step 99, the gallery by"):
        find(query=path)
    with pytest.raises(SystemExit, match=r"absent.parquet does not exist: expected a file or folder of"):
        find(gallery=tmp_path / "absent.parquet")
    with pytest.raises(SystemExit, match=r"search: --query=absent does not exist: expected a picture, a folder of"):
        find(query="absent")
    assert not (tmp_path / "found").exists()


def test_an_earlier_search_is_kept(find, tmp_path):
    find("--top=2")
    before = (tmp_path / "found" / "ranked.json").read_bytes()
    with pytest.raises(
        SystemExit, match=r"found holds an earlier search \(ranked.json, ranked.csv, index.html\): give"
    ):
        find("--top=3")
    assert (tmp_path / "found" / "ranked.json").read_bytes() == before
    assert len(find("--top=3", "--overwrite")["queries"][0]["matches"]) == 3


def test_a_damaged_gallery_is_named(find, workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)
    embeddings = whole.embeddings.copy()
    embeddings[11] = np.nan
    whole = dataclasses.replace(whole, embeddings=embeddings)
    path = tmp_path / "nan.parquet"
    embedding_files.write_parquet(path, [whole], whole.made_by, size=128, dtype="float32")
    with pytest.raises(
        SystemExit, match=r"nan.parquet, pictures from .* on: NaN or infinity in 1 of 15 gallery embeddings"
    ):
        find(gallery=path)


@needs_onnx
def test_onnx_finds_the_same(find):
    assert ranked_names(find("--runtime=onnx")) == ranked_names(find(name="jax"))


def test_onnx_that_is_absent(find, monkeypatch):
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(SystemExit, match=r"search: ONNX needs no_such_package"):
        find("--runtime=onnx")


def test_only_so_many_queries_are_shown(find, monkeypatch, tmp_path):
    monkeypatch.setattr(search_run, "MAX_SHOWN", 2)
    monkeypatch.setattr(search_run, "MAX_LINES", 1)
    assert len(find("--top=1")["queries"]) == 5
    page = (tmp_path / "found" / "index.html").read_text()
    assert page.count("<section") == 2
    assert "The first 2 of 5 queries; ranked.json and ranked.csv hold all." in page


def test_wrong_command_lines(find, capsys):
    for flag, message in (
        ("--after=noon", "expected seconds, or a date"),
        ("--cameras=,", "expected the words of cameras or their numbers from 0, such as door,yard or 0,2, found ','"),
        ("--cameras=-1", "found '-1'"),
        ("--top=0", "--top"),
    ):
        with pytest.raises(SystemExit) as raised:
            find(flag)
        assert raised.value.code == 2
        assert message in capsys.readouterr().err


@pytest.fixture
def shop(workplace, tmp_path):  # noqa: F811
    """A data_dir with `shop`, own pictures of persons and cameras with words, and a run and its gallery of them."""
    names = [f"{who}/{camera}/{n}.jpg" for who in ("anna", "bob") for camera in ("door", "yard") for n in (1, 2)]
    drawn.build(drawn.draw(tmp_path / "pictures", names), tmp_path / "data", "shop", test_share=1.0)
    gallery = tmp_path / "shop.parquet"
    flags = [f"--workdir={workplace.run}", "--images=shop:gallery", f"--data_dir={tmp_path / 'data'}"]
    embed.main([*flags, f"--output={gallery}", "--batch_size=8"])
    return gallery


def test_results_have_the_words_of_own_pictures(find, shop, tmp_path, capsys):
    found = find("--data_dir", str(tmp_path / "data"), query="shop:query", gallery=shop)
    rows = list(csv.DictReader((tmp_path / "found" / "ranked.csv").read_text().splitlines()))
    for query in found["queries"]:
        for one, name in [(query, query["query"]), *((match, match["name"]) for match in query["matches"])]:
            assert [one["person"], one["camera"]] == name.split("/")[:2]
            assert (one["person_id"], one["camera_id"]) == (
                ["anna", "bob"].index(one["person"]),
                ["door", "yard"].index(one["camera"]),
            )
    assert all([row["person"], row["camera"]] == row["name"].split("/")[:2] for row in rows)
    page = (tmp_path / "found" / "index.html").read_text()
    assert "query anna door" in page
    assert "cam\u00a0" not in page
    best = found["queries"][0]["matches"][0]
    assert f"{best['name']}, {best['person']}, {best['camera']}, distance" in capsys.readouterr().out


def test_words_not_numbers_say_who_is_right_across_datasets(find, shop, workplace, tmp_path):  # noqa: F811
    """Another dataset numbers the same persons and cameras otherwise."""
    names = [f"{who}/{camera}/{n}.jpg" for who in ("aaron", "anna") for camera in ("attic", "door") for n in (1, 2)]
    drawn.build(drawn.draw(tmp_path / "other", names), tmp_path / "data", "other", test_share=1.0)
    for query, name in (("other:query", "one"), ("other.npz", "two")):
        if name == "two":
            flags = [f"--workdir={workplace.run}", "--images=other:query", f"--data_dir={tmp_path / 'data'}"]
            embed.main([*flags, f"--output={tmp_path / query}", "--batch_size=8"])
            query = tmp_path / query
        flags = ("--data_dir", str(tmp_path / "data"), "--other_cameras")
        found = find(*flags, query=query, gallery=shop, name=name)
        for one in found["queries"]:
            assert all(match["right"] == (match["person"] == one["person"]) for match in one["matches"])
            assert all(match["camera"] != one["camera"] for match in one["matches"])
        assert any(match["right"] for one in found["queries"] for match in one["matches"])


def test_cameras_are_asked_for_by_the_words_of_the_gallery(find, shop, tmp_path):
    flags = ("--data_dir", str(tmp_path / "data"), "--top=20")
    yard = find("--cameras=yard", *flags, query="shop:query", gallery=shop, name="a")
    assert {match["camera"] for query in yard["queries"] for match in query["matches"]} == {"yard"}
    assert yard["filters"]["cameras"] == [1]
    assert "Only cameras yard." in (tmp_path / "a" / "index.html").read_text()
    assert find("--cameras=1", *flags, query="shop:query", gallery=shop, name="b")["queries"] == yard["queries"]
    both = find("--cameras=yard, 0", *flags, query="shop:query", gallery=shop, name="c")
    assert {match["camera"] for query in both["queries"] for match in query["matches"]} == {"door", "yard"}
    with pytest.raises(
        SystemExit, match=r"--cameras=yard,attic: the gallery has no camera attic\. .* are door, yard\."
    ):
        find("--cameras=yard,attic", *flags, query="shop:query", gallery=shop, name="d")
    with pytest.raises(SystemExit, match=r"no camera cam2\. Its words for cameras are none: give their numbers"):
        find("--cameras=2,cam2", name="e")


def test_a_number_that_is_a_word_is_the_word():
    words = IdWords(cameras={0: "1", 1: "2", 2: "door"})
    assert galleries.Filters(asked=("2", "door", "0", "7")).numbered(words).cameras == (1, 2, 0, 7)
    assert galleries.Filters().numbered(words) == galleries.Filters()


def test_words_that_are_malformed(find, shop, tmp_path):
    whole = san_jax.load_embeddings(shop)
    assert whole.made_by["names"] == {
        "persons": {"0": "anna", "1": "bob"},
        "cameras": {"0": "door", "1": "yard"},
    }
    made_by = {**whole.made_by, "names": {"persons": ["anna"]}}
    path = tmp_path / "bad.parquet"
    embedding_files.write_parquet(path, [whole], made_by, size=128, dtype="float32")
    with pytest.raises(SystemExit, match=r"bad.parquet: the words of its persons and cameras are malformed: expected"):
        find(gallery=path)
