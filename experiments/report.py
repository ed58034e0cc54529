"""The demo's report: one self-contained HTML page.

Images are inlined as data URIs, charts are inline SVG, the page loads nothing and runs no script. All text is
escaped. This module knows nothing of models or datasets: `DemoReport` says what a report holds, `to_html` writes it.
"""

import base64
import dataclasses
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

SCORES = (("rank1", "rank-1"), ("rank5", "rank-5"), ("rank10", "rank-10"), ("mAP", "mAP"), ("mINP", "mINP"))
_COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c")


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A row of the table.

    Attributes:
        name: The model.
        scores: rank1, rank5, rank10, mAP, mINP as fractions in [0, 1].
        emphasis: Whether the row is one of the trained models (chance is not).
    """

    name: str
    scores: Mapping[str, float]
    emphasis: bool = True


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart: values (finite) at steps."""

    label: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A line chart of one loss part over the steps of training."""

    title: str
    series: Sequence[Series]
    x_label: str = "step"


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image uint8 [H W 3] with what it shows; `mark` True is a right match, False a wrong one, None neither."""

    image: np.ndarray
    label: str = ""
    mark: bool | None = None


@dataclasses.dataclass(frozen=True)
class Strip:
    """Pictures side by side under one caption."""

    caption: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, a paragraph, and strips of pictures; `height` is the height at which pictures are shown."""

    title: str
    text: str
    strips: Sequence[Strip]
    height: int = 128


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """Everything on the page, in its order.

    Attributes:
        title: Heading of the page.
        verdict: Sentences on who won, first thing on the page.
        rows: The table of scores.
        protocol: How the scores were made, in words.
        fairness: What is equal between the models and what is not, one item a line.
        sections: Pictures.
        charts: Loss curves.
        stages: (stage, seconds, what it made).
        facts: (name, value): hardware, commit, seeds, versions.
    """

    title: str
    verdict: Sequence[str]
    rows: Sequence[ScoreRow]
    protocol: str
    fairness: Sequence[str]
    sections: Sequence[Section]
    charts: Sequence[Chart]
    stages: Sequence[tuple[str, float, str]]
    facts: Sequence[tuple[str, str]]


def to_html(report: DemoReport) -> str:
    """The whole page.

    Raises:
        ValueError: A chart has values that are not finite, or a picture is not uint8 [H W 3].
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(report.title)}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{html.escape(report.title)}</h1>",
        '<div class="verdict">' + "".join(f"<p>{html.escape(line)}</p>" for line in report.verdict) + "</div>",
        score_table(report.rows),
        f'<p class="note">{html.escape(report.protocol)}</p>',
        "<h2>What is equal, and what is not</h2>",
        "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in report.fairness) + "</ul>",
        *(_section(section) for section in report.sections),
        '<h2>Loss curves</h2><div class="charts">',
        *(line_chart(chart) for chart in report.charts),
        "</div><h2>Time of each stage</h2>",
        _stage_table(report.stages),
        "<h2>How this was made</h2><table class=facts>",
        *(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in report.facts),
        "</table></main></body></html>\n",
    ]
    return "\n".join(parts)


