"""The demo's report: one self-contained HTML page.

Images are inlined as data URIs and charts as SVG; the page loads nothing and runs no script. All text is escaped.
Pictures come before the words about them, and everything fits the width of a phone. This module knows nothing of models
or datasets: `DemoReport` is what a report holds, `to_html` writes it.
"""

import base64
import dataclasses
import html
import io
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from PIL import Image

SCORES = (("rank1", "rank-1"), ("rank5", "rank-5"), ("rank10", "rank-10"), ("mAP", "mAP"), ("mINP", "mINP"))
# Each line of a chart has a colour, a dash pattern and a sample of the two in the legend.
_LINES = (
    ("#1a5fd0", "", "&#9473;&#9473;"),
    ("#c2410c", "6 3", "&#9473; &#9473;"),
    ("#237032", "2 3", "&#8943;&#8943;"),
    ("#862e9c", "8 3 2 3", "&#9473; &#183;"),
)


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A row of the table: scores of a model or of chance.

    Attributes:
        name: Name of the model.
        scores: Scores rank1, rank5, rank10, mAP and mINP, fractions in [0, 1].
        emphasis: Whether the row is set in full colour, as those of the trained models are.
        ahead: Keys of the scores, set in bold, in which this row is certainly ahead of the others.
    """

    name: str
    scores: Mapping[str, float]
    emphasis: bool = True
    ahead: Collection[str] = ()


@dataclasses.dataclass(frozen=True)
class DifferenceRow:
    """A row of the table that compares two rows.

    Attributes:
        name: Names of the two rows, one minus the other.
        differences: Difference of each score, a fraction in [-1, 1].
        intervals: Confidence interval (low, high) of each difference.
    """

    name: str
    differences: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: Name of the line.
        steps: Steps of training, on the x axis.
        values: A finite value for each step.
    """

    label: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A line chart, of a loss over the steps of training if nothing else is said.

    Attributes:
        title: What the lines show.
        series: The lines.
        x_label: What stands below the x axis.
        over: What the lines run over, in the words for readers who do not see them.
    """

    title: str
    series: Sequence[Series]
    x_label: str = "step"
    over: str = "training"


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image with the words below it.

    Attributes:
        image: The image, uint8 [H W 3].
        label: Short text below it.
        mark: True for a right match, False for a wrong one, None for neither.
        alt: What it shows, for readers who do not see it. If empty, it is the label, preceded by the caption of the
            strip.
    """

    image: np.ndarray
    label: str = ""
    mark: bool | None = None
    alt: str = ""


