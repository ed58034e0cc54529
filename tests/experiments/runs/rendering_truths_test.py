"""Truths beside pictures: the same pictures, resumed and merged like them, and told by the manifest."""

import io
import json
import pathlib
from typing import Any

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from experiments import pit_render
from experiments.command_line import config_files
from experiments.runs import render_merge, render_workers, rendering, shards
from experiments.runs.render_workers import RenderError
from experiments.runs.shards import Shard, ShardError
from render import manifest
from tests import pages

CONFIG = "pit.py:num_textures=2,meshes_per_texture=1"
KINDS = ("joints", "mask", "uv")  # in another order than the manifest's


@pytest.fixture(scope="module", autouse=True)
def draw_in_this_process():
    """Real pictures, without the seconds that each worker process takes to start."""
    studios: dict[str, Any] = {}

    def render_pairs(recipe: Any, folder: pathlib.Path, todo: list[list[int]], *rest: Any) -> None:
        studio = studios.setdefault("pit", None) or recipe.studio()
        studios["pit"] = studio
        for index in (pair for group in todo for pair in group):
            render_workers.draw_pair(studio, recipe, folder, index, rest[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "render_pairs", render_pairs)
        yield


def _contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("whole") / "pit"
    rendering.run(config_files.load(CONFIG), output_dir=folder, truths=KINDS)
    return folder


def test_the_manifest_names_the_truths_and_the_pictures_are_those_without(whole: pathlib.Path, tmp_path: pathlib.Path):
    header, records = manifest.read_manifest(whole)
    assert header.truths == ["mask", "uv", "joints"]
    assert json.loads((whole / manifest.HEADER_FILE).read_text())["truths"] == header.truths
    assert records[0].truths == {
        "mask": "truths/mask/images/0000_00.png",
        "uv": "truths/uv/images/0000_00.png",
        "joints": "truths/joints/images/0000_00.json",
        "frontal_mask": "truths/mask/frontals/0000_00.png",
        "frontal_uv": "truths/uv/frontals/0000_00.png",
        "frontal_joints": "truths/joints/frontals/0000_00.json",
    }
    rendering.run(config_files.load(CONFIG), output_dir=tmp_path / "plain")
    contents, plain = _contents(whole), _contents(tmp_path / "plain")
    truths = {name for record in records for name in record.truths.values()}
    assert contents.keys() == plain.keys() | truths
    pictures = {name for record in records for name in (record.image, record.texture, record.frontal)}
    assert {name for name in plain if contents[name] == plain[name]} >= pictures | {manifest.MIRROR_FILE}
    assert "truths" not in json.loads((tmp_path / "plain" / manifest.HEADER_FILE).read_text())
    assert b"truths" not in plain[manifest.RECORDS_FILE]
    for name in truths - {name for name in truths if name.endswith(".json")}:
        assert Image.open(io.BytesIO(contents[name])).size == (128, 512 if "/uv/" in name else 256)


def test_a_truth_that_is_gone_is_drawn_again(whole: pathlib.Path):
    before = _contents(whole)
    (whole / "truths/uv/images/0001_00.png").write_bytes(b"")
    (whole / "truths/joints/frontals/0000_00.json").unlink()
    rendering.run(config_files.load(CONFIG), output_dir=whole, truths=KINDS)
    assert _contents(whole) == before


def test_other_truths_are_refused(whole: pathlib.Path, tmp_path: pathlib.Path):
    before = _contents(whole)
    with pytest.raises(RenderError, match="begun with other truths: mask, uv, joints there, mask, depth now"):
        rendering.run(config_files.load(CONFIG), output_dir=whole, truths=("mask", "depth"))
    with pytest.raises(RenderError, match=r"mask, uv, joints there, none now\. Give the --truths of the first run"):
        rendering.run(config_files.load(CONFIG), output_dir=whole)
    assert _contents(whole) == before


def test_merged_shards_are_what_one_machine_draws(whole: pathlib.Path, tmp_path: pathlib.Path):
    output, config = tmp_path / "pit", config_files.load(CONFIG)
    for index in range(2):
        rendering.run_shard(config, Shard(index, 2), output_dir=output, truths=KINDS)
    with pytest.raises(RenderError, match="other truths: mask, uv, joints there, none now"):
        render_merge.merge(output, recipe=rendering.make_recipe(config))
    with pytest.raises(RenderError, match="other truths: mask, uv, joints there, depth now"):
        render_merge.merge(output, truths=("depth",))
    assert not output.exists()
    render_merge.merge(output, recipe=rendering.make_recipe(config), truths=KINDS)
    assert _contents(output) == _contents(whole)

    lost = shards.folder(output, Shard(1, 2)) / "records/000001.json"
    record = json.loads(lost.read_text())
    del record["truths"]["uv"]
    lost.write_text(json.dumps(record))
    with pytest.raises(ShardError, match="pair 1 has the truths"):
        render_merge.merge(tmp_path / "other", [shards.folder(output, Shard(index, 2)) for index in range(2)])
    assert not (tmp_path / "other").exists()


def test_shards_with_other_truths_are_not_of_one_work(tmp_path: pathlib.Path):
    recipe = rendering.make_recipe(config_files.load(CONFIG))
    for index, kinds in enumerate((("mask",), ())):
        folder, work = (
            tmp_path / f"pit.shard-0000{index}-of-00002",
            rendering.shard_work(rendering.make_header(recipe, kinds)),
        )
        folder.mkdir()
        shards.begin(folder, shards.Part(Shard(index, 2), range(index, index + 1), 2, work))
        shards.finish(folder)
    with pytest.raises(ShardError, match=r"truths: \['mask'\] there, 'absent' now"):
        render_merge.merge(tmp_path / "pit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": ["uv", "mask"]}, "unknown truths"),
        ({"truths": ["normals"]}, "unknown truths"),
        ({"truths": "mask"}, "truths must be of type list"),
        ({"truths": ["mask"]}, "are not those of manifest.json"),
    ],
)
def test_a_manifest_with_wrong_truths_is_refused(
    whole: pathlib.Path, tmp_path: pathlib.Path, change: dict[str, Any], message: str
):
    header = json.loads((whole / manifest.HEADER_FILE).read_text())
    (tmp_path / manifest.HEADER_FILE).write_text(json.dumps({**header, **change}))
    (tmp_path / manifest.RECORDS_FILE).write_bytes((whole / manifest.RECORDS_FILE).read_bytes())
    with pytest.raises(manifest.ManifestError, match=message):
        manifest.read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "truths/../../x.png", 3])
