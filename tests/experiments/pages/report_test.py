"""The demo's page: self-contained, escaped, pictures first, wide enough for no phone, marks where they belong."""

import base64
import html.parser
import io
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from experiments.pages import report, template
from tests.experiments.pages import browser


def picture(colour, label="", mark=None):
    return report.LabelledImage(np.full((16, 8, 3), colour, np.uint8), label, mark)


SCORES = {"rank1": 0.01, "rank5": 0.05, "rank10": 0.1, "mAP": 0.02, "mINP": 0.01}


def comparison(number, pictures=2):
    marks = [picture(90, "0.5", True), picture(200, "0.9", False)]
    lists = [report.Strip(f"{name} list", (marks * pictures)[:pictures]) for name in ("baseline", "SAN")]
    return report.Comparison(f"query <{number}>", picture(0, "query"), lists)


def make_report(**changes):
    fields = {
        "title": "A <tiny> demo",
        "lead": report.PictureSection("Ranked lists", "first five", [comparison(7)]),
        "verdict": ["SAN is ahead on mAP & rank-1."],
        "rows": [
            report.ScoreRow("chance", dict.fromkeys(SCORES, 0.99), emphasis=False),
            report.ScoreRow("baseline", {**SCORES, "rank1": 0.301}),
            report.ScoreRow("SAN", {**SCORES, "rank1": 0.402, "mINP": 0.0}, ahead=["rank1"]),
            report.DifferenceRow("SAN - baseline", {**SCORES, "rank1": 0.101}, dict.fromkeys(SCORES, (-0.02, 0.2))),
        ],
        "notes": ["same id & camera dropped"],
        "fairness": ["equal <budget>"],
        "sections": [
            report.PictureSection("Textures", "eight of them", [report.Strip("identity <3>", [picture(9, "truth")])])
        ],
        "charts": [report.Chart("loss", [report.Series("SAN", [0, 10, 20], [2.0, 1.0, 0.5])])],
        "parts": [("render", 90.0, "100 pairs"), ("train", 30.0, "4 steps")],
        "facts": [("commit", "abc<def>")],
    }
    return report.DemoReport(**{**fields, **changes})


class Page(html.parser.HTMLParser):
    """Collects tags and checks that they close in order."""

    VOID = ("meta", "img", "br", "line", "polyline")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_page_is_self_contained_and_escaped():
    page = Page(report.to_html(make_report()))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "tiny", "budget", "def"}
    references = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert len(references) == 6
    assert all(value.startswith("data:image/jpeg;base64,") for value in references)
    for text in ("A <tiny> demo", "SAN is ahead on mAP & rank-1.", "equal <budget>", "query <7>", "abc<def>"):
        assert text in page.text
    assert "url(" not in report.to_html(make_report())


def test_images_come_back():
    gradient = np.arange(16 * 8 * 3, dtype=np.uint8).reshape(16, 8, 3) // 2
    data = base64.b64decode(template.image_uri(gradient, quality=95).split(",")[1])
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (8, 16)
        assert np.abs(np.asarray(image).astype(int) - gradient).mean() < 3  # JPEG
    for bad in (gradient.astype(np.float32), gradient[..., 0], gradient[..., :2]):
        with pytest.raises(ValueError, match=r"expected an image uint8 \[H W 3\], found"):
            template.image_uri(bad)


def test_pictures_come_before_words():
    page = Page(report.to_html(make_report()))
    tags = [tag for tag, _ in page.tags]
    assert tags.index("figure") < tags.index("p")
    assert tags.index("img") < tags.index("table")
    assert page.text.index("query <7>") < page.text.index("first five") < page.text.index("SAN is ahead")
    assert page.text.index("identity <3>") < page.text.index("eight of them")


def test_both_models_stand_beside_each_other_for_each_query():
    lead = report.PictureSection("Ranked lists", "", [comparison(number) for number in range(3)])
    text = report.to_html(make_report(lead=lead))
    figures = re.findall('<figure class="comparison">.*?</figure>', text, re.DOTALL)
    assert len(figures) == 3
    for number, figure in enumerate(figures):
        assert f"query &lt;{number}&gt;" in figure
        # One grid holds the query and both lists.
        (grid,) = re.findall('<div class="sides">.*', figure, re.DOTALL)
        assert re.findall("<h3>(.*?)</h3>", grid) == ["baseline list", "SAN list"]
        assert grid.count("<img") == 1 + 2 * 2
    assert re.search(r"\.sides\{display:grid;grid-template-columns:\S+ minmax\(0,1fr\) minmax\(0,1fr\)", text)


def test_every_picture_and_chart_says_what_it_shows():
    page = Page(report.to_html(make_report()))
    alts = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alts == ["query", "0.5", "0.9", "0.5", "0.9", "identity <3>: truth"]
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert labels == ["loss over training: SAN from 2 to 0.5."]
    strip = report.Strip("s", [report.LabelledImage(picture(1).image, "x", None, 'a "b"')])
    page = Page(report.to_html(make_report(lead=report.PictureSection("", "", [strip]))))
    assert next(attributes["alt"] for tag, attributes in page.tags if tag == "img") == 'a "b"'


def test_tables_scroll_by_keyboard_and_name_their_heads():
    page = Page(report.to_html(make_report()))
    regions = [attributes for _, attributes in page.tags if attributes.get("class") == "scroll"]
    assert len(regions) == sum(tag == "table" for tag, _ in page.tags) == 3
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in regions)
    assert all(attributes["scope"] in ("row", "col") for tag, attributes in page.tags if tag == "th")


