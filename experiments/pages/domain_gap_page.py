"""The page of a domain gap: how real and rendered pictures differ, with a histogram of each statistic and no picture."""

import numpy as np

from experiments.domain.gap import Difference, Gap
from experiments.domain.gap_run import Request
from experiments.domain.statistics import NAMES, WORDS
from experiments.pages import template
from experiments.pages.report import Chart, Series, line_chart

BINS = 24
_TAILS = (0.5, 99.5)  # percentiles of all pictures that the bins lie between; what is beyond counts to the end bins


def to_html(found: Gap, request: Request, real: np.ndarray, rendered: np.ndarray) -> str:
    """Return the whole page.

    Args:
        found: The differences.
        request: What was compared.
        real: Statistics of the real pictures [pictures statistics].
        rendered: Those of the rendered ones.
    """
    charts = [
        line_chart(histogram(difference, real[:, column], rendered[:, column]))
        for difference in found.differences
        for column in [NAMES.index(difference.name)]
    ]
    return template.fill(
        "domain_gap.html.j2",
        title=f"{request.rendered} beside {request.real}",
        found=found,
        request=request,
        words=WORDS,
        charts=charts,
    )


def histogram(difference: Difference, real: np.ndarray, rendered: np.ndarray) -> Chart:
    """Draw the two distributions of a statistic, each as shares of its own pictures in percent."""
    low, high = np.percentile(np.concatenate([real, rendered]), _TAILS)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    middles = (0.5 * (edges[1:] + edges[:-1])).tolist()
    series = []
    for name, values in (("real", real), ("rendered", rendered)):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        series.append(Series(name, middles, (100.0 * counts / len(values)).tolist()))
    return Chart(
        f"{difference.name.replace('_', ' ')}: distance {difference.distance:.2f}",
        series,
        WORDS[difference.name].partition(",")[0],
        "the statistic, in percent of the pictures",
    )
