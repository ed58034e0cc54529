"""The page of a run's calibration: error rates by threshold, the ROC, and how far probabilities can be trusted."""

import math

from experiments.pages import template
from experiments.pages.report import Chart, Series, line_chart
from san_jax.calibration import Calibration
from san_jax.counts import count
from san_jax.verification import OperatingPoint


def to_html(found: Calibration) -> str:
    """Return the whole page."""
    return template.fill(
        "calibration.html.j2",
        title="The same person?",
        found=found,
        charts=[line_chart(chart) for chart in charts(found)],
        held_out=[OperatingPoint(**point) for point in found.held_out.get("points", ())],
    )


def point_words(point: OperatingPoint) -> str:
    """Say in a line what a threshold does."""
    if point.threshold is None:
        return (
            f"false-match rate {point.target:g}: not supported, "
            f"{count(point.impostors, 'impostor pair is', 'impostor pairs are')} fewer than the "
            f"{point.needed:,} that it needs"
        )
    return (
        f"false-match rate {point.target:g}: nearer than {point.threshold:.4g}, wrong for {point.false_matches:,} of "
        f"{count(point.impostors, 'pair')} of two persons, missing {point.false_non_matches:,} of "
        f"{count(point.genuine, 'pair')} of one ({100 * point.false_non_match_rate:.2f} %)"
    )


def charts(found: Calibration) -> list[Chart]:
    """Draw the ROC, the probability by distance, and that of one half of the persons checked on the other."""
    false_match, found_rate = zip(*((math.log10(fmr), 1 - fnmr) for fmr, fnmr in found.roc if fmr > 0), strict=True)
    reliability = found.reliability
    middles = [(a + b) / 2 for a, b in zip(reliability.edges[:-1], reliability.edges[1:], strict=True)]
    drawn = [
        Chart(
            "ROC: pairs of one person that are found",
            [Series("share found", false_match, found_rate)],
            "log10 of the false-match rate",
            "false-match rates",
        ),
        Chart(
            "Probability of the same person",
            [Series("at even odds", middles, reliability.probability.tolist())],
            "distance",
            "distances",
        ),
    ]
    if found.held_out and len(found.held_out["reliability"]) > 1:
        rows = sorted(found.held_out["reliability"], key=lambda row: row["predicted"])
        predicted = [row["predicted"] for row in rows]
        lines = [
            Series("observed", predicted, [row["observed"] for row in rows]),
            Series("ideal", predicted, predicted),
        ]
        drawn.append(Chart("Reliability, on persons not learnt from", lines, "predicted probability", "predictions"))
    return drawn
