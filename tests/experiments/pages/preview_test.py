"""Contact sheets: every kind appears, captions do not hide pictures, the program's flag."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments import pit_render
from experiments.pages import contact_sheet, preview
from render.optics import camera, light
from render.people import accessories, appearance
from render.recipes import base, pit, pit_reid
from render.scene import occluders


class Studio:
    """Notes the records instead of drawing them; its pictures are of one colour each."""

    def __init__(self) -> None:
        self.records = []

    def draw(self, record):
        self.records.append(record)
        image = np.full((256, 128, 3), len(self.records) % 256, np.uint8)
        files = {record.image: base.encode_jpeg(image), record.texture: base.encode_png(image)}
        for kind, name in record.truths.items():
            grey = np.zeros((512 if kind == "uv" else 256, 128), np.uint16 if kind in ("uv", "depth") else np.uint8)
            files[name] = base.encode_png(grey) if kind != "joints" else b"[]"
        return files if record.frontal is None else {**files, record.frontal: base.encode_jpeg(image)}


@pytest.fixture(scope="module")
def variants() -> preview.Variants:
    return preview.Variants(Studio(), pit.Pit(seed=5))


def shown(variants: preview.Variants, rows: list[list[contact_sheet.Tile]]) -> list:
    """The choices of the tiles of a sheet that was just drawn, in order."""
    count = sum(map(len, rows))
    return [record.choices for record in variants.studio.records[-count:]]


def test_a_sheet_keeps_every_pixel_of_its_tiles_and_puts_words_below():
    tiles = [(Image.new("RGB", (8, 12), color), words) for color, words in (("red", "a"), ("green", ""), ("blue", "b"))]
    sheet = np.asarray(contact_sheet.compose([tiles[:2], tiles[2:]]))
    assert sheet.shape == (12 + 16 + 4 + 12 + 16, 8 + 4 + 8, 3)
    assert (sheet[:12, :8] == [255, 0, 0]).all()
    assert (sheet[:12, 12:] == [0, 128, 0]).all()
    assert (sheet[32:44, :8] == [0, 0, 255]).all()
    assert sheet[12:28, :8].min() < 128  # the words
    assert sheet[44:, :8].min() < 128
    assert (sheet[:12, 8:12] == 255).all()


def test_every_hair_style_and_garment_is_shown_from_both_sides(variants: preview.Variants):
    looks = shown(variants, preview.hair(variants))
    assert [one["appearance"]["hair_style"] for one in looks[::2]] == list(appearance.HAIR_STYLES)
    assert all(
        abs(one["yaw"] - other["yaw"]) == pytest.approx(np.pi)
        for one, other in zip(looks[::2], looks[1::2], strict=True)
    )
    worn = shown(variants, preview.garments(variants))
    assert {one["appearance"]["top"] for one in worn} == set(appearance.TOPS)
    assert {one["appearance"]["bottom"] for one in worn} == set(appearance.BOTTOMS)


def test_every_accessory_occluder_crop_and_light_is_shown(variants: preview.Variants):
    worn = shown(variants, preview.accessory_kinds(variants))
    assert [[one["kind"] for one in choices["accessories"]] for choices in worn[::2]] == [
        [kind] for kind in accessories.KINDS
    ]
    hidden = shown(variants, preview.occluder_kinds(variants))
    assert [choices["occluders"][0]["kind"] for choices in hidden[::2]] == list(occluders.KINDS)
    assert [choices["occluders"][0]["cover"] for choices in hidden[1::2]] == pytest.approx(
        list(occluders.KINDS.values())
    )
    framings = shown(variants, preview.crops(variants))
    distinct = {tuple(sorted((key, str(value)) for key, value in one["framing"].items())) for one in framings}
    assert len(framings) == len(distinct) == 2 * len(camera.FRAMINGS)
    assert len(shown(variants, preview.lights(variants))) == 2 * len(light.KINDS)


def test_queries_and_look_alikes(variants: preview.Variants):
    recipe = pit_reid.PitReid(num_train_identities=16, num_test_identities=3, num_distractors=0, look_alike_share=1.0)
    rows = preview.queries(variants.studio, recipe)
    records = variants.studio.records[-12:]
    assert [len(row) for row in rows] == [3, 3, 3, 3]
    for number in range(3):
        cameras = {one.split: one.camera_id for one in records if one.person_id == 16 + number}
        assert set(cameras) == {"query", "gallery", "query_partial", "query_occluded"}
        assert cameras["gallery"] != cameras["query"]
    preview.look_alikes(variants.studio, recipe)
    groups = [record.choices["look_alike"] for record in variants.studio.records[-16:]]
    assert groups == [0] * 4 + [4] * 4 + [8] * 4 + [12] * 4


class Noted(pit.Pit):
    """A recipe whose studio notes records instead of drawing them."""

    def studio(self) -> Studio:
        return STUDIO


STUDIO = Studio()


def test_every_sheet_is_written_and_the_other_recipe_has_the_same_shares(tmp_path: pathlib.Path):
    shares = dataclasses.replace(occluders.OccluderShares(), share=0.5)
    paths = preview.draw_sheets(Noted(seed=3, occluders=shares), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert {"pairs.jpg", "one_texture.jpg", "truths.jpg", "one_identity.jpg", "hair.jpg", "look_alikes.jpg"} <= {
        path.name for path in paths
    }
    benchmark = pit_reid.PitReid(seed=3, occluders=shares)
    persons = [record for record in STUDIO.records if record.person_id >= 0]
    assert len(persons) > 20
    for record in persons:
        assert record == benchmark.plan(record.index)


def test_the_program_without_a_folder_says_what_is_missing(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        pit_render.main([])
    assert end.value.code == 2
    assert "--output_dir is missing" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["--preview", "--check"])
@pytest.mark.parametrize("division", ["--shard=0/2", "--merge"])
def test_a_preview_of_a_shard_is_refused(what: str, division: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        pit_render.main(["--output_dir=out", what, division])
    assert end.value.code == 2
    assert "leave out --shard and --merge" in capsys.readouterr().err
