"""The paper's recipe from the command line: `--check`, rendering with workers, and the TFDS dataset `pit`."""

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from experiments.command_line import config_files
from experiments.runs import rendering
from render import manifest
from render.recipes import paper
from tests.render import smpl_fixtures


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return smpl_fixtures.write_paper_inputs(tmp_path_factory.mktemp("paper"))


def _argument(files: dict[str, Any], **more: Any) -> str:
    return "pit.py:paper," + ",".join(f"{key}={value}" for key, value in {**files, **more}.items())


def test_config_is_the_papers_recipe(files: dict[str, Any]):
    config = config_files.load("pit.py:paper")
    recipe = rendering.make_recipe(config)
    assert recipe == paper.PaperPit()
    assert recipe.num_pairs == 9290
    assert rendering.make_recipe(config_files.load(_argument(files, light="surreal"))) == paper.PaperPit(
        **files, light="surreal"
    )
    assert rendering.make_recipe(config_files.load("pit.py:smoke,paper")).num_pairs == 6
    with pytest.raises(config_files.ConfigError, match="Did you mean 'coco_dir'"):
        config_files.load("pit.py:paper,coco_folder=x")
    with pytest.raises(config_files.ConfigError, match="there is no key 'wardrobe"):
        config_files.load("pit.py:paper,wardrobe.cloth_share=0.5")


def test_check_says_what_there_is(files: dict[str, Any]):
    report = rendering.check(rendering.make_recipe(config_files.load(_argument(files, person_free=True))))
    assert "6 pairs can be drawn" in report
    for part in (
        "smpl_neutral: 6890 vertices",
        "smpl_uv: 13776 triangles",
        "textures: 4 (1 female grey, 1 female nongrey, 1 male grey, 1 male nongrey)",
        "poses_file: 12 poses (hmr)",
        "coco_dir: 5 photographs",
        "coco_instances: 3 photographs without persons",
    ):
        assert part in report


def test_command_line_lists_all_defects_and_draws_nothing(files: dict[str, Any], tmp_path: pathlib.Path):
    config = _argument({**files, "smpl_uv": "", "coco_dir": str(tmp_path / "nowhere"), "num_textures": 5})
    command = [sys.executable, "-m", "experiments.pit_render", f"--config={config}", f"--output_dir={tmp_path / 'out'}"]
    for more in ([], ["--check"]):
        found = subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=600)
        assert found.returncode == 1
        assert "Traceback" not in found.stderr
        assert "3 of the paper's inputs are missing or malformed" in found.stderr
        for part in ("smpl_uv: no path given", "nowhere is no folder", "4 textures", "https://cocodataset.org"):
            assert part in found.stderr
        assert not (tmp_path / "out").exists()


def test_from_command_to_dataset(files: dict[str, Any], tmp_path: pathlib.Path):
    import tensorflow_datasets as tfds

    config = config_files.load(_argument(files))
    rendering.run(config, output_dir=tmp_path / "pit", data_dir=tmp_path / "tfds", num_workers=2)
    header, records = manifest.read_manifest(tmp_path / "pit")
    assert header.recipe == "pit"
    assert header.parameters["recipe"] == "paper"
    assert set(header.parameters["inputs"]) >= {"smpl_neutral", "smpl_uv", "textures", "poses_file", "backgrounds"}
    recipe = paper.PaperPit(**files)
    assert [manifest.record_to_json(record) for record in records] == [
        manifest.record_to_json(recipe.plan(index)) for index in range(6)
    ]
    source = tfds.data_source("pit", split="train", data_dir=tmp_path / "tfds")
    assert len(source) == 6
    example = source[4]
    assert (example["image"].shape, example["texture"].shape, example["frontal"].shape) == (
        (256, 128, 3),
        (256, 256, 3),
        (256, 128, 3),
    )
    assert [int(one["texture_id"]) for one in source] == [0, 0, 0, 1, 1, 1]

    # Finished again after a loss the bytes are the same; other files are refused.
    before = {path: path.read_bytes() for path in (tmp_path / "pit").rglob("*") if path.is_file()}
    (tmp_path / "pit" / records[5].image).unlink()
    rendering.run(config, output_dir=tmp_path / "pit", num_workers=1)
    assert before == {path: path.read_bytes() for path in (tmp_path / "pit").rglob("*") if path.is_file()}
    np.save(tmp_path / "thetas.npy", np.load(files["poses_file"])[1:])
    with pytest.raises(rendering.RenderError, match=r"inputs\.poses_file"):
        rendering.run(
            config_files.load(_argument({**files, "poses_file": str(tmp_path / "thetas.npy")})),
            output_dir=tmp_path / "pit",
        )
