"""The microscope: scores by value beside a slow loop, the program on tiny data, and what it refuses."""

import copy
import dataclasses
import types

import numpy as np
import pytest

import datasets
from experiments import microscope as program
from experiments.pages import demo_report, microscope_page
from experiments.scoring import facets, microscope, microscope_words
from experiments.scoring.embedding import EmbeddedSplit
from experiments.scoring.facets import FACETS
from experiments.scoring.microscope import Pictures
from render import manifest
from san_jax import ranking
from san_jax.files import read_json, write_json
from tests.experiments import tiny_data
from tests.experiments.microscope_data import made_up_choices
from tests.experiments.pages import browser
from tests.experiments.pages.report_test import Page

SAMPLES = 100


def pictures(split, persons, *, cameras, seed, choices=made_up_choices):
    """Random embeddings of a picture of each person, near those of the same person."""
    rng, persons = np.random.default_rng(seed), np.asarray(persons)
    embeddings = np.random.default_rng(9).normal(size=(100, 4))[persons] + rng.normal(size=(len(persons), 4))
    described = {f"images/{split}_{number}.jpg": choices(int(person), number) for number, person in enumerate(persons)}
    return Pictures(
        EmbeddedSplit(embeddings.astype(np.float32), persons, rng.integers(*cameras, len(persons))), described
    )


@pytest.fixture(scope="module")
def splits():
    """30 persons with two queries each, 10 of them seen occluded too, and a gallery with others."""

    def hidden(person, number):
        return {**made_up_choices(person, number), "occluders": [{"cover": 0.5}]}

    return {
        "query": pictures("query", np.repeat(np.arange(30), 2), cameras=(0, 2), seed=1),
        "query_occluded": pictures("occluded", np.arange(10), cameras=(0, 2), seed=2, choices=hidden),
        "gallery": pictures("gallery", np.repeat(np.arange(40), 3), cameras=(0, 4), seed=3),
    }


@pytest.fixture(scope="module")
def found(splits):
    return microscope.examine(splits, metric="euclidean", samples=SAMPLES, seed=0)


def of_facet(found, name):
    (facet,) = (facet for facet in found["facets"] if facet["name"] == name)
    return facet, {value["value"]: value for value in facet["values"]}


def score(queries, gallery):
    """Scores (split, position) queries by the library's own protocol."""
    taken = [split.embedded.take(np.array([position])) for split, position in queries]
    query = EmbeddedSplit(
        *(np.concatenate([getattr(one, field.name) for one in taken]) for field in dataclasses.fields(EmbeddedSplit))
    )
    sides = (query, gallery.embedded)
    labels = [getattr(side, name) for name in ("person_ids", "camera_ids") for side in sides]
    return ranking.evaluate_ranking(query.embeddings, gallery.embedded.embeddings, *labels, ranks=(1,))


@pytest.mark.parametrize("name", ["view", "distance", "occlusion", "pattern", "skin_tone", "gender"])
def test_each_value_is_scored_as_its_queries_alone_are(splits, found, name):
    (definition,) = (facet for facet in FACETS if facet.name == name)
    used = [split for split in definition.splits if split in splits]
    queries = [(splits[split], position) for split in used for position in range(len(splits[split].choices))]
    # Queries without a match of another camera are no part of a facet: thirds are cut without them.
    queries = [one for one in queries if _has_match(one, splits["gallery"])]
    described = {f"{number}": list(one.choices.values())[i] for number, (one, i) in enumerate(queries)}
    groups = facets.sort_pictures(definition, described)
    facet, values = of_facet(found, name)
    assert set(values) == {groups.labels[group] for group in groups.groups}
    for label, value in values.items():
        inside = [one for one, group in zip(queries, groups.groups, strict=True) if groups.labels[group] == label]
        outside = [one for one in queries if not any(one is other for other in inside)]
        own, rest = (score(some, splits["gallery"]) if some else None for some in (inside, outside))
        assert value["cases"] == own.num_valid_queries == len(inside)
        assert value["persons"] == len({int(split.embedded.person_ids[i]) for split, i in inside})
        assert value["rank1"]["score"] == pytest.approx(own.cmc[1])
        assert value["mAP"]["score"] == pytest.approx(own.mean_ap)
        if value["compared"]:
            assert value["mAP"]["difference"] == pytest.approx(own.mean_ap - rest.mean_ap)
            low, high = value["mAP"]["widened_interval"]
            assert (low + high) / 2 == pytest.approx(value["mAP"]["difference"])
            alone = value["mAP"]["difference_interval"]
            assert high - low > alone[1] - alone[0]
        else:
            assert value["mAP"]["difference"] is value["mAP"]["widened_interval"] is None
    assert facet["splits"] == used