def test_a_truth_outside_of_the_folder_is_refused(whole: pathlib.Path, name: Any):
    record = json.loads((whole / "records/000000.json").read_text())
    record["truths"]["mask"] = name
    with pytest.raises(manifest.ManifestError, match="leaves the rendered folder"):
        manifest.record_from_json(json.dumps(record), "records/000000.json")


def test_the_program_takes_some_truths_or_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    given: list[Any] = []
    monkeypatch.setattr(rendering, "run", lambda *_, truths, **__: given.append(truths))
    for option in (["--truths=mask,depth"], ["--truths=all"], []):
        pit_render.main([f"--config={CONFIG}", f"--output_dir={tmp_path}/x", *option])
    assert given == [("mask", "depth"), tuple(manifest.TRUTHS), ()]
    with pytest.raises(SystemExit):
        pit_render.main([f"--output_dir={tmp_path}/x", "--truths=mask,normals"])
    assert "unknown 'normals'; expected some of mask,parts,uv,depth,joints, or all." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        pit_render.main(["--preview", "--truths=mask"])
    assert "--preview and --check write no truths" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_python_of_the_page_runs_as_it_stands(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = pages.Page(pages.REPOSITORY / "docs/renderer.md")
    (code,) = [code for language, code in page.blocks if language == "python"]
    folder = tmp_path / "data/rendered/everything"
    rendering.run(config_files.load(CONFIG), output_dir=folder, truths=manifest.TRUTHS, data_dir=tmp_path / "tfds")
    example = tfds.data_source("pit", split="train", data_dir=tmp_path / "tfds")[0]
    assert set(example) == {"image", "texture", "frontal", "texture_id", "name"}
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    shown = capsys.readouterr().out
    assert "% of the picture, " in shown
    assert "neck " in shown
    # Unlit, the first frontal view: the colours of the page's look-up are those of the drawing under even light.
    assert names["unlit"].shape == (256, 128, 3)
    assert names["unlit"][names["u"] > 0].any(axis=-1).mean() > 0.9
    assert names["mask"].sum() >= (names["u"] > 0).sum() > 2000
