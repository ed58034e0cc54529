"""The page of a search: self-contained, escaped, for the keyboard, and no wider than a phone."""

import dataclasses
import html
import re

import numpy as np

from experiments.pages import search_page
from experiments.pages.search_page import SearchPage, Shown, ShownQuery
from tests.experiments.pages import browser
from tests.experiments.pages.report_test import Page


def make_page(queries: int = 2, matches: int = 10, *, textures: bool = True) -> SearchPage:
    picture = np.full((64, 32, 3), 90, np.uint8)
    found = [
        Shown(
            picture, f"folder/a long name without any space {i}.jpg", 0.5 + i, i % 3, [True, False, None][i % 3], i < 2
        )
        for i in range(matches)
    ]
    found[-1] = Shown(None, "gone.jpg", 99.0)
    more: list[np.ndarray | None] = [picture] * matches + [None]
    return SearchPage(
        "Search for <mine>",
        ["A note & more.", search_page.distance_words("cosine")],
        [
            ShownQuery(f"query <{i}>", Shown(picture, camera_id=4), found, more if textures else None)
            for i in range(queries)
        ],
    )


def test_the_page_is_self_contained_and_escaped():
    page = Page(search_page.to_html(make_page()))
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "mine"}
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 2 * (1 + 10) * 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    for text in ("Search for <mine>", "query <0>", "A note & more.", "cosine distance (1 - cosine similarity)"):
        assert text in page.text


def test_every_match_says_what_it_is():
    text = search_page.to_html(make_page(queries=1, textures=False))
    alts = re.findall('alt="([^"]*)"', text)
    assert alts[0] == "query query &lt;0&gt;"
    assert alts[1].endswith("0.jpg, the right person, by its distance the same person, distance 0.500")
    assert alts[2].startswith("rank 2, ")
    assert alts[2].endswith(", another person, by its distance the same person, distance 1.50")
    assert alts[10] == "rank 10, gone.jpg, distance 99.0, picture not found"
    names = re.findall("<small>([^<]*)</small>", text)
    assert (names[0], names[1]) == ("query &lt;0&gt;", "folder/a long name without any space 0.jpg")
    assert names[10] == "gone.jpg, picture not found"
    assert "0.500 cam\u00a00 same" in text
    assert "query cam\u00a04" in text
    assert "3 of the first 6 are right" in text
    assert len(re.findall('class="picture right"', text)) == 3
    assert len(re.findall('class="picture wrong"', text)) == 3
    assert "<details>" not in text
    assert '<nav class="queries"' not in text


def test_links_for_the_keyboard_lead_somewhere():
    page = Page(search_page.to_html(make_page(queries=3)))
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    links = [attributes["href"].removeprefix("#") for tag, attributes in page.tags if tag == "a"]
    assert ids == ["q1", "q2", "q3"]
    assert links == [*ids, "q2", "q1", "q3", "q2"]


# Presses nothing, but does what Tab and Enter do: each stop takes the focus and shows it, links and summaries work.
KEYBOARD = """<script>
window.addEventListener("load", () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, found = {stops: [], shown: 0, opened: 0};
  frame.focus();
  for (const stop of page.querySelectorAll("a[href], summary, [tabindex='0']")) {
    stop.focus({focusVisible: true});
    if (page.activeElement === stop) {
      found.stops.push(stop.tagName);
      found.shown += frame.contentWindow.getComputedStyle(stop).outlineStyle !== "none";
    }
    if (stop.tagName === "SUMMARY") { stop.click(); found.opened += stop.parentElement.open; }
  }
  const keyboard = document.createElement("code");
  keyboard.textContent = JSON.stringify(found);
  setTimeout(() => document.body.append(keyboard), 0);
});
</script>"""


def test_the_page_in_a_browser(tmp_path):
    page = search_page.to_html(make_page()).replace("<details>", "<details open>")
    assert browser.widths(tmp_path, page) == [{"width": width, "content": width, "out": []} for width in browser.WIDTHS]
    closed = html.escape(search_page.to_html(make_page()), quote=True)
    stops = ["A", "A", "SUMMARY", "A", "SUMMARY", "A"]
    found = browser.read(tmp_path, f'<iframe srcdoc="{closed}"></iframe>{KEYBOARD}', "code")
    assert found == {"stops": stops, "shown": len(stops), "opened": 2}


def test_a_long_list_of_queries_is_folded():
    """So that a phone shows matches first."""
    short, long = (search_page.to_html(make_page(queries=count, matches=2, textures=False)) for count in (12, 13))
    assert "<details>" not in short
    assert "<details><summary>All 13 queries</summary><ol>" in long
    part = dataclasses.replace(make_page(queries=13, matches=2, textures=False), total=1122)
    assert "<details><summary>The first 13 of 1,122 queries</summary><ol>" in search_page.to_html(part)


def test_the_legend_tells_the_threshold_s_answer_from_the_truth():
    told = search_page.to_html(make_page(queries=1))
    assert "is what the threshold says of the distance alone" in told
    shown = Shown(np.zeros((4, 2, 3), np.uint8), "a.jpg", 2.0, right=True)
    untold = search_page.to_html(SearchPage("Search", [], [ShownQuery("q", shown, [shown])]))
    assert "threshold" not in untold


def test_a_hint_comes_before_the_pictures():
    text = search_page.to_html(dataclasses.replace(make_page(), hint="Give <this>."))
    assert text.index('<p class="verdict">Give &lt;this&gt;.</p>') < text.index("<img")
    assert 'class="verdict"' not in search_page.to_html(make_page())


def test_what_is_farther_than_the_threshold_is_not_called_another_person():
    shown = Shown(np.zeros((4, 2, 3), np.uint8), "a.jpg", 2.0, same_person=False)
    page = SearchPage("Search", [], [ShownQuery("q", shown, [shown])])
    assert 'alt="rank 1, a.jpg, beyond the threshold, distance 2.00"' in search_page.to_html(page)
