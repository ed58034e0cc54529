"""The notebook of the pages, and the Python of the quick start, run on a small stand-in for what `make demo` leaves."""

import json
import os
import pathlib
import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient

import datasets
from tests import pages
from tests.experiments import export_runs, tiny_data

NOTEBOOK = pages.REPOSITORY / "docs" / "own_pictures.ipynb"
QUICK_START = pages.Page(pages.REPOSITORY / "docs" / "quick_start.md")
MAX_BYTES = 500_000  # with its outputs, which GitHub shows


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with `docs` and, beside it, a `demo` with a small run and enough persons for a threshold."""
    rendered = tmp_path / "demo" / "data" / "rendered" / "pit_reid"
    tiny_data.write_pit_reid(rendered, train_ids=1, test_ids=16, cameras=4)
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "demo" / "data", manual_dir=rendered)
    export_runs.write_run(tmp_path / "demo" / "runs" / "san", model__width=4, model__stage_sizes=(1, 1, 1, 1))
    (tmp_path / "docs").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "docs")
    return tmp_path / "docs"


def test_the_notebook_runs(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(place / name))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pages.REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(place / NOTEBOOK.name, as_version=4)
    strict = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error')")
    notebook.cells.insert(0, strict)
    # The quick start says the same of the same folders, from the checkout's root.
    (code,) = [code for language, code in QUICK_START.blocks if language == "python"]
    notebook.cells.append(nbformat.v4.new_code_cell(f"import os\nos.chdir('..')\n{code}"))
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(place)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 5
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "embeddings have 128 numbers" in text
    assert "SAN     rank-1" in text
    assert "two persons: same [" in text
    assert re.search(r"^(\S+\.jpg) is most like (?!\1)\S+\.jpg$", text, re.MULTILINE)


def test_the_links_of_the_notebook_lead_to_pages():
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "markdown"]
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(cells))
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).is_file()] == []


def test_the_stored_notebook_shows_its_outputs_and_stays_small():
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/jpeg" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert "Traceback" not in NOTEBOOK.read_text()