def score_table(rows: Sequence[ScoreRow]) -> str:
    """The table in percent; the best trained model of each column is set in bold."""
    trained = [row for row in rows if row.emphasis]
    best = {key: max((row.scores[key] for row in trained), default=math.inf) for key, _ in SCORES}
    lines = ["<table class=scores><tr><th>%</th>" + "".join(f"<th>{name}</th>" for _, name in SCORES) + "</tr>"]
    for row in rows:
        cells = []
        for key, _ in SCORES:
            text = f"{100 * row.scores[key]:.1f}"
            cells.append(
                f"<td><b>{text}</b></td>" if row.emphasis and row.scores[key] == best[key] else f"<td>{text}</td>"
            )
        lines.append(f"<tr{'' if row.emphasis else ' class=dim'}><th>{html.escape(row.name)}</th>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def image_uri(image: np.ndarray, *, quality: int = 88) -> str:
    """An image uint8 [H W 3] as a JPEG data URI.

    Raises:
        ValueError: The image is of another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image uint8 [H W 3], found {image.dtype} {list(image.shape)}.")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def line_chart(chart: Chart, *, width: int = 340, height: int = 200) -> str:
    """A line chart as inline SVG; the y axis starts at zero (or below, where values are).

    Raises:
        ValueError: A value is not finite, or there is none.
    """
    xs = [x for series in chart.series for x in series.steps]
    ys = [y for series in chart.series for y in series.values]
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        raise ValueError(f"chart {chart.title!r} needs values, all of them finite.")
    left, right, top, bottom = 44, 10, 12, 34
    x_low, x_high = min(xs), max(xs)
    y_ticks = _ticks(min(0.0, min(ys)), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return left + across * (width - left - right), height - bottom - up * (height - top - bottom)

    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">']
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 3.5:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{height - bottom + 14}" text-anchor="middle">{tick:g}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 4}" text-anchor="middle">{html.escape(chart.x_label)}</text>')
    for colour, series in zip(_COLOURS, chart.series, strict=False):
        points = " ".join(
            "{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(series.steps, series.values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    parts.append("</svg>")
    legend = " ".join(
        f'<span style="color:{colour}">&#9644; {html.escape(series.label)}</span>'
        for colour, series in zip(_COLOURS, chart.series, strict=False)
    )
    return f"<figure><figcaption><b>{html.escape(chart.title)}</b><br>{legend}</figcaption>{''.join(parts)}</figure>"


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that cover [low, high], about `count` steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _section(section: Section) -> str:
    strips = []
    for strip in section.strips:
        pictures = "".join(_picture(picture, section.height) for picture in strip.pictures)
        strips.append(
            f'<div class="strip"><div class="caption">{html.escape(strip.caption)}</div>'
            f'<div class="row">{pictures}</div></div>'
        )
    return (
        f"<h2>{html.escape(section.title)}</h2><p>{html.escape(section.text)}</p>"
        f'<div class="strips">{"".join(strips)}</div>'
    )


def _picture(picture: Picture, height: int) -> str:
    kind = {True: "right", False: "wrong", None: "plain"}[picture.mark]
    sign = {True: "&#10003; ", False: "&#10007; ", None: ""}[picture.mark]
    label = f"<span>{sign}{html.escape(picture.label)}</span>" if sign or picture.label else ""
    alt = html.escape(picture.label, quote=True)
    return (
        f'<div class="picture {kind}"><img src="{image_uri(picture.image)}" height="{height}" alt="{alt}">{label}</div>'
    )


def _stage_table(stages: Sequence[tuple[str, float, str]]) -> str:
    rows = [
        f"<tr><th>{html.escape(name)}</th><td>{seconds:.0f} s</td><td class=text>{html.escape(made)}</td></tr>"
        for name, seconds, made in stages
    ]
    total = sum(seconds for _, seconds, _ in stages)
    rows.append(f"<tr><th>all</th><td><b>{total:.0f} s</b></td><td class=text>{total / 60:.1f} minutes</td></tr>")
    return "<table class=stages>" + "\n".join(rows) + "</table>"


_STYLE = """
body{margin:0;background:#f6f7f9;color:#1b1f24;font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1040px;margin:0 auto;padding:24px 28px 60px;background:#fff}
h1{font-size:26px;margin:8px 0 16px}h2{font-size:19px;margin:34px 0 8px;border-bottom:1px solid #e3e6ea;padding-bottom:4px}
.verdict{background:#eef4ff;border-left:4px solid #1f6feb;padding:6px 16px;margin:0 0 18px}.verdict p{margin:6px 0}
table{border-collapse:collapse;margin:8px 0}th{text-align:left;font-weight:600;padding:5px 14px 5px 0;vertical-align:top}
td{text-align:right;padding:5px 14px;font-variant-numeric:tabular-nums}td.text,.facts td{text-align:left}
tr+tr{border-top:1px solid #eceef1}.scores{font-size:17px}.dim{color:#7a828c}.note{color:#57606a;font-size:14px}
.strips{display:flex;flex-wrap:wrap;gap:12px 28px}.caption{font-size:13px;color:#57606a;margin-bottom:3px}.row{display:flex;flex-wrap:wrap;gap:6px}
.picture{font-size:12px;text-align:center;color:#57606a}.picture img{display:block;border:4px solid transparent;border-radius:3px}
.right img{border-color:#2b8a3e}.wrong img{border-color:#e03131}.right span{color:#2b8a3e}.wrong span{color:#c92a2a}
.charts{display:flex;flex-wrap:wrap;gap:16px}figure{margin:0}figcaption{font-size:13px}
svg text{font-size:10px;fill:#57606a}svg .grid{stroke:#e3e6ea}
"""
