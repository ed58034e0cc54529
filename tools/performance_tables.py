"""Makes the figures and tables of docs/performance.md: compiles the steps that they list, for devices that are not here.

    .venv-compile/bin/python -m tools.performance_tables                          # everything, some hours for the TPUs
    .venv-compile/bin/python -m tools.performance_tables --only=h100_san,h100_baseline
    python -m tools.performance_tables --only=                                    # the tables again, from the figures

The figures of each compilation are written to docs/performance/NAME.json; those in docs/performance/before are of
earlier code and stay as they are. `make compile-env` sets up the environment. tests/experiments/compiling/
figures_test.py holds the figures of one H100 within 3 %.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import command_line
from experiments.benchmarks.sizes import TRAINING_IDENTITIES
from san_jax import files

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "docs" / "performance"
PAGE = REPOSITORY / "docs" / "performance.md"

Figures = Mapping[str, Any]
"""The figures of a step, see `experiments.compiling.report.measure`, with the devices that it was compiled for."""


@dataclasses.dataclass(frozen=True)
class Compilation:
    """Steps that are compiled together.

    Attributes:
        config: The config with its changes.
        topology: What it is compiled for.
        steps: The kinds of batches.
    """

    config: str
    topology: str
    steps: tuple[str, ...] = ("reid",)

    @property
    def arguments(self) -> list[str]:
        """The arguments of `experiments.train_compile`."""
        return [f"--config={self.config}", f"--topology={self.topology}", f"--steps={','.join(self.steps)}"]


_BF16 = "model.compute_dtype=bfloat16"


def _san(identities: int) -> str:
    """Return SAN in bfloat16 with `identities` x 4 images in a batch of either kind."""
    return f"san.py:{_BF16},batch.num_identities={identities},batch.pit_size={4 * identities}"


COMPILATIONS = {
    "h100_baseline": Compilation(f"baseline.py:{_BF16}", "h100:1"),
    "h100_san": Compilation(_san(16), "h100:1", ("reid", "pit")),
    "h100_san_256": Compilation(_san(64), "h100:1"),
    "h100_san_float32": Compilation("san.py", "h100:1"),
    "h100_san_float32_256": Compilation("san.py:batch.num_identities=64,batch.pit_size=256", "h100:1"),
    "h200_san": Compilation(_san(16), "h200:1"),
    "a100_san": Compilation(_san(16), "a100:1"),
    "l4_san": Compilation(_san(16), "l4:1"),
    "h100_8_san": Compilation(_san(128), "h100:8"),
    "h100_32_san": Compilation(_san(512), "h100:32"),
    "v5e_baseline": Compilation(f"baseline.py:{_BF16}", "v5e:1"),
    "v5e_san": Compilation(_san(16), "v5e:1", ("reid", "pit")),
    "v5e_2x2_san": Compilation(_san(64), "v5e:2x2"),
    "v5e_4x8_san": Compilation(_san(128), "v5e:4x8"),
    "v5e_16x16_san": Compilation(_san(1024), "v5e:16x16"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: Its first cell.
        compilation: A key of `COMPILATIONS`.
        step: The kind of batch.
    """

    title: str
    compilation: str
    step: str = "reid"


def _gib(key: str) -> Callable[[Figures], str]:
    return lambda step: f"{step['memory'][key] / 2**30:.2f}" if key in step["memory"] else ""


def _peak(step: Figures) -> str:
    share = step["memory"]["peak"] / step["memory"]["available"]
    return (
        f"{step['memory']['peak'] / 2**30:.2f} ({share:.0%})" if step["fits"] else f"**{_gib('peak')(step)}: too much**"
    )


def _collectives(step: Figures) -> str:
    kinds = (f"{each['count']:,} {each['kind']} ({each['bytes'] / 1e6:,.0f} MB)" for each in step["collectives"])
    return ", ".join(kinds) or "none"


Columns = Mapping[str, Callable[[Figures], str]]
"""Name of a column -> what stands in it."""

_STEP: Columns = {
    "kernels": lambda step: f"{step['kernels']:,}",
    "product TFLOP": lambda step: f"{step['product_flops'] / 1e12:.2f}",
    "GB moved": lambda step: f"{step['bytes'] / 1e9:.1f}",
    "FLOPs a byte": lambda step: f"{step['intensity']:.0f}",
    "peak GiB": _gib("peak"),
    "bound, images/s": lambda step: f"{step['bound']['images_per_second']:,.0f}",
}
_SCALING: Columns = {
    "images a device": lambda step: f"{step['batch'] // step['devices']}",
    "temporary GiB": _gib("temporary"),
    "peak GiB (of what JAX may use)": _peak,
    "collectives": _collectives,
    "bound, images/s a device": lambda step: f"{step['bound']['images_per_second_of_a_device']:,.0f}",
}

