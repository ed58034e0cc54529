"""The demo's page: self-contained, escaped, marks and bold numbers where they belong, charts that show their values."""

import base64
import html.parser
import io
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

from experiments import report


def picture(colour, label="", mark=None):
    return report.Picture(np.full((16, 8, 3), colour, np.uint8), label, mark)


def make_report(**changes):
    zero = {"rank1": 0.01, "rank5": 0.05, "rank10": 0.1, "mAP": 0.02, "mINP": 0.01}
    fields = {
        "title": "A <small> demo",
        "verdict": ["SAN won on mAP & rank-1."],
        "rows": [
            report.ScoreRow("chance", dict.fromkeys(zero, 0.99), emphasis=False),
            report.ScoreRow("baseline", {**zero, "rank1": 0.301}),
            report.ScoreRow("SAN", {**zero, "rank1": 0.402, "mINP": 0.0}),
        ],
        "protocol": "same id & camera dropped",
        "fairness": ["equal <budget>"],
        "sections": [
            report.Section(
                "Ranked lists",
                "first five",
                [
                    report.Strip(
                        "query <7>", [picture(0, "query"), picture(90, "0.5", True), picture(200, "0.9", False)]
                    )
                ],
            )
        ],
        "charts": [report.Chart("loss", [report.Series("SAN", [0, 10, 20], [2.0, 1.0, 0.5])])],
        "stages": [("render", 90.0, "100 pairs"), ("train", 30.0, "4 steps")],
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
    assert not names & {"script", "link", "iframe", "object", "small", "budget", "def"}
    references = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert len(references) == 3
    assert all(value.startswith("data:image/jpeg;base64,") for value in references)
    for text in ("A <small> demo", "SAN won on mAP & rank-1.", "equal <budget>", "query <7>", "abc<def>"):
        assert text in page.text
    assert "url(" not in report.to_html(make_report())


def test_images_come_back():
    gradient = np.arange(16 * 8 * 3, dtype=np.uint8).reshape(16, 8, 3) // 2
    data = base64.b64decode(report.image_uri(gradient, quality=95).split(",")[1])
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (8, 16)
        assert np.abs(np.asarray(image).astype(int) - gradient).mean() < 3  # JPEG
    for bad in (gradient.astype(np.float32), gradient[..., 0], gradient[..., :2]):
        with pytest.raises(ValueError, match=r"expected an image uint8 \[H W 3\], found"):
            report.image_uri(bad)


def test_marks():
    text = report.to_html(make_report())
    assert len(re.findall('class="picture right"', text)) == 1
    assert len(re.findall('class="picture wrong"', text)) == 1
    assert len(re.findall('class="picture plain"', text)) == 1
    assert "&#10003; 0.5" in text
    assert "&#10007; 0.9" in text


def test_best_trained_model_is_bold():
    table = report.score_table(make_report().rows)
    chance, baseline, san = re.findall(r"<tr(?: class=dim)?><th>(?:chance|baseline|SAN).*?</tr>", table)
    assert "<b>" not in chance  # though its numbers are the highest
    assert re.findall("<b>(.*?)</b>", baseline) == ["5.0", "10.0", "2.0", "1.0"]  # ties are bold in both
    assert re.findall("<b>(.*?)</b>", san) == ["40.2", "5.0", "10.0", "2.0"]
    assert re.findall(r"<td>(.*?)</td>", baseline)[0] == "30.1"


def test_stage_total():
    text = report.to_html(make_report())
    assert "<th>all</th><td><b>120 s</b></td><td class=text>2.0 minutes</td>" in text


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
    ("low", "high", "expected"), [(0, 1, [0, 0.5, 1]), (0, 0.9, [0, 0.5, 1]), (0, 500, [0, 200, 400, 600])]
)
def test_ticks_are_round_and_cover(low, high, expected):
    assert report._ticks(low, high) == expected
