"""What pages show (pictures, strips, comparisons, charts), and the demo's report made of it.

Charts are inline SVG. Pictures come before the words about them, and everything fits the width of a phone. This module
knows nothing of models or datasets: `DemoReport` is what a report holds, `to_html` writes it.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from experiments.pages import template

SCORES = (("rank1", "rank-1"), ("rank5", "rank-5"), ("rank10", "rank-10"), ("mAP", "mAP"), ("mINP", "mINP"))
# Each line of a chart has a colour, a dash pattern and a sample of the two in the legend.
_LINES = (
    ("#1a5fd0", "", "\u2501\u2501"),
    ("#c2410c", "6 3", "\u2501 \u2501"),
    ("#237032", "2 3", "\u22ef\u22ef"),
    ("#862e9c", "8 3 2 3", "\u2501 \u00b7"),
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
        name: Its name, in small letters below the label.
    """

    image: np.ndarray
    label: str = ""
    mark: bool | None = None
    alt: str = ""
    name: str = ""


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
        microscope: HTML of a section on where the models fail, see `microscope_page.section_of_models`.
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
    microscope: Markup | str = ""


def to_html(report: DemoReport) -> str:
    """Return the whole page.

    Raises:
        ValueError: A chart has values that are not finite, or an image is not uint8 [H W 3].
    """
    charts, table = [line_chart(chart) for chart in report.charts], score_table(report.rows)
    return template.fill("demo.html.j2", title=report.title, report=report, score_table=table, charts=charts)


def score_table(rows: Sequence[ScoreRow | DifferenceRow]) -> Markup:
    """Return the table of scores in percent. Differences are in points, with their interval."""
    return Markup(template.fill("scores.html.j2", scores=dict(SCORES), rows=rows))


def line_chart(chart: Chart) -> Markup:
    """Draw a line chart as inline SVG of 340x200. The y axis starts at zero, or below if values are negative.

    Raises:
        ValueError: A value is not finite, or there is no value.
    """
    xs = [x for series in chart.series for x in series.steps]
    ys = [y for series in chart.series for y in series.values]
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        raise ValueError(f"chart {chart.title!r} needs values, all of them finite.")
    x_low, x_high = min(xs), max(xs)
    y_ticks = _ticks(min(0.0, min(ys)), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    values = {
        "across": lambda x: 44 + (x - x_low) / ((x_high - x_low) or 1) * 286,
        "down": lambda y: 166 - (y - y_low) / ((y_high - y_low) or 1) * 154,
        "x_ticks": [tick for tick in _ticks(x_low, x_high) if x_low <= tick <= x_high],
        "lines": list(zip(_LINES, chart.series, strict=False)),
    }
    return Markup(template.fill("chart.html.j2", chart=chart, y_ticks=y_ticks, **values))


def _ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers that cover [low, high], in about `count` steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * count >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def three_digits(value: float) -> str:
    """Write a distance with three significant digits, zeros at its end included."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"