TABLES: dict[str, tuple[str, Columns, list[Row]]] = {
    "h100": (
        "step, images a batch",
        _STEP,
        [
            Row("baseline reID, bfloat16, 64", "h100_baseline"),
            Row("SAN reID, bfloat16, 64", "h100_san"),
            Row("SAN PIT, bfloat16, 64", "h100_san", "pit"),
            Row("SAN reID, bfloat16, 256", "h100_san_256"),
            Row("SAN reID, float32, 64", "h100_san_float32"),
            Row("SAN reID, float32, 256", "h100_san_float32_256"),
        ],
    ),
    "devices": (
        "device",
        _STEP,
        [
            Row("L4", "l4_san"),
            Row("A100", "a100_san"),
            Row("H100", "h100_san"),
            Row("H200", "h200_san"),
            Row("TPU v5e", "v5e_san"),
        ],
    ),
    "scaling": (
        "devices",
        _SCALING,
        [
            Row("1 H100", "h100_san"),
            Row("8 H100", "h100_8_san"),
            Row("32 H100", "h100_32_san"),
            Row("v5e, one chip", "v5e_san"),
            Row("v5e 2x2", "v5e_2x2_san"),
            Row("v5e 4x8", "v5e_4x8_san"),
            Row("v5e 16x16", "v5e_16x16_san"),
        ],
    ),
    "v5e": (
        "step, images a batch",
        _STEP,
        [
            Row("baseline reID, bfloat16, 64", "v5e_baseline"),
            Row("SAN reID, bfloat16, 64", "v5e_san"),
            Row("SAN PIT, bfloat16, 64", "v5e_san", "pit"),
        ],
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("tools.performance_tables", __doc__)
    parser.add_argument(
        "--only", type=command_line.comma_list, help="compilations to make, separated by commas (default: all)"
    )
    arguments = parser.parse_args(argv)
    names = list(COMPILATIONS) if arguments.only is None else arguments.only
    unknown = [name for name in names if name not in COMPILATIONS]
    if unknown:
        parser.error(f"--only={','.join(unknown)}: expected some of {', '.join(COMPILATIONS)}")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in names:
        compile_figures(COMPILATIONS[name], FOLDER / f"{name}.json")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(text), encoding="utf-8")


def compile_figures(compilation: Compilation, output: pathlib.Path) -> None:
    """Compile steps and write their figures, whether they fit or not."""
    from experiments.command_line import config_files  # not before: --help needs no JAX
    from experiments.compiling import program

    config = config_files.load(compilation.config)
    classes = TRAINING_IDENTITIES["market1501"]
    program.run(config, compilation.topology, num_classes=classes, kinds=compilation.steps, output=output)


def with_tables(page: str) -> str:
    """Return the page with its tables made again from the figures that are there."""
    for name in TABLES:
        start, end = f"<!-- table {name} -->\n", f"<!-- end of table {name} -->"
        page, found = re.subn(
            f"({re.escape(start)}).*?({re.escape(end)})",
            lambda match, name=name: f"{match[1]}\n{table(name)}\n{match[2]}",
            page,
            flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(
                f"expected one table {name} in the page, between {start.strip()} and {end}, found {found}."
            )
    return page


def table(name: str) -> str:
    """Return a table as Markdown: a row for each whose figures are there, earlier figures in brackets."""
    first, columns, rows = TABLES[name]
    lines = [f"| {first} | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}"]
    for row in rows:
        if (figures := read_figures(FOLDER / f"{row.compilation}.json", row.step)) is None:
            continue
        before = read_figures(FOLDER / "before" / f"{row.compilation}.json", row.step)
        cells = []
        for cell in columns.values():
            now, earlier = _cell(cell, figures), _cell(cell, before)
            cells.append(f"{now} [{earlier}]" if earlier and earlier != now else now)
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "Not compiled yet.\n"


def _cell(cell: Callable[[Figures], str], figures: Figures | None) -> str:
    """Return what stands in a cell: nothing where a compiler that gave up did not say."""
    try:
        return "" if figures is None else cell(figures)
    except (KeyError, TypeError):
        return ""


def read_figures(path: pathlib.Path, step: str) -> dict[str, Any] | None:
    """Return the figures of a step that were written to a file; None where there is no such file."""
    if not path.is_file():
        return None
    report = files.read_json(path)
    return {**report["steps"][step], "devices": report["devices"]}


if __name__ == "__main__":
    command_line.run(main)