@dataclasses.dataclass(frozen=True)
class Strip:
    """Images side by side under one caption."""

    caption: str
    images: Sequence[LabelledImage]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One query and the ranked lists of several models, side by side (on a phone one below the other)."""

    caption: str
    query: LabelledImage
    lists: Sequence[Strip]


@dataclasses.dataclass(frozen=True)
class PictureSection:
    """A heading, figures, and below them a paragraph.

    Attributes:
        title: The heading.
        text: The paragraph.
        figures: The figures.
        height: Height at which the images of strips are shown, pixels.
    """

    title: str
    text: str
    figures: Sequence[Strip | Comparison]
    height: int = 128


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """Everything on the page, in its order.

    Attributes:
        title: Heading of the page.
        lead: Section at the top of the page.
        verdict: Sentences on which model is ahead, and how sure that is.
        rows: Rows of the table of scores.
        notes: How to read the table and how the scores were made, a paragraph each.
        sections: Further sections of images.
        charts: Loss curves.
        fairness: Items on what is equal between the models and what is not.
        parts: Parts of the demo, each (name, seconds, what it made).
        facts: Pairs (name, value) on hardware, commit, seeds and versions.
    """

    title: str
    lead: PictureSection
    verdict: Sequence[str]
    rows: Sequence[ScoreRow | DifferenceRow]
    notes: Sequence[str]
    sections: Sequence[PictureSection]
    charts: Sequence[Chart]
    fairness: Sequence[str]
    parts: Sequence[tuple[str, float, str]]
    facts: Sequence[tuple[str, str]]


def to_html(report: DemoReport) -> str:
    """Return the whole page.

    Raises:
        ValueError: A chart has values that are not finite, or an image is not uint8 [H W 3].
    """
    lines = [
        _section(report.lead),
        "<h2>Scores</h2>",
        '<div class="verdict">' + paragraphs(report.verdict) + "</div>",
        score_table(report.rows),
        '<div class="note">' + paragraphs(report.notes) + "</div>",
        *(_section(section) for section in report.sections),
        '<h2>Loss curves</h2><div class="charts">',
        *(line_chart(chart) for chart in report.charts),
        "</div>",
        "<h2>What is equal, and what is not</h2>",
        "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in report.fairness) + "</ul>",
        "<h2>Time of each part</h2>",
        _time_table(report.parts),
        "<h2>How this was made</h2>",
        table(
            "facts",
            "How this was made",
            [
                f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
                for name, value in report.facts
            ],
        ),
    ]
    return document(report.title, lines)


def document(title: str, lines: Sequence[str], style: str = "") -> str:
    """Return a page with a heading.

    Args:
        title: The heading.
        lines: HTML below it.
        style: CSS that only this page needs.
    """
    start = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}{style}</style></head><body><main>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    return "\n".join([*start, *lines, "</main></body></html>\n"])


def score_table(rows: Sequence[ScoreRow | DifferenceRow]) -> str:
    """Return the table of scores in percent. Differences are in points, with their interval."""
    heads = "".join(f'<th scope="col">{name}</th>' for _, name in SCORES)
    lines = [f'<tr><th scope="col">%</th>{heads}</tr>']
    for row in rows:
        if isinstance(row, DifferenceRow):
            kind = ' class="difference"'
            cells = [_difference_cell(row.differences[key], *row.intervals[key]) for key, _ in SCORES]
        else:
            kind = "" if row.emphasis else ' class="dim"'
            texts = {key: f"{100 * row.scores[key]:.1f}" for key, _ in SCORES}
            cells = [f"<b>{text}</b>" if key in row.ahead else text for key, text in texts.items()]
        values = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr{kind}><th scope="row">{html.escape(row.name)}</th>{values}</tr>')
    return table("scores", "Scores", lines)


def _difference_cell(difference: float, low: float, high: float) -> str:
    return f"{100 * difference:+.1f}<small>{100 * low:+.1f} to {100 * high:+.1f}</small>"


def paragraphs(lines: Sequence[str]) -> str:
    """Return a paragraph for each text."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def table(kind: str, label: str, rows: Sequence[str]) -> str:
    """Return a table that scrolls by itself, by keyboard too, if it is wider than the page."""
    body = "\n".join(rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(label)}">'
        f'<table class="{kind}">{body}</table></div>'
    )


def image_uri(image: np.ndarray, *, quality: int = 88) -> str:
    """Encode an image uint8 [H W 3] as a JPEG data URI.

    Raises:
        ValueError: The image has another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image uint8 [H W 3], found {image.dtype} {list(image.shape)}.")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def line_chart(chart: Chart, *, width: int = 340, height: int = 200) -> str:
    """Draw a line chart as inline SVG. The y axis starts at zero, or below if values are negative.

    Raises:
        ValueError: A value is not finite, or there is no value.
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

    ends = "; ".join(
        f"{series.label} from {series.values[0]:.3g} to {series.values[-1]:.3g}"
        for series in chart.series
        if len(series.values)
    )
    label = html.escape(f"{chart.title} over {chart.over}: {ends}.")
    parts = [f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{label}">']
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
    for (colour, dashes, _), series in zip(_LINES, chart.series, strict=False):
        points = " ".join(
            "{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(series.steps, series.values, strict=True)
        )
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dashed}/>')
    parts.append("</svg>")
    legend = " ".join(
        f'<span style="color:{colour}"><span aria-hidden="true">{sample}</span> {html.escape(series.label)}</span>'
        for (colour, _, sample), series in zip(_LINES, chart.series, strict=False)
    )
    return f"<figure><figcaption><b>{html.escape(chart.title)}</b><br>{legend}</figcaption>{''.join(parts)}</figure>"


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers that cover [low, high], in about `count` steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _section(section: PictureSection) -> str:
    figures = "".join(
        comparison_figure(figure) if isinstance(figure, Comparison) else _strip(figure, section.height)
        for figure in section.figures
    )
    return (
        f'<h2>{html.escape(section.title)}</h2><div class="figures">{figures}</div><p>{html.escape(section.text)}</p>'
    )


def _strip(strip: Strip, height: int) -> str:
    images = "".join(_image(image, height, strip.caption) for image in strip.images)
    return f'<figure><figcaption>{html.escape(strip.caption)}</figcaption><div class="row">{images}</div></figure>'


def comparison_figure(comparison: Comparison) -> str:
    """Return a query beside its ranked lists."""
    lists = "".join(
        f'<div class="list"><h3>{html.escape(strip.caption)}</h3>'
        f'<div class="ranks">{"".join(_image(image) for image in strip.images)}</div></div>'
        for strip in comparison.lists
    )
    return (
        f'<figure class="comparison"><figcaption>{html.escape(comparison.caption)}</figcaption>'
        f'<div class="sides">{_image(comparison.query)}{lists}</div></figure>'
    )


