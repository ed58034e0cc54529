"""Every page and card with hostile names: they come out as text, within elements and attributes alike."""

import dataclasses
import re

import jinja2
import numpy as np
import pytest
import yaml

from experiments.ablation import report as ablation_report
from experiments.pages import calibration_page, model_card, report, search_page, template
from experiments.pages.search_page import SearchPage, Shown, ShownQuery
from san_jax.calibration import Calibration
from san_jax.verification import OperatingPoint, Reliability
from tests.experiments.pages import browser
from tests.experiments.pages.report_test import Page, make_report

PLAIN = "harmless"
HOSTILE = ("<script>alert(1)</script>", """/a "b"/c&d;/e='f'>.jpg""", "&lt;b&gt; --> </style></svg>", "{{ 7 * 7 }}")
IMAGE = np.zeros((4, 2, 3), np.uint8)


def demo(word: str) -> str:
    shown = report.LabelledImage(IMAGE, word, True)
    strip = report.Strip(word, [shown, dataclasses.replace(shown, alt=word)])
    section = report.PictureSection(word, word, [strip, report.Comparison(word, shown, [strip])])
    rows = [dataclasses.replace(row, name=word) for row in make_report().rows]
    chart = report.Chart(word, [report.Series(word, [0, 1], [0, 1])], word, word)
    words = {"title": word, "lead": section, "verdict": [word], "rows": rows, "notes": [word], "sections": [section]}
    more = {"charts": [chart], "fairness": [word], "parts": [(word, 1.0, word)], "facts": [(word, word)]}
    return report.to_html(make_report(**words, **more))


def search(word: str) -> str:
    queries = [ShownQuery(word, Shown(IMAGE), [Shown(IMAGE, word), Shown(None, word)], [IMAGE, None, None])] * 2
    return search_page.to_html(SearchPage(word, [word], queries))


def calibration(word: str) -> str:
    points = (OperatingPoint(0.1, 0.5, 1, 100, 1, 10), OperatingPoint(0.01, None, 0, 100, 0, 10))
    pictures = {"images": word, "pictures": 9, "persons": 3, "across_cameras": True, "genuine": 10, "impostor": 100}
    held_out = {"persons_learnt": 1, "persons_checked": 2, "points": [dataclasses.asdict(points[0])], "reliability": []}
    found = Calibration(
        made_by={"workdir": word, "step": 7},
        pictures=pictures,
        equal_error={"rate": 0.1, "threshold": 0.5},
        area_under_roc=0.9,
        points=points,
        roc=((0.1, 0.5), (1.0, 0.0)),
        reliability=Reliability(np.arange(2.0), np.ones(1, np.int64), np.ones(1, np.int64), np.ones(1)),
        held_out=held_out,
        limits=(word,),
    )
    return calibration_page.to_html(found)


def sections(word: str) -> list[ablation_report.Section]:
    return [ablation_report.Section(word, [word], [word, word], [[word, word]] * 2, frozenset([1]))]


def ablation(word: str) -> str:
    return ablation_report.to_html(word, sections(word))


PAGES = {page.__name__: page for page in (demo, search, calibration, ablation)}


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("name", PAGES)
def test_what_others_wrote_is_text(name, word):
    """The page is the one of a harmless word, with the word in its places."""
    plain, hostile = Page(PAGES[name](PLAIN)), Page(PAGES[name](word))
    assert PLAIN in plain.text
    assert hostile.tags == [
        (tag, {key: value.replace(PLAIN, word) for key, value in attributes.items()}) for tag, attributes in plain.tags
    ]
    assert hostile.text == plain.text.replace(PLAIN, word)


@pytest.mark.parametrize("name", PAGES)
def test_all_pages_have_one_form(name):
    text = PAGES[name](PLAIN)
    page = Page(text)
    tags = [tag for tag, _ in page.tags]
    assert text.startswith("<!doctype html>\n")
    assert [tags.count(tag) for tag in ("header", "h1", "main", "footer", "style")] == [1] * 5
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert not {"script", "link", "iframe", "object"} & set(tags)
    assert not re.search(r"url\(|@import|https?:", text)


def test_no_page_is_wider_than_a_phone_or_a_desktop(tmp_path):
    """Tables scroll by themselves, so their cells may stick out, but the page does not."""
    word = "a long name " * 8 + "and_one_without_any_space" * 8
    found = browser.widths(tmp_path, *(page(word) for page in PAGES.values()))
    assert [frame["content"] for frame in found] == [*browser.WIDTHS] * len(PAGES)


def card(word: str, **changes) -> dict:
    score = {"dataset": word, "rank1": 0.5, "mAP": None, "relation": word, "protocol": word}
    point = {"threshold": 0.5, "false_matches": 1, "impostors": 10, "false_non_matches": 3, "genuine": 4}
    pictures = {"images": word, "pictures": 9, "persons": 3}
    estimate = {"score": 0.5, "widened_interval": None}
    values = [{"value": word, "cases": 9, "persons": 3, "mAP": estimate, "rank1": estimate}] * 2
    facet = {"subject": "person", "title": word, "values": values}
    data = {"dataset": word, "splits": [word], "images": 9, "identities": 3, "started_from": {word: None}}
    return {
        "run": {"method": word, "step": 7, "averaged": True},
        "config": {},
        "input": {"shape": ["batch", 128, 64, 3]},
        "embedding_size": 8,
        "files": {"encoder.onnx": {"format": "onnx", "bytes": 1e6, "run_with": f"run(`{word}`)"}},
        "trained_on": {**data, "weights_file": {"file": word}},
        "scores": [score],
        "calibration": {"pictures": pictures, "points": [point, {**point, "threshold": None}], "limits": [word]},
        "microscope": {"findings": [word, word], "limits": [word], "facets": [facet]},
        "commit": word,
        **changes,
    }


@pytest.mark.parametrize("word", [*HOSTILE, "a|b\nc"])
def test_a_card_holds_no_html_and_whole_tables(word):
    plain, hostile = (model_card.to_markdown(card(text)) for text in (PLAIN, word))
    front = yaml.safe_load(hostile.split("---\n")[1])
    assert front["datasets"] == [word]
    assert front["model-index"][0]["results"][0]["dataset"] == {"type": word, "name": word}
    outside_code = re.sub("`[^`\n]*`", "", hostile)
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", outside_code)
    assert len(hostile.splitlines()) == len(plain.splitlines())
    bodies = [text.split("---\n", 2)[2] for text in (plain, hostile)]
    cells = [[len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] for text in bodies]
    assert cells[0] == cells[1]


def test_a_card_of_a_run_whose_pairs_are_too_few_for_a_threshold():
    assert "| too few pairs to tell | 1 of 10 | 3 of 4 |" in model_card.to_markdown(card(PLAIN)).splitlines()


def test_an_ablation_as_markdown_holds_no_html():
    text = ablation_report.to_markdown(HOSTILE[0], sections(HOSTILE[0]))
    assert "<" not in text
    assert text.endswith("| **&lt;script&gt;alert(1)&lt;/script&gt;** | **&lt;script&gt;alert(1)&lt;/script&gt;** |\n")


@pytest.mark.parametrize("name", ["base.html.j2", "ablation.md.j2"])
def test_a_value_that_is_missing_is_an_error(name):
    with pytest.raises(jinja2.UndefinedError, match="'title' is undefined"):
        template.fill(name)