FOUR_LINES = report.Chart("L", [report.Series(name, [0, 1], [0, 1]) for name in "abcd"])


def luminance(colour):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_has_enough_contrast():
    """WCAG AA asks for 4.5:1; the darkest ground on which text stands is that of the verdict."""
    text = report.to_html(make_report())
    colours = set(re.findall(r"(?<![-\w])(?:color|fill):(#[0-9a-f]{6})", text)) | set(
        re.findall('stroke="(#[0-9a-f]{6})"', report.line_chart(FOUR_LINES))
    )
    assert len(colours) >= 6
    for colour in colours:
        ratio = (luminance("#eef4ff") + 0.05) / (luminance(colour) + 0.05)
        assert ratio >= 4.5, (colour, ratio)


def test_lines_of_a_chart_differ_by_more_than_colour():
    drawn = re.findall("<polyline[^>]*>", report.line_chart(FOUR_LINES))
    assert len({re.search('stroke-dasharray="([^"]*)"|$', line)[1] for line in drawn}) == 4


def test_page_is_no_wider_than_a_phone_or_a_desktop(tmp_path):
    wide = np.full((64, 300, 3), 90, np.uint8)
    page = report.to_html(
        make_report(
            lead=report.PictureSection(
                "Ranked lists", "word " * 50, [comparison(number, pictures=10) for number in range(2)]
            ),
            rows=[
                *make_report().rows,
                report.ScoreRow("SAN, query_occluded", dict.fromkeys(SCORES, 1.0), emphasis=False),
            ],
            sections=[
                report.PictureSection(
                    "Wide", "", [report.Strip("many", [picture(9, f"camera {i}") for i in range(12)])]
                ),
                report.PictureSection("Wider", "", [report.Strip("one", [report.LabelledImage(wide, "wide")])]),
            ],
            fairness=["a" * 200],
            facts=[("commit", "0123456789" * 8)],
        )
    )
    assert browser.widths(tmp_path, page) == [{"width": width, "content": width, "out": []} for width in browser.WIDTHS]


def test_what_is_ahead_is_bold_and_nothing_else():
    table = report.score_table(make_report().rows)
    chance, baseline, san, difference = re.findall(r"<tr[^>]*><th scope=\"row\">.*?</tr>", table)
    assert "<b>" not in chance  # though its numbers are the highest
    assert "<b>" not in baseline  # though its mINP is higher than that of SAN
    assert re.findall("<b>(.*?)</b>", san) == ["40.2"]
    assert re.findall(r"<td>(.*?)</td>", baseline)[0] == "30.1"
    assert re.findall(r"<td>(.*?)</td>", difference)[0] == "+10.1<small>-2.0 to +20.0</small>"


def test_marks():
    text = report.to_html(make_report())
    assert len(re.findall('class="picture right"', text)) == 2
    assert len(re.findall('class="picture wrong"', text)) == 2
    assert len(re.findall('class="picture plain"', text)) == 2
    assert "&#10003; 0.5" in text
    assert "&#10007; 0.9" in text


def test_time_of_all_parts():
    text = report.to_html(make_report())
    assert '<th scope="row">all</th><td>120 s</td><td class="text">2.0 minutes</td>' in text


def chart_points(figure):
    svg = xml.etree.ElementTree.fromstring(re.search("<svg.*</svg>", figure, re.DOTALL)[0])
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()] for line in svg.findall("polyline")
    ]


def test_chart_is_linear_in_its_values():
    chart = report.Chart("L", [report.Series("a", [0, 50, 100], [0.0, 1.0, 4.0]), report.Series("b", [0], [2.0])])
    (first, middle, last), (other,) = chart_points(report.line_chart(chart))
    assert middle[0] == pytest.approx((first[0] + last[0]) / 2, abs=0.11)  # coordinates have one decimal
    assert first[1] - middle[1] == pytest.approx((first[1] - last[1]) / 4, abs=0.11)
    assert first[1] - other[1] == pytest.approx((first[1] - last[1]) / 2, abs=0.11)
    assert last[1] < first[1]  # larger values stand higher


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-2.0, 5.0], [1e-5, 3e-5], [12345.0, 6.0]])
def test_chart_stays_inside(values):
    chart = report.Chart("L", [report.Series("a", list(range(len(values))), values)])
    for x, y in chart_points(report.line_chart(chart))[0]:
        assert 0 <= x <= 340
        assert 0 <= y <= 200


def test_chart_refuses_what_it_cannot_draw():
    for values in ([], [1.0, float("nan")]):
        chart = report.Chart("loss", [report.Series("a", list(range(len(values))), values)])
        with pytest.raises(ValueError, match="chart 'loss' needs values, all of them finite"):
            report.line_chart(chart)


@pytest.mark.parametrize(
    ("highest", "expected"), [(1, ["0", "0.5", "1"]), (0.9, ["0", "0.5", "1"]), (500, ["0", "200", "400", "600"])]
)
def test_ticks_are_round_and_cover_the_values(highest, expected):
    drawn = report.line_chart(report.Chart("L", [report.Series("a", [0, 1], [0, highest])]))
    assert re.findall('text-anchor="end">([^<]*)<', drawn) == expected
