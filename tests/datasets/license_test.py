"""The licence of rendered pictures and of each dataset: in the manifest, in TFDS's information and on the dataset's page."""

import importlib
import pathlib
from typing import Any

import pytest
import tensorflow_datasets as tfds

import datasets
from datasets.build import BENCHMARKS, DATASETS
from render import manifest
from render.recipes import paper, pit, pit_reid
from tests import dataset_fixtures
from tests.datasets.small_datasets import build_small

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def _check_stated(folder: pathlib.Path, expected: str) -> None:
    info: Any = tfds.builder_from_directory(folder).info
    assert info.redistribution_info.license == expected
    assert info.metadata["license"] == expected
    assert (folder / "LICENSE").read_text() == expected


def _page(name: str) -> str:
    return " ".join((REPOSITORY / "datasets" / name.partition("/")[0] / "README.md").read_text().split())


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_states_its_licence(name: str, tmp_path: pathlib.Path):
    builder_name = name.partition("/")[0]
    expected = "CC0-1.0"  # as the fixtures' manifest says
    if name in BENCHMARKS:
        expected = importlib.import_module(f"datasets.{builder_name}.{builder_name}_dataset_builder").Builder.LICENSE
        assert f"Licence: {expected}" in _page(name)
    _check_stated(build_small(name, tmp_path), expected)


def test_a_textured_copy_inherits_its_benchmarks_licence(tmp_path: pathlib.Path):
    build_small("market1501", tmp_path)
    for name in dataset_fixtures.SMALL_MARKET["bounding_box_train"]:
        path = tmp_path / "textures" / "bounding_box_train" / pathlib.Path(name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(0, 256, 256, "PNG"))
    arguments = {"data_dir": tmp_path / "data", "texture_dir": tmp_path / "textures", "metadata": {}}
    folder = datasets.build_textured("market1501", **arguments)
    expected = importlib.import_module("datasets.market1501.market1501_dataset_builder").Builder.LICENSE
    assert "research only" in expected
    _check_stated(folder, expected)
    assert "Licence: that of the benchmark" in _page("textured")


def test_pictures_of_the_open_recipes_are_free_unless_they_show_photographs():
    for recipe in (pit.Pit(), pit_reid.PitReid()):
        assert recipe.license.startswith("CC0-1.0 (https://creativecommons.org/publicdomain/zero/1.0/)")
    for fields, named in (
        ({"cloth_dir": "cloth"}, "cloth_dir"),
        ({"background_dir": "photos"}, "background_dir"),
        ({"cloth_dir": "cloth", "background_dir": "photos"}, "cloth_dir and background_dir"),
    ):
        text = pit_reid.PitReid(**fields).license
        assert text.startswith(f"The licence of the photographs given as {named}, which the pictures show")


def test_pictures_of_the_papers_recipe_are_under_the_licences_of_their_inputs():
    assert paper.PaperPit().license.startswith("The licences of SMPL")
    assert "CC0" not in paper.PaperPit().license


def test_a_manifest_states_a_licence(tmp_path: pathlib.Path):
    """Folders of version 2 have none: they are refused, with what to do."""
    dataset_fixtures.write_rendered(tmp_path / "rendered", "pit")
    assert manifest.read_header(tmp_path / "rendered").license == "CC0-1.0"
    path = tmp_path / "rendered" / manifest.HEADER_FILE
    path.write_text(
        path.read_text().replace(f'"version": {manifest.VERSION}', '"version": 2').replace('"license"', '"license_"')
    )
    with pytest.raises(manifest.ManifestError, match=r"format version 2; .* version 5\. Render the recipe again into"):
        manifest.read_header(tmp_path / "rendered")
