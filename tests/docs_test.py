"""The pages: all that they name exists, every command can be given, and the README's Python runs.

That links, anchors and pictures lead somewhere is checked by Sphinx (`make lint`).
"""

import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from experiments.runs import shards
from tests import pages
from tests.experiments.export_runs import write_run
from tests.pages import Page

PAGES = {page.name: page for page in pages.all_pages()}
README, INDEX = PAGES["README.md"], PAGES["docs/README.md"]
CHANGELOG = Page(pages.REPOSITORY / "CHANGELOG.md")  # names what was, too
MAX_COLUMNS = 120


each_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)


@each_page
def test_what_is_named_exists(page: Page):
    assert [f"`{span}`: {found}" for span in page.spans if (found := page.span_problem(span))] == []


@each_page
def test_commands_can_be_given(page: Page):
    assert [f"{line}: {found}" for line in page.commands if (found := pages.command_problem(line))] == []


@pytest.mark.parametrize(
    "page", [CHANGELOG, *(page for name, page in PAGES.items() if "datasets/" not in name)], ids=str
)
def test_lines_are_short(page: Page):
    """Tables apart, and lines of a single link."""
    long = [line for line in page.text.splitlines() if len(line) > MAX_COLUMNS and not line.startswith("|")]
    assert [line for line in long if " " in line.strip()] == []


def test_the_index_leads_to_every_page():
    linked = {(INDEX.path.parent / link.partition("#")[0]).resolve() for link in INDEX.links}
    written = {page.path for name, page in PAGES.items() if name.startswith("docs/") and page is not INDEX}
    assert {path.name for path in written - linked} == set()
    assert (README.path.parent / "docs" / "README.md") in {
        (README.path.parent / link).resolve() for link in README.links
    }


@pytest.mark.parametrize("file", ["Makefile", "tools/setup.sh"])
def test_programs_that_setup_and_make_call_exist(file: str):
    text = (pages.REPOSITORY / file).read_text(encoding="utf-8")
    commands = re.findall(r"(?:\$\(RUN\)|\.venv/bin/python) (-m (?:experiments|render)\.[^;|&\n]*)", text)
    assert commands
    assert [found for command in commands if (found := pages.command_problem(f"python {command}"))] == []


# The files for engines that start shards: how one names the command of a shard, and the number of shards.


def _kubernetes(job: Any) -> tuple[str, int]:
    assert job["apiVersion"] == "batch/v1"
    assert job["kind"] == "Job"
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    (command,) = container["args"]
    return command.removeprefix("exec ").replace("$JOB_COMPLETION_INDEX", "{index}"), job["spec"]["completions"]


def _skypilot(task: Any) -> tuple[str, int]:
    command = task["run"].replace("\\\n", " ").replace("$SKYPILOT_NODE_RANK", "{index}")
    return command.replace("$SKYPILOT_NUM_NODES", str(task["num_nodes"])), task["num_nodes"]


def test_the_files_for_engines_start_every_shard_once():
    blocks = [yaml.safe_load(block) for language, block in PAGES["docs/scaling.md"].blocks if language == "yaml"]
    found = [_kubernetes(block) if "kind" in block else _skypilot(block) for block in blocks]
    assert len(found) == 2
    for command, count in found:
        started = [" ".join(command.format(index=index).split()) for index in range(count)]
        assert pages.command_problem(started[0]) is None
        given = [re.findall(r" --shard=(\S+)", words) for words in started]
        assert [[shards.parse(text) for text in texts] for texts in given] == [
            [shards.Shard(index, count)] for index in range(count)
        ]


# -------------------------------------------------------------------------------------------------------------- README


