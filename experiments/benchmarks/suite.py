"""All parts of `python -m experiments.benchmark`, one after the other, and the JSON that holds what they measured.

The JSON: `version` (1), `machine` and `versions` (see `environment`), `commit`, `date` (UTC, ISO 8601), `command` (the
arguments of the program) and `parts`: the name of each part that ran -> what its module's `measure` returns.
"""

import datetime
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from experiments.benchmarks import embedding, environment, feeding, ranking, render, step
from experiments.benchmarks.options import Options
from experiments.command_line.config_files import Config
from experiments.runs import provenance
from san_jax.files import write_atomic

VERSION = 1
Part = tuple[Callable[[Config, Options], dict[str, Any]], Callable[[dict[str, Any]], str]]


# Name -> what measures it, and what puts the result into words.
PARTS: dict[str, Part] = {
    "step": (lambda config, options: step.measure(config, options.step), step.table),
    "input": (feeding.measure, feeding.table),
    "embedding": (lambda config, options: embedding.measure(options.embedding), embedding.table),
    "ranking": (lambda config, options: ranking.measure(options.ranking), ranking.table),
    "rendering": (lambda config, options: render.measure(options.rendering), render.table),
}


def run(config: Config, options: Options, *, output: str | os.PathLike[str] = "") -> dict[str, Any]:
    """Measure the parts in turn, print each part's table as it is there, and write the JSON if asked to.

    Args:
        config: The config whose training steps are timed.
        options: What is measured.
        output: The JSON file to write after each part; "" for none.

    Returns:
        The content of the JSON file.
    """
    result: dict[str, Any] = {
        "version": VERSION,
        "machine": environment.machine(),
        "versions": environment.versions(),
        "commit": provenance.commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv[1:],
        "parts": {},
    }
    print(environment.describe(result["machine"], result["versions"]))
    print(f"commit {result['commit']}, {result['date']}", flush=True)
    for name in options.parts:
        measure, table = PARTS[name]
        result["parts"][name] = measure(config, options)
        print(f"\n{name}\n\n{table(result['parts'][name])}", flush=True)
        if output:
            write_atomic(output, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())
    return result
