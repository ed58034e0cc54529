"""docs/paper_to_code.md: all that it names exists, and nothing that the paper numbers is left out. See `tests/pages.py`."""

import re

import pytest

from experiments.command_line import config_files
from tests import pages

PAGE = pages.Page(pages.REPOSITORY / "docs" / "paper_to_code.md")
# Groups of config keys that say what is computed: the page tells where each of them stands in the paper.
GROUPS = ("augment", "batch", "input", "loss", "model", "optimizer", "pit_augment", "start", "target")


def test_all_that_the_page_names_exists():
    """Here, unlike on other pages, every code span names something."""
    assert len(PAGE.spans) > 100
    assert [f"`{span}`: {found}" for span in PAGE.spans if (found := pages.problem(span))] == []


@pytest.mark.parametrize(
    "number",
    [
        *(f"Section {section}" for section in ("3", "3.1", "3.2", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6")),
        *(f"Figure {figure}" for figure in range(1, 8)),
        *(f"Table {table}" for table in range(1, 5)),
        "Equation 1",
    ],
)
def test_all_that_the_paper_numbers_is_there(number: str):
    assert re.search(rf"\b{re.escape(number)}(?![.\d])", PAGE.text)


def test_every_switch_of_the_training_configs_is_explained():
    named = {span.partition("=")[0].removeprefix("config.") for span in PAGE.spans if span.startswith("config.")}
    keys = {
        key
        for config in pages.training_configs()
        for key in config_files.keys(config)
        if key.partition(".")[0] in GROUPS
    }
    assert sorted(keys - set(GROUPS) - named) == []
