"""Results of an evaluation as lines for a terminal."""

import textwrap
from collections.abc import Mapping
from typing import Any

from experiments.runs import batch_norm
from experiments.scoring import protocols
from san_jax.counts import count


def describe(summary: Mapping[str, Any]) -> str:
    """A result for the console: the protocol, then scores and chance in percent."""
    lines = [
        f"{summary['dataset']}{' (PARTIAL)' * summary['partial']}: {count(summary['num_query'], 'query', 'queries')} "
        f"({summary['num_valid_queries']:,} with a match), "
        f"{count(summary['num_gallery'], 'gallery image')}; {summary['workdir']} at step {summary['step']}"
        + "".join(f", {words}" for words in _adapted(summary)),
        *_wrap(summary["protocol"]),
        *_score_lines(summary),
    ]
    for result in _further_results(summary).values():
        lines += [*_wrap(result["protocol"]), *_score_lines(result)]
    return "\n".join(lines)


def _adapted(summary: Mapping[str, Any]) -> list[str]:
    """Words where the statistics of batch normalisation are not the run's."""
    return list(filter(None, [batch_norm.brief(summary["batch_norm"])]))


def _further_results(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The results of a benchmark's other protocols: name -> result."""
    names = {
        "single_shot": "single-shot",
        **{split: split for split in protocols.find(summary["dataset"]).more_queries},
    }
    return {name: summary[key] for key, name in names.items() if key in summary}


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_on_hyphens=False)


def _score_lines(result: Mapping[str, Any]) -> list[str]:
    names = list(result["chance"])
    return [
        " " * 8 + "".join(f"{name:>9}" for name in names),
        f"{'score %':<8}" + "".join(_percent(result[name]) for name in names),
        f"{'chance %':<8}" + "".join(_percent(result["chance"][name]) for name in names),
    ]


def _percent(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{100 * value:9.2f}"


def table(summaries: Mapping[str, Mapping[str, Any]], failures: Mapping[str, str]) -> str:
    """The scores of several datasets in percent, a line each, and those that could not be scored."""
    names = [*(f"rank{rank}" for rank in protocols.RANKS), "mAP", "mINP"]
    rows: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
    for dataset, summary in summaries.items():
        rows.append((dataset, summary, summary))
        rows += [(f"{dataset}, {name}", result, summary) for name, result in _further_results(summary).items()]
    width = max((len(name) for name in [*failures, *(name for name, _, _ in rows), "%"]), default=0)
    lines = [f"{'%':<{width}}" + "".join(f"{name:>9}" for name in names)]
    for label, result, summary in rows:
        note = ", ".join([summary["relation"], *(["PARTIAL"] if summary["partial"] else []), *_adapted(summary)])
        lines.append(f"{label:<{width}}" + "".join(_percent(result[name]) for name in names) + f"  {note}")
    lines += [f"{name:<{width}}  not scored: {reason.splitlines()[0]}" for name, reason in failures.items()]
    return "\n".join(lines)
