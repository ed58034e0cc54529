"""What `python -m experiments.train_compile` does."""

import os
from collections.abc import Sequence

from experiments.command_line.config_files import Config
from experiments.compiling import report, topologies
from experiments.runs.plan import resolve
from san_jax import files

KNOWN_ERRORS = (ValueError, OSError)  # their messages say what to do


def run(
    config: Config,
    topology: str,
    *,
    num_classes: int,
    kinds: Sequence[str] = (),
    output: str | os.PathLike[str] | None = None,
) -> bool:
    """Compile the steps of a config, print what they need and write it as JSON.

    Args:
        config: A training config.
        topology: What to compile for, see `topologies.open_topology`.
        num_classes: Training identities.
        kinds: The kinds of batches whose steps to compile; empty takes all.
        output: JSON file; None writes none.

    Returns:
        Whether all steps fit into the devices' memory.

    Raises:
        ValueError: The config or the topology is wrong, or nothing can be compiled for it here.
        OSError: The file cannot be written.
    """
    plan, devices = resolve(config), topologies.open_topology(topology)
    print(f"{devices.title}, compiled by {devices.compiler}", flush=True)
    steps = {}
    for kind, step in report.compile_plan(plan, devices, num_classes=num_classes, kinds=kinds):
        print(report.to_text(kind, step), flush=True)
        steps[kind] = step
    if output is not None:
        files.write_json(output, {**report.describe(plan, devices, num_classes), "steps": steps})
    return all(step["fits"] for step in steps.values())
