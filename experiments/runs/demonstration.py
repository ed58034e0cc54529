"""The whole method, small, on the open default: what `make demo` runs."""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Iterator
from typing import Any

from experiments.ablation import small
from experiments.ablation.small import Sizes
from experiments.command_line import config_files
from experiments.pages import demo_report, microscope_page, report
from experiments.runs import ensure, provenance
from experiments.scoring import evaluation, microscope
from san_jax import checkpoint, folder_lock
from san_jax.files import read_json, write_atomic

TIMES_CHANCE = 10  # rank-1 of both models must be at least this many times that of random rankings
NUM_PARTS = 7


class Clock:
    """Runs the parts of the demo, says what each does, and remembers how long each took, over interruptions too.

    Args:
        path: JSON file: part -> seconds, what it does, whether it is complete.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._started = 0
        self._records: dict[str, Any] = read_json(path) if path.is_file() else {}

    @contextlib.contextmanager
    def part(self, name: str, what: str) -> Iterator[None]:
        """Time the body; a part that was complete before keeps its time."""
        self._started += 1
        record = self._records.setdefault(name, {"seconds": 0.0, "what": what, "complete": False})
        again = " (complete already)" if record["complete"] else ""
        print(f"\n=== {self._started}/{NUM_PARTS} {name}: {what}{again}", flush=True)
        start = time.monotonic()
        try:
            yield
        except BaseException:
            self._note(record, start, complete=False)
            raise
        self._note(record, start, complete=True)
        print(f"=== {name}: {record['seconds']:.0f} s", flush=True)

    def _note(self, record: dict[str, Any], start: float, *, complete: bool) -> None:
        if record["complete"]:
            return
        record["seconds"] += time.monotonic() - start
        record["complete"] = complete
        write_atomic(self._path, json.dumps(self._records, indent=1).encode())

    def rows(self) -> list[tuple[str, float, str]]:
        """(part, seconds, what it did), in the order in which the parts first ran."""
        return [(name, record["seconds"], record["what"]) for name, record in self._records.items()]


def train_configs(sizes: Sizes, data_dir: pathlib.Path, san_pg: pathlib.Path) -> dict[str, Any]:
    """The real configs of the three runs, made smaller. Baseline and SAN differ in the method alone."""
    configs = {name: config_files.load(f"{name}.py") for name in ("san_pg", "baseline", "san")}
    for name, config in configs.items():
        small.shrink(config, sizes)
        config.update({"seed": sizes.seed, "data_dir": str(data_dir), "start": {"kind": "random", "path": ""}})
        if name != "san_pg":
            config.update({"dataset": "pit_reid", "start": {"kind": "run", "path": str(san_pg)}})
    return configs


def fairness(sizes: Sizes) -> list[str]:
    """What is equal between baseline and SAN, and what is not."""
    batch = sizes.num_identities * sizes.images_of_each
    return [
        "Equal: the encoder and its start (encoder of the same SAN-PG run; classifiers fresh), the training images, "
        f"{sizes.reid_batches} identity-labelled batches of {batch} ({sizes.num_identities} identities x "
        f"{sizes.images_of_each} images), the same identities and images in the same order, Adam with one cosine from "
        "1e-3 to 0 over the run, augmentation settings, L_ID and L_Triplet with their weights, and the evaluation.",
        f"Only SAN: L_Rec against the pseudo textures and L_TR on those batches, and after each of them a batch of "
        f"{batch} PIT pairs with L_Rec. So SAN takes twice the updates and more computation; the PIT batches carry no "
        "identity, and SAN-PG, which both start from, was trained on the same pairs.",
        "Different by chance: which crops and flips are drawn (one seed, but drawn per step).",
        "Different from the paper: everything is small (images, networks, data, steps), started from SAN-PG instead of "
        "ImageNet, no random erasing (in so few batches it only slows both down), and L_TR takes the mean over "
        "channels in place of the sum of equation 1, which at this size meets its margin early and falls silent.",
        f"The renderings are {small.EASIER_WORDS}. query_partial and query_occluded stay cropped and occluded, unlike "
        "anything that the models were trained on.",
    ]


def facts(sizes: Sizes) -> list[tuple[str, str]]:
    """Where and from what the report was made."""
    return [
        ("command", " ".join(["python -m experiments.demo", *sys.argv[1:]])),
        ("commit", provenance.commit()),
        ("processor", provenance.processor()),
        ("JAX", provenance.accelerator()),
        ("Python", platform.python_version()),
        ("seed", f"{sizes.seed} (rendering, weights, batches, augmentation)"),
        ("sizes", ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(sizes).items())),
        ("finished", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
    ]


def run(output: str | os.PathLike[str], sizes: Sizes | None = None) -> bool:
    """Run every part that is not complete and writes the report.

    Args:
        output: Folder of the demo.
        sizes: How small it is; None for the defaults.

    Returns:
        Whether rank-1 of both models is at least `TIMES_CHANCE` times chance.

    Raises:
        san_jax.checkpoint.CheckpointError: No checkpoint can be kept in a folder of this name.
        san_jax.folder_lock.FolderError: Another demo writes the folder, or it cannot be written.
    """
    checkpoint.check_path(output)
    with folder_lock.hold(output):
        return _run(pathlib.Path(output), sizes or Sizes())


def _run(output: pathlib.Path, sizes: Sizes) -> bool:
    data_dir, runs = output / "data", output / "runs"
    pit, pit_reid = small.render_configs(sizes)
    configs = train_configs(sizes, data_dir, runs / "san_pg")
    clock = Clock(output / "times.json")

    pairs = sizes.pit_textures * sizes.pit_meshes
    identities = f"{sizes.train_identities} training and {sizes.test_identities} test identities"
    batch = sizes.num_identities * sizes.images_of_each
    with clock.part("render pit", f"{pairs} pairs of person image and texture, each also in the frontal pose"):
        ensure.ensure_rendered(pit, data_dir)
    with clock.part(
        "render pit_reid", f"{identities}, {sizes.images_per_identity} images each, 6 cameras; {small.EASIER_WORDS}"
    ):
        rendered = ensure.ensure_rendered(pit_reid, data_dir)
    with clock.part("SAN-PG", f"{sizes.san_pg_steps} steps of {batch} PIT pairs, L_Rec alone"):
        ensure.ensure_run(configs["san_pg"], runs / "san_pg")
    with clock.part("pseudo textures", "SAN-PG over every training image of pit_reid"):
        ensure.ensure_textured(runs / "san_pg", "pit_reid", data_dir)
    with clock.part("baseline", f"{sizes.reid_batches} reID batches of {batch}, L_ID + L_Triplet"):
        ensure.ensure_run(configs["baseline"], runs / "baseline")
    with clock.part("SAN", f"{sizes.reid_batches} reID batches with all four losses, a PIT batch after each"):
        ensure.ensure_run(configs["san"], runs / "san")
    with clock.part("scores", "both encoders on query and gallery, and by what the manifest says of each query"):
        summaries = {name: evaluation.run(runs / name, "pit_reid", data_dir) for name in ("baseline", "san")}
        for name in summaries:
            found = microscope.run(microscope.Request(runs / name, data_dir=data_dir, rendered=rendered))
            microscope_page.write(found, runs / name)
    print("\n=== report: pictures, curves, table", flush=True)
    page = demo_report.make_report(
        data_dir=data_dir,
        runs=runs,
        summaries=summaries,
        fairness=fairness(sizes),
        parts=clock.rows(),
        facts=facts(sizes),
        times_chance=TIMES_CHANCE,
    )
    path = output / "report" / "index.html"
    write_atomic(path, report.to_html(page).encode())

    print("\n" + "\n".join(page.verdict))
    print(f"\nreport: {path}")
    chance = summaries["san"]["chance"]["rank1"]
    return all(summary["rank1"] >= TIMES_CHANCE * chance for summary in summaries.values())
