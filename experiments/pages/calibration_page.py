"""The page of a run's calibration: error rates by threshold, the ROC, and how far probabilities can be trusted."""

import html
import math
from collections.abc import Sequence

from experiments.pages.report import Chart, Series, document, line_chart, paragraphs, table
from san_jax.calibration import Calibration
from san_jax.verification import MIN_SUPPORT, OperatingPoint


def to_html(found: Calibration) -> str:
    """Return the whole page."""
    pictures = found.pictures
    across = "of two cameras" if pictures["across_cameras"] else "of any cameras, the same one included"
    lead = [
        f"{found.made_by['workdir']} at step {found.made_by['step']}, on {pictures['images']}: {pictures['pictures']:,} "
        f"pictures of {pictures['persons']:,} persons. Pairs {across}: {pictures['genuine']:,} show one person, "
        f"{pictures['impostor']:,} two.",
        f"Equal error rate {100 * found.equal_error['rate']:.2f} % at the distance {found.equal_error['threshold']:.4g}. "
        f"A pair of one person is nearer than a pair of two in {100 * found.area_under_roc:.2f} % of the cases.",
    ]
    lines = [
        f'<div class="verdict">{paragraphs(lead)}</div>',
        "<h2>Thresholds</h2>",
        _points(found.points),
        "<h2>Curves</h2>",
        f'<div class="charts">{"".join(line_chart(chart) for chart in charts(found))}</div>',
        *_held_out(found),
        "<h2>What this cannot say</h2>",
        f'<div class="note">{paragraphs(found.limits)}</div>',
    ]
    return document("The same person?", lines)


def point_words(point: OperatingPoint) -> str:
    """Say in a line what a threshold does."""
    if point.threshold is None:
        return (
            f"false-match rate {point.target:g}: not supported, {point.impostors:,} impostor pairs are fewer than the "
            f"{math.ceil(MIN_SUPPORT / point.target - 1e-6):,} that it needs"
        )
    return (
        f"false-match rate {point.target:g}: nearer than {point.threshold:.4g}, wrong for {point.false_matches:,} of "
        f"{point.impostors:,} pairs of two persons, missing {point.false_non_matches:,} of {point.genuine:,} pairs of one "
        f"({100 * point.false_non_match_rate:.2f} %)"
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


def _points(points: Sequence[OperatingPoint]) -> str:
    heads = ("false-match rate", "nearer than", "wrong", "of impostor pairs", "missed", "of genuine pairs", "missed, %")
    rows = [_row(heads, "col")]
    for point in points:
        if point.threshold is None:
            rows.append(
                f'<tr><th scope="row">{point.target:g}</th><td class="text" colspan="6">not supported: '
                f"{point.impostors:,} impostor pairs, expected {math.ceil(MIN_SUPPORT / point.target - 1e-6):,}</td></tr>"
            )
        else:
            values = (point.false_matches, point.impostors, point.false_non_matches, point.genuine)
            cells = [
                f"{point.threshold:.4g}",
                *(f"{value:,}" for value in values),
                f"{100 * point.false_non_match_rate:.2f}",
            ]
            rows.append(_row([f"{point.target:g}", *cells]))
    return table("points", "Thresholds", rows)


def _held_out(found: Calibration) -> list[str]:
    if not found.held_out:
        return []
    heads = ("false-match rate asked for", "nearer than", "false-match rate", "missed, %")
    rows = [_row(heads, "col")]
    for kept in found.held_out["points"]:
        point = OperatingPoint(**kept)
        cells = [f"{point.threshold:.4g}", f"{point.false_match_rate:.2g}", f"{100 * point.false_non_match_rate:.2f}"]
        rows.append(_row([f"{point.target:g}", *cells]))
    words = (
        f"Thresholds learnt on {found.held_out['persons_learnt']:,} of the persons, and what they do on the other "
        f"{found.held_out['persons_checked']:,}: so far may the rates be off for other persons of the same kind."
    )
    return ["<h2>On other persons</h2>", paragraphs([words]), table("points", "On other persons", rows)]


def _row(cells: Sequence[str], scope: str = "row") -> str:
    if scope == "col":
        return "<tr>" + "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in cells) + "</tr>"
    first, *others = cells
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>"
