"""Pseudo textures: the textured dataset, what is resumed, plain folders with damaged files, nothing overwritten."""

from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from flax import nnx
from PIL import Image

import datasets
from experiments.runs import data_sources, picture_sources, pseudo_textures, san_pg, shards
from render import manifest
from san_jax import embed
from san_jax.models import SAN
from tests import dataset_fixtures
from tests.experiments import tiny_data, train_data
from tests.experiments.runs.texture_runs import SHAPE, load_model, make_model, write_photos


@pytest.fixture(scope="module")
def models():
    return make_model(0), make_model(1)


@pytest.fixture
def workdir(tmp_path, monkeypatch, models):
    """A run's folder that loads `models[0]`."""
    load_model(monkeypatch, models[0])
    return tmp_path / "run"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pseudo_texture")
    tiny_data.write_pit_reid(folder / "rendered")
    datasets.build_dataset("pit_reid", data_dir=folder / "data", manual_dir=folder / "rendered")
    return folder / "data"


@pytest.fixture
def data_dir(tmp_path, built):
    """The benchmark alone, so that each test makes its own textured copy."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pit_reid").symlink_to(built / "pit_reid")
    return tmp_path / "data"


def expected_texture(model, image):
    small = np.asarray(Image.fromarray(image).resize((32, 48), Image.Resampling.BILINEAR))
    texture = embed.regress_textures(model, small[None], batch_size=4)[0]
    return np.asarray(Image.fromarray(texture).resize((256, 256), Image.Resampling.BILINEAR))


def pngs(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}


def test_textured_dataset(workdir, data_dir, models, capsys):
    index_map = dataset_fixtures.write_mirror_map(workdir)
    folder = pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, batch_size=4)
    np.testing.assert_array_equal(datasets.read_mirror_map(folder), index_map)
    assert not capsys.readouterr().err
    textured = tfds.data_source("pit_reid_textured", split="train", data_dir=data_dir)
    plain = tfds.data_source("pit_reid", split="train", data_dir=data_dir)
    assert len(textured) == len(plain) == 9
    for example, original in zip(textured, plain, strict=True):
        np.testing.assert_array_equal(example["image"], original["image"])
        assert (example["name"], example["label"]) == (original["name"], original["label"])
        assert example["texture"].shape == (256, 256, 3)
        assert np.abs(example["texture"].astype(int) - original["texture"]).mean() > 5  # not the true one
        # A level of rounding, before and after resizing: batches of another size round differently.
        np.testing.assert_allclose(example["texture"], expected_texture(models[0], original["image"]), atol=1)


def test_val_of_a_builder_with_configs(workdir, tmp_path, models, capsys):
    """Both training splits, never query; beside the benchmark as another config, found again, and as partial as it."""
    train_data.build_benchmark(tmp_path, "toy/first", {"train": [0, 1], "val": [1], "query": [5]}, partial=True)
    for _ in range(2):
        folder = pseudo_textures.run_dataset(workdir, "toy/first", tmp_path, batch_size=2)
    output = capsys.readouterr()
    assert f"{workdir} has no mirror_map.npy" in output.err
    assert not (folder / "mirror_map.npy").exists()
    lines = [line for line in output.out.splitlines() if line.startswith("pseudo textures")]
    assert [line.partition(", in ")[0] for line in lines] == [
        f"pseudo textures of toy/first, train + val: 3 images, {number} to compute, by step 7" for number in (3, 0)
    ]
    assert folder == tmp_path / "toy" / "first_textured" / "1.0.0"
    assert sorted(path.relative_to(workdir).parts[1][:10] for path in pngs(workdir)) == ["toy_first-"] * 3

    # As a program sees it that does not know this repository.
    source: Any = tfds.data_source("toy/first_textured", split="train+val", data_dir=tmp_path)
    assert [example["name"] for example in source] == [b"train/0.png", b"train/1.png", b"val/0.png"]
    plain: Any = tfds.data_source("toy/first", split="val", data_dir=tmp_path)
    np.testing.assert_array_equal(source[2]["image"], plain[0]["image"])
    assert (int(source[2]["label"]), int(source[2]["person_id"])) == (1, 1)
    np.testing.assert_allclose(source[2]["texture"], expected_texture(models[0], plain[0]["image"]), atol=1)
    assert sorted(source.dataset_info.splits) == ["train", "val"]
    assert data_sources.read_metadata("toy/first_textured", tmp_path)["partial"] is True
    assert not (tmp_path / "toy" / ".config").exists()  # where TFDS would note it as what the bare "toy" stands for


def test_another_copy_of_the_benchmark_gets_its_own_textures(workdir, data_dir, tmp_path, capsys):
    """Other images under the same names: rendered with another seed."""
    rendered = tmp_path / "rendered"
    records = tiny_data.write_pit_reid(rendered)
    for record in records:
        (rendered / record.image).write_bytes(dataset_fixtures.encoded(record.index, 256, 128, "JPEG"))
    manifest.write_header(rendered, manifest.Header("pit_reid", 1, len(records), {}, "CC0-1.0"))
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "other", manual_dir=rendered)
    for folder in (data_dir, tmp_path / "other"):
        pseudo_textures.run_dataset(workdir, "pit_reid", folder, batch_size=4)
        assert "9 images, 9 to compute" in capsys.readouterr().out
    first, second = (
        tfds.data_source("pit_reid_textured", split="train", data_dir=folder)
        for folder in (data_dir, tmp_path / "other")
    )
    assert first[0]["name"] == second[0]["name"]
    assert np.any(first[0]["texture"] != second[0]["texture"])


def test_only_missing_textures_are_computed(workdir, data_dir, models, monkeypatch):
    pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, batch_size=4)
    before = pngs(workdir)
    assert len(before) == 9
    removed = sorted(before)[3]
    content = removed.read_bytes()
    removed.unlink()
    pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, batch_size=4)  # the dataset is kept: equal bytes
    after = pngs(workdir)
    assert removed.read_bytes() == content
    assert {path for path in before if after[path] == before[path]} == before.keys() - {removed}


def test_another_model_never_mixes(workdir, data_dir, models, monkeypatch):
    first = pseudo_textures.run_dataset(workdir, "pit_reid", data_dir)
    before = pngs(workdir)
    load_model(monkeypatch, models[1])
    with pytest.raises(datasets.DatasetError, match="built from another source"):
        pseudo_textures.run_dataset(workdir, "pit_reid", data_dir)
    assert len(pngs(workdir)) == 2 * len(before)  # in a folder of their own
    assert pngs(workdir).items() >= before.items()
    assert first.is_dir()


def test_frontal_views(workdir, data_dir, models, monkeypatch, capsys):
    """A run with that target writes them at the size of images, beside the textures, without a mirror map."""
    load_model(monkeypatch, models[0], target="frontal")
    dataset_fixtures.write_mirror_map(workdir)
    folder = pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, batch_size=4)
    assert folder == data_dir / "pit_reid_frontal" / "1.0.0"
    assert not (folder / "mirror_map.npy").exists()
    assert "pseudo frontal views of pit_reid, train: 9 images" in capsys.readouterr().out
    example = data_sources.open_source("pit_reid_frontal", "train", data_dir)[0]
    small = np.asarray(Image.fromarray(example["image"]).resize((32, 48), Image.Resampling.BILINEAR))
    (view,) = embed.regress_textures(models[0], small[None], batch_size=4)
    expected = np.asarray(Image.fromarray(view).resize((128, 256), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(example["frontal"], expected, atol=1)


def test_run_without_decoder(workdir, data_dir, monkeypatch):
    load_model(monkeypatch, SAN(0, **SHAPE, decoder=False, rngs=nnx.Rngs(0)), "baseline.py:smoke")
    with pytest.raises(pseudo_textures.TextureError, match="run without decoder"):
        pseudo_textures.run_dataset(workdir, "pit_reid", data_dir)


def test_names_stay_inside(tmp_path):
    for name in ("../a.jpg", "/a.jpg", ""):
        with pytest.raises(pseudo_textures.TextureError, match="no relative path"):
            san_pg.texture_path(tmp_path, name)
    assert san_pg.texture_path(tmp_path, "a/b.c.jpg") == tmp_path / "a" / "b.c.png"


@pytest.fixture
def photos(tmp_path):
    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


def test_folder(workdir, photos, tmp_path, models, capsys):
    content = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    failed = pseudo_textures.run_folder(workdir, photos, tmp_path / "out", batch_size=2)
    (line,) = failed
    assert line.startswith(f"{photos / 'broken.jpeg'}: not a readable picture (")
    errors = capsys.readouterr().err
    assert f"skipped {line}\n" in errors
    assert "passed over, as they are not named like pictures" in errors
    assert ": notes.txt\n" in errors
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert names == ["a.png", "sub/alpha.png", "sub/grey.png", "sub/web.png"]
    with Image.open(photos / "a.jpg") as image, Image.open(tmp_path / "out" / "a.png") as texture:
        assert texture.mode == "RGB"
        expected = expected_texture(models[0], np.asarray(image))
        np.testing.assert_allclose(np.asarray(texture, np.int16), expected, atol=1)
    assert content == {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def test_folder_keeps_what_is_there(workdir, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    pseudo_textures.run_folder(workdir, photos, out)
    assert (out / "a.png").read_bytes() == b"mine"
    assert (out / "sub" / "grey.png").is_file()


@pytest.mark.parametrize("output", ["photos", "photos/textures", "photos/../photos"])
def test_output_inside_input_is_refused(workdir, photos, output):
    with pytest.raises(pseudo_textures.TextureError, match="inside --images"):
        pseudo_textures.run_folder(workdir, photos, photos.parent / output)


def test_texture_that_would_land_in_the_input_is_refused(workdir, tmp_path):
    images = tmp_path / "out" / "in"
    (images / "in").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(images / "in" / "x.jpg")  # -> out/in/x.png
    with pytest.raises(pseudo_textures.TextureError, match="would be written into --images"):
        pseudo_textures.run_folder(workdir, images, tmp_path / "out")


def test_folder_errors(workdir, photos, tmp_path):
    with pytest.raises(picture_sources.SourceError, match="is not a folder"):
        pseudo_textures.run_folder(workdir, tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(picture_sources.SourceError, match=r"holds no picture \(JPEG, PNG, WebP or BMP\)"):
        pseudo_textures.run_folder(workdir, tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "empty" / "link").symlink_to(photos)
    with pytest.raises(picture_sources.SourceError, match=r"(?s)holds no picture.*link: is a link.*: notes\.txt"):
        pseudo_textures.run_folder(workdir, tmp_path / "empty", tmp_path / "out")


def test_all_pictures_that_would_share_a_texture_are_named(workdir, photos, tmp_path):
    for name in ("a.png", "sub/grey.webp", "sub/grey.JPG"):
        Image.new("RGB", (8, 8)).save(photos / name)
    with pytest.raises(pseudo_textures.TextureError) as raised:
        pseudo_textures.run_folder(workdir, photos, tmp_path / "out")
    sub = photos / "sub"
    assert str(raised.value).splitlines()[1:] == [
        f"{photos / 'a.jpg'} and {photos / 'a.png'} would both become {tmp_path / 'out' / 'a.png'}",
        f"{sub / 'grey.JPG'} and {sub / 'grey.PNG'} and {sub / 'grey.webp'} would both become {tmp_path / 'out' / 'sub' / 'grey.png'}",
    ]
    assert not (tmp_path / "out").exists()


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_merged_shards_are_the_folder_of_one_machine(workdir, tmp_path, count, capsys):
    """With a damaged picture and more shards than batches; the shards of a dataset are below."""
    photos = tmp_path / "photos"
    write_photos(photos)
    failed = pseudo_textures.run_folder(workdir, photos, tmp_path / "one", batch_size=2)
    assert len(failed) == 1
    output = tmp_path / "out"
    for index in range(count):
        division = pseudo_textures.Division(shards.Shard(index, count))
        pseudo_textures.run_folder(workdir, photos, output, batch_size=2, division=division)
        assert not output.exists()
    computed = [set(contents(shards.folder(output, shards.Shard(index, count)))) for index in range(count)]
    assert sum(map(len, computed)) == 4
    capsys.readouterr()
    merge = pseudo_textures.Division(merge=())
    assert pseudo_textures.run_folder(workdir, photos, output, batch_size=2, division=merge) == failed
    assert "5 images, 1 to compute" in capsys.readouterr().out  # the damaged one
    assert contents(output) == contents(tmp_path / "one")
    assert len(contents(output)) == 4


def test_merged_shards_become_the_dataset_of_one_machine(workdir, data_dir, tmp_path, capsys):
    folder, other = tmp_path / "one", tmp_path / "other"
    for index in (1, 0):
        division = pseudo_textures.Division(shards.Shard(index, 2))
        path = pseudo_textures.run_dataset(
            workdir, "pit_reid", data_dir, texture_dir=other, batch_size=4, division=division
        )
        assert path == shards.folder(other, shards.Shard(index, 2))
    assert not (data_dir / "pit_reid_textured").exists()
    elsewhere = [path.rename(tmp_path / name) for path, name in zip(shards.find(other), "ab", strict=True)]
    capsys.readouterr()
    for merge, said in ((elsewhere[:1], "missing: 1/2"), (elsewhere[:1] * 2, "there twice")):
        with pytest.raises(shards.ShardError, match=said):
            pseudo_textures.run_dataset(
                workdir,
                "pit_reid",
                data_dir,
                texture_dir=other,
                batch_size=4,
                division=pseudo_textures.Division(merge=merge),
            )
    division = pseudo_textures.Division(merge=elsewhere)
    with pytest.raises(shards.ShardError, match="batch_size: 4 there, 3 now"):
        pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, texture_dir=other, batch_size=3, division=division)
    assert not other.exists()
    built = pseudo_textures.run_dataset(
        workdir, "pit_reid", data_dir, texture_dir=other, batch_size=4, division=division
    )
    assert "9 images, 0 to compute" in capsys.readouterr().out
    # The dataset is kept: its textures are the same.
    assert pseudo_textures.run_dataset(workdir, "pit_reid", data_dir, texture_dir=folder, batch_size=4) == built
    assert contents(folder) == contents(other)