def _has_match(one, gallery):
    split, position = one
    same = gallery.embedded.person_ids == split.embedded.person_ids[position]
    return bool((same & (gallery.embedded.camera_ids != split.embedded.camera_ids[position])).any())


def test_pairs_of_views_rank_each_match_alone(splits, found):
    """A slow loop: each correct match among the pictures of other persons."""
    (view,) = (facet for facet in FACETS if facet.name == "view")
    query, gallery = splits["query"], splits["gallery"]
    views = [
        [facets.sort_pictures(view, {"one": choices}).groups[0] for choices in side.choices.values()]
        for side in (query, gallery)
    ]
    distances = ranking.pairwise_distances(query.embedded.embeddings, gallery.embedded.embeddings)
    expected = {}
    for q, row in enumerate(distances):
        same = gallery.embedded.person_ids == query.embedded.person_ids[q]
        for g in np.flatnonzero(same & (gallery.embedded.camera_ids != query.embedded.camera_ids[q])):
            rank = 1 + np.count_nonzero(row[~same] < row[g])
            expected.setdefault(f"{view.values[views[0][q]]} to {view.values[views[1][g]]}", []).append(rank)
    facet, values = of_facet(found, "view_pairs")
    assert facet["pairs"]
    assert {label: value["cases"] for label, value in values.items()} == {
        label: len(ranks) for label, ranks in expected.items()
    }
    for label, ranks in expected.items():
        assert values[label]["mAP"]["score"] == pytest.approx(np.mean(1 / np.array(ranks)))
        assert values[label]["rank1"]["score"] == pytest.approx(np.mean(np.array(ranks) == 1))


def test_the_same_seed_gives_the_same_and_numbers_add_up(splits, found):
    again = microscope.examine(splits, metric="euclidean", samples=SAMPLES, seed=0)
    assert again == found
    assert found["num_query"] == {"query": 60, "query_occluded": 10}
    intervals = [v[s]["widened_interval"] for f in found["facets"] for v in f["values"] for s in microscope.SCORES]
    assert found["num_differences"] == sum(interval is not None for interval in intervals) > 40
    _, values = of_facet(found, "look_alikes")
    assert [value["compared"] for value in values.values()] == [False]  # all queries have one value
    other = microscope.examine(splits, metric="euclidean", samples=SAMPLES, seed=1)
    assert other["overall"]["mAP"]["score"] == found["overall"]["mAP"]["score"]
    assert other["overall"]["mAP"]["interval"] != found["overall"]["mAP"]["interval"]


@pytest.mark.parametrize("beyond", [False, True])
def test_what_is_said_of_people(found, beyond):
    """A claim only where the widened interval leaves 0 out; else how much the intervals leave open."""
    found = {**copy.deepcopy(found), "dataset": "pit_reid", "step": 7}
    for facet in found["facets"]:
        for value in facet["values"]:
            for name in microscope.SCORES:
                value[name]["beyond_noise"] = False
    _, values = of_facet(found, "gender")
    values["man"]["mAP"] |= {"difference": -0.2, "widened_interval": [-0.9, -0.1], "beyond_noise": beyond}
    first, second, *claims, people = microscope_words.findings(found)
    assert first.startswith("57 queries of 29 persons of pit_reid, at step 7: mAP ")  # the others have no match
    assert f"{found['num_differences']} differences" in second
    if beyond:
        assert claims == ["Gender expression: man -20.0 (-90.0 to -10.0) points of mAP."]
        assert people.startswith("It fails some people more than others, beyond noise, by gender expression (of ")
    else:
        assert claims == []
        assert "no difference is beyond noise. That is no proof of equal treatment" in people
        assert people.endswith("reach as far as 90 points of mAP.")


def test_nothing_is_said_of_people_who_all_score_alike(found):
    found = {**copy.deepcopy(found), "dataset": "pit_reid", "step": 7}
    for facet in found["facets"]:
        for value in facet["values"]:
            for name in microscope.SCORES:
                value[name] |= {"difference": 0.0, "widened_interval": None, "beyond_noise": False}
    people = microscope_words.findings(found)[-1]
    assert people.endswith("nothing can be said: all persons score alike, so no difference has an interval.")


def hide(person, camera):
    """Choices of a picture that is occluded by camera 3."""
    hidden = [{"cover": 0.3}] if camera == 3 else []
    return {**made_up_choices(person, camera), "occluders": hidden}


@pytest.fixture(scope="module")
def described_dir(tmp_path_factory):
    """A data_dir with a `pit_reid` whose records say what facets read, and the folder that it was built from."""
    folder = tmp_path_factory.mktemp("described")
    tiny_data.write_pit_reid(
        folder / "rendered", train_ids=1, test_ids=11, cameras=4, partial_queries=True, choices=hide
    )
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder


def test_the_program_writes_json_and_page(scored_run, described_dir, capsys):
    program.main([f"--workdir={scored_run}", f"--data_dir={described_dir / 'data'}", f"--samples={SAMPLES}"])
    printed = capsys.readouterr().out
    found = read_json(scored_run / "microscope.json")
    assert (found["version"], found["dataset"], found["step"], found["samples"]) == (1, "pit_reid", 120, SAMPLES)
    assert found["num_query"] == {"query": 11, "query_partial": 11, "query_occluded": 11}
    _, values = of_facet(found, "occlusion")
    assert {value: (one["cases"], one["persons"]) for value, one in values.items()} == {
        "nothing": (11, 11),
        "up to 40 %": (11, 11),
    }
    assert all(sentence in printed for sentence in [*found["findings"], *found["limits"]])
    assert "differences of a value from the rest were looked at" in found["findings"][1]
    text = (scored_run / "report" / "microscope.html").read_text()
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "url(" not in text
    assert "http" not in text
    assert all(facet["title"] in page.text for facet in found["facets"])
    assert "too few persons" in page.text  # views of a few
    given = [f"--rendered={described_dir / 'rendered'}", f"--samples={SAMPLES}", "--seed=0"]
    program.main([f"--workdir={scored_run}", f"--data_dir={described_dir / 'data'}", *given])
    assert read_json(scored_run / "microscope.json") == found


def test_what_cannot_be_looked_at(scored_run, described_dir, pit_reid_dir, tmp_path, monkeypatch):
    def refuse(*arguments, data_dir=described_dir / "data"):
        with pytest.raises(SystemExit) as end:
            program.main([f"--workdir={scored_run}", f"--data_dir={data_dir}", *arguments])
        return str(end.value)

    assert "No dataset 'market1501'" in refuse("--dataset=market1501")
    lacking = refuse(data_dir=pit_reid_dir)  # records that hold a colour only
    assert "cannot be sorted by view: no 'position'. It was rendered by another version" in lacking
    tiny_data.write_pit_reid(tmp_path / "other")
    assert "was not built from" in refuse(f"--rendered={tmp_path / 'other'}")
    monkeypatch.setattr(microscope.data_sources.rendered, "read_test_records", lambda folder: None)
    assert "was built by an older version, which kept no records of its pictures: give" in refuse()
    records = manifest.read_manifest(described_dir / "rendered")[1][:-1]
    monkeypatch.setattr(microscope.data_sources.rendered, "read_test_records", lambda folder: records)
    assert "The manifest of pit_reid says nothing of 1 of the 11 pictures of query_occluded" in refuse()
    other = types.SimpleNamespace(info=types.SimpleNamespace(metadata={"partial": False}))
    monkeypatch.setattr(microscope.data_sources, "_open", lambda name, data_dir: other)
    assert "no manifest says what its pictures show" in refuse()
    assert not (scored_run / "microscope.json").exists()


@pytest.fixture(scope="module")
def complete(found):
    """What `microscope.run` returns: the made-up scores and what is said of them."""
    words = {"findings": ["<b>one"], "limits": ["two"], "workdir": "runs/<i>", "dataset": "pit_reid", "step": 7}
    return {**found, **words}


def test_the_page_escapes_names_and_marks_what_is_beyond_noise(complete):
    text = microscope_page.to_html(complete)
    page = Page(text)
    assert "Where runs/<i> fails" in page.text
    assert "<b>one" in page.text
    values = [value[score] for facet in complete["facets"] for value in facet["values"] for score in microscope.SCORES]
    assert text.count('class="beyond"') == sum(value["beyond_noise"] for value in values)
    assert text.count('class="range"') == sum(
        value["interval"] is not None
        for facet in complete["facets"]
        if len(facet["values"]) > 1
        for value in (one[score] for one in facet["values"] for score in microscope.SCORES)
    )


def test_no_page_is_wider_than_a_phone(complete, tmp_path):
    page = microscope_page.to_html(complete)
    assert browser.widths(tmp_path, page) == [{"width": width, "content": width, "out": []} for width in browser.WIDTHS]


def test_the_demo_shows_both_models_side_by_side(complete, tmp_path):
    for number, name in enumerate(demo_report.MODELS):
        write_json(tmp_path / name / "microscope.json", {**complete, "findings": [f"finding {number}"]})
    section = demo_report.microscope_section(tmp_path)
    page = Page(section)
    assert "finding 0" in page.text
    assert "finding 1" in page.text
    shown = sum(len(facet["values"]) for facet in complete["facets"] if len(facet["values"]) > 1)
    assert section.count(">baseline</span>") == section.count(">SAN</span>") == shown > 20
    assert section.count('class="bar"') == 2 * shown