def three_digits(value: float) -> str:
    """Write a distance with three significant digits, zeros at its end included."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _image(image: LabelledImage, height: int | None = None, caption: str = "") -> str:
    """Return an image with its label, `height` pixels high or as wide as its place. `caption` is that of its strip."""
    kind = {True: "right", False: "wrong", None: "plain"}[image.mark]
    sign = {True: "&#10003; ", False: "&#10007; ", None: ""}[image.mark]
    label = f"<span>{sign}{html.escape(image.label)}</span>" if sign or image.label else ""
    alt = html.escape(image.alt or ": ".join(filter(None, (caption, image.label))), quote=True)
    rows, columns = image.image.shape[:2]
    shown = (columns, rows) if height is None else (round(columns * height / rows), height)
    return (
        f'<div class="picture {kind}"><img src="{image_uri(image.image)}" width="{shown[0]}" height="{shown[1]}" '
        f'alt="{alt}">{label}</div>'
    )


def _time_table(parts: Sequence[tuple[str, float, str]]) -> str:
    total = sum(seconds for _, seconds, _ in parts)
    rows = [*parts, ("all", total, f"{total / 60:.1f} minutes")]
    return table(
        "parts",
        "Time of each part",
        [
            f'<tr><th scope="row">{html.escape(name)}</th><td>{seconds:.0f} s</td>'
            f'<td class="text">{html.escape(made)}</td></tr>'
            for name, seconds, made in rows
        ],
    )


_STYLE = """
*{box-sizing:border-box}
body{margin:0;background:#f6f7f9;color:#1b1f24;font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1200px;margin:0 auto;padding:20px 28px 60px;background:#fff;overflow-wrap:anywhere}
h1{font-size:26px;line-height:1.25;margin:4px 0 12px}h2{font-size:19px;margin:30px 0 10px;border-bottom:1px solid #e3e6ea;padding-bottom:4px}
h1+h2{margin-top:0}h3{font-size:14px;margin:0 0 4px}p,ul{max-width:80ch}
.verdict{background:#eef4ff;border-left:4px solid #1a5fd0;padding:6px 16px;margin:0 0 14px}.verdict p,.note p{margin:6px 0}
.verdict p:first-child{font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:8px 0}
th{text-align:left;font-weight:600;padding:5px 14px 5px 0;vertical-align:top;overflow-wrap:normal}
td{text-align:right;padding:5px 14px;font-variant-numeric:tabular-nums;vertical-align:top;overflow-wrap:normal}
td.text,.facts td{text-align:left;overflow-wrap:anywhere}.parts td{white-space:nowrap}.parts td.text{white-space:normal}
tr+tr{border-top:1px solid #eceef1}.scores{font-size:17px}.scores [scope=col]+[scope=col]{text-align:right;padding:5px 14px}
.difference small{display:block;font-size:12px}
.dim,.difference,.note,.picture,figcaption{color:#57606a}.note{font-size:14px}
figure{margin:0;min-width:0}figcaption{font-size:13px;margin-bottom:3px}
.figures{display:flex;flex-wrap:wrap;gap:14px 28px}.row{display:flex;flex-wrap:wrap;gap:6px}
.comparison{width:100%}.sides{display:grid;grid-template-columns:112px minmax(0,1fr) minmax(0,1fr);gap:8px 24px;align-items:start}
.sides>.picture{padding-top:22px}.ranks{display:grid;grid-template-columns:repeat(5,minmax(0,1fr));gap:6px}
.picture{font-size:12px;line-height:1.3;text-align:center}.picture span{display:block}
.picture img{display:block;max-width:100%;height:auto;border-radius:3px}.sides img{width:100%}
.right img{border:4px solid #237032}.wrong img{border:4px solid #c92a2a}.right span{color:#237032}.wrong span{color:#b42318}
.charts{display:flex;flex-wrap:wrap;gap:16px}svg{max-width:100%;height:auto}
svg text{font-size:10px;fill:#57606a}svg .grid{stroke:#e3e6ea}
@media (max-width:700px){
main{padding:12px 14px 40px}h1{font-size:21px}
.sides{grid-template-columns:minmax(0,1fr)}.sides>.picture{padding-top:0;width:84px}
th{padding-right:6px}td,.scores [scope=col]+[scope=col]{padding:5px 4px}.scores{font-size:13px}.difference small{font-size:11px}
.figures{gap:14px}.row{gap:4px}
}
"""