@pytest.fixture
def folder_with_a_run(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with what the README's Python expects: a run in runs/san, and pictures of any size in pictures/."""
    write_run(tmp_path / "runs" / "san", model__width=4)
    (tmp_path / "pictures").mkdir()
    for seed, (width, height) in enumerate([(50, 131), (64, 128), (40, 96)]):
        pixels = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{seed}.jpg")
    return tmp_path


def test_the_python_of_the_readme_runs_as_it_stands(folder_with_a_run: pathlib.Path):
    (code,) = [code for language, code in README.blocks if language == "python"]
    assert 8 <= len(code.splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder_with_a_run,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(pages.REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    # The encoder's image_size, its embeddings' length and its metric; then another picture for each of the three.
    sizes, neighbours = done.stdout.splitlines()
    assert sizes == "(128, 64) 512 euclidean"
    nearest = [int(number) for number in re.findall(r"\d", neighbours)]
    assert len(nearest) == 3
    assert all(other in range(3) and other != index for index, other in enumerate(nearest))


# ----------------------------------------------------------------------------------------------------- the test itself


@pytest.mark.parametrize(
    "span",
    [
        "san_jax/losses/triplet_reid.py",
        "san_jax/losses/",
        "san_jax/losses/*.py",
        "san_jax/losses/triplet_reid.py:triplet_reid_loss",
        "san_jax/settings.py:LossSettings.triplet_margin",
        "san_jax/models/resnet.py:ResNet.stage4",
        "san_jax.losses.triplet_reid_loss",
        "san_jax.settings.LossSettings.triplet_margin",
        "san.py",
        "san.py:seed=1,loss.triplet_reid=0.0",
        "config.loss.triplet_reid",
        "config.loss.triplet_reid=0.0",
        "loss.triplet_reid",
        "loss.triplet_reid=0.0,seed=1",
        "occluders.share=0.5",
        "--rerank",
        "--config.seed=3",
        "make test",
        "python -m experiments.train --config=san.py:smoke --config.seed=1 --workdir=runs/smoke",
        "python -m experiments.pseudo_texture --workdir=runs/san_pg --images=photos --output=textures",
        "python -m experiments.figures --figure=7 --workdir=runs/san --crops",
        "python -m experiments.launch --num_tasks=2 -- experiments.pit_render --config=pit.py --output_dir=x",
        "PYTHONPATH=. python -m experiments.prepare --dataset=all --manual_dir=archives && make demo",
    ],
)
def test_what_exists_passes(span: str):
    assert (pages.command_problem(span) if " " in span else pages.problem(span)) is None


@pytest.mark.parametrize(
    "span",
    [
        "san_jax/losses/triplet_re_id.py",
        "san_jax/loss/",
        "san_jax/loss/*.py",
        "san_jax/losses/triplet_reid.py/",
        "san_jax/losses/triplet_reid.py:triplet_loss",
        "san_jax/settings.py:LossSettings.margin",
        "san_jax/train_step.py:StepSettings.seeds",
        "san_jax/models/resnet.py:ResNet.stage5",
        "san_jax/models/resnet.py:ResNet.size",
        "san_jax.losses.triplet_loss",
        "san_jax.lossy.triplet_reid_loss",
        "sam.py",
        "san.py:sede=1",
        "san.py:seed=one",
        "san.py:target.kind=frontl",
        "test_metric=cosin",
        "python -m experiments.train --config=san.py --config.start.kind=fresh --workdir=runs/san",
        "config.loss.tripletreid",
        "config.loss.triplet_reid=none",
        "loss.tripletreid",
        "loss.triplet_reid=none",
        "occluders.shares=0.5",
        "--reranked",
        "--config.seeds=3",
        "make tests",
        "rm -r runs",
        "python tests/golden/make_loss.py",
        "python -m experiments.trian --config=san.py",
        "python -m experiments.train --config=san.py:smoked --workdir=runs/san",
        "python -m experiments.launch --num_tasks=2 -- experiments.pit_render --config=pit.py --outputs=x",
        "python -m experiments.launch --number=2 -- experiments.pit_render --config=pit.py --output_dir=x",
        "python -m experiments.train --config=san.py --config.seeds=1 --workdir=runs/san",
        "python -m experiments.train --config=san.py --config.seed=one --workdir=runs/san",
        "python -m experiments.pseudo_texture --workdirs=runs/san_pg --dataset=market1501",
        "python -m experiments.pseudo_texture --dataset=market1501",
        "python -m experiments.pseudo_texture --workdir=runs/san_pg --dataset=market",
        "python -m experiments.figures --figure=8 --workdir=runs/san",
        "make demo && python -m experiments.prepare --dataset=all",
        "triplet_reid_loss",
    ],
)
def test_a_renamed_thing_is_found(span: str):
    assert pages.command_problem(span) if " " in span else pages.problem(span)


def test_a_page_is_taken_apart(tmp_path: pathlib.Path):
    text = """# A page, with `code`

See [this](#a-page-with-code), [that](#that), [a file](there.md) and `[no](link)` ``in`code``.

    make test  # what it does
    python -m experiments.benchmark \\
        --small

```python
print("`no span`")
```

```bash
pip install x
```
"""
    (tmp_path / "page.md").write_text(text)
    page = Page(tmp_path / "page.md")
    assert page.spans == ["code", "[no](link)", "in`code"]
    assert page.links == ["#a-page-with-code", "#that", "there.md"]
    assert page.commands == [
        "pip install x",
        "make test # what it does",
        "python -m experiments.benchmark --small",
    ]
    assert [language for language, _ in page.blocks] == ["python", "bash", ""]
