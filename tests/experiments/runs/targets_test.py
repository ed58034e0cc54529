"""What the decoder reconstructs and what the reID network sees: where it comes from, and what is refused.

The real datasets, and the real loop where a test is about it; its steps compute nothing but keep their batches.
"""

import contextlib
import dataclasses
import functools
import io
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

import datasets
from experiments.command_line import config_files
from experiments.runs import data_sources, folder, models, pseudo_textures, san_pg, targets, training, training_data
from experiments.runs.errors import Problems, RunError
from experiments.runs.plan import resolve
from experiments.scoring import evaluation, protocols
from experiments.scoring.embedding import Embedder
from san_jax import embed, pictures, sharding
from tests import dataset_fixtures
from tests.experiments import train_data
from tests.experiments.export_runs import write_run

SMALL = (
    "smoke,prepare=,start.kind=random,start.path=,image_size=(32, 16),model.width=2,"
    "num_steps=2,log_every=1,optimizer.schedule=cosine,optimizer.warmup_epochs=0"
)
NUM_IDS, PER_ID = 3, 2


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """`pit` and `pit_reid` of noise, and `pit_reid_frontal`, where frontal view i is all of colour i."""
    root = tmp_path_factory.mktemp("targets")
    data_dir = train_data.build_all(root, num_pairs=6, num_ids=NUM_IDS, per_id=PER_ID)
    for index, name in enumerate(names(data_dir)):
        path = (root / "frontal" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 256), (index, index, index)).save(path)
    built = datasets.build_textured(
        "pit_reid", data_dir=data_dir, texture_dir=root / "frontal", metadata={}, feature="frontal"
    )
    assert built == data_dir / "pit_reid_frontal" / "1.0.0"
    return data_dir


def names(data_dir):
    return [example["name"].decode() for example in data_sources.open_source("pit_reid", "train", data_dir)]


@pytest.fixture(autouse=True, scope="module")
def one_device():
    """Compiling for eight is most of the time here."""
    with pytest.MonkeyPatch.context() as patch:
        mesh = sharding.make_mesh(jax.devices()[:1])
        patch.setattr(training.sharding, "make_mesh", lambda *devices: mesh)
        yield


@pytest.fixture
def seen(monkeypatch):
    """The batch that each kind of step was given first, and the target that it was made for."""
    found = {}

    def make_step(graphdef, optimizer, settings, kind):
        def step(state, batch):
            found.setdefault(
                kind, {"made_for": settings.targets, **{key: np.asarray(value) for key, value in batch.items()}}
            )
            state = dataclasses.replace(state, step=jax.device_put(state.step + 1, state.step.sharding))
            return state, {"loss": np.float32(1.0)}

        return step

    for kind in ("reid", "pit"):
        monkeypatch.setattr(training.train_step, f"make_{kind}_step", functools.partial(make_step, kind=kind))
    monkeypatch.setattr(jax, "transfer_guard", lambda level: contextlib.nullcontext())
    return found


def load(data_dir, method="san", **changes):
    variant = SMALL
    if method != "san_pg":
        variant += ",batch.num_identities=2,batch.images_per_identity=2"
    if method != "baseline":
        variant += ",model.texture_size=24,batch.pit_size=3"
    config = config_files.load(f"{method}.py:{variant},data_dir={data_dir}")
    for key, value in changes.items():
        config_files.override(config, key.replace("__", "."), str(value))
    return config


def open_data(config):
    """The first batch of each kind, and what data.json will say."""
    problems = Problems()
    with contextlib.ExitStack() as stack:
        data = training_data.find(resolve(config), sharding.make_mesh(jax.devices()[:1]), problems, stack)
        problems.check()
        assert data is not None
        return {kind: next(stream) for kind, stream in data.streams.items()}, data.record


def resized(pixels, height, width):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def rows_of(examples, batch, key, height, width):
    """The example's feature `key`, resized, of each row of the batch; the image says which example a row is."""
    images = np.stack([resized(example["image"], 32, 16) for example in examples])
    rows = [int(np.flatnonzero((images == image).all(axis=(1, 2, 3)))[0]) for image in batch["image"]]
    return np.stack([resized(examples[row][key], height, width) for row in rows])


def test_true_textures_are_the_benchmarks_own(data_dir):
    batches, record = open_data(load(data_dir, target__kind="true_texture"))
    for kind, name in (("reid", "pit_reid"), ("pit", "pit")):
        examples = list(data_sources.open_source(name, "train", data_dir))
        np.testing.assert_array_equal(batches[kind]["texture"], rows_of(examples, batches[kind], "texture", 24, 24))
    assert record["target"] == "true_texture"
    assert record["source_digest"] == data_sources.read_metadata("pit_reid", data_dir)["source_digest"]
    words = protocols.training_words("market1501", protocols.Training(record))
    assert "with the true textures as the decoder's target (an oracle)" in words


def test_pseudo_textures_are_those_of_the_copy_and_need_no_note(data_dir):
    batches, record = open_data(load(data_dir))
    assert "target" not in record
    assert record["source_digest"] == data_sources.read_metadata("pit_reid_textured", data_dir)["source_digest"]
    assert batches["reid"]["texture"].shape == (4, 24, 24, 3)
    assert "target" not in protocols.training_words("market1501", protocols.Training(record))


def test_frontal_views_have_the_images_size(data_dir):
    batches, record = open_data(load(data_dir, target__kind="frontal"))
    examples = list(data_sources.open_source("pit_reid_frontal", "train", data_dir))
    np.testing.assert_array_equal(batches["reid"]["texture"], rows_of(examples, batches["reid"], "frontal", 32, 16))
    pairs = list(data_sources.open_source("pit", "train", data_dir))
    np.testing.assert_array_equal(batches["pit"]["texture"], rows_of(pairs, batches["pit"], "frontal", 32, 16))
    assert "with the decoder's target frontal" in protocols.training_words("x", protocols.Training(record))

    batches, record = open_data(load(data_dir, "san_pg", target__kind="frontal"))
    np.testing.assert_array_equal(batches["pit"]["texture"], rows_of(pairs, batches["pit"], "frontal", 32, 16))
    assert record["target"] == "frontal"


def test_the_image_itself_needs_no_second_copy(data_dir, tmp_path, seen):
    training.run(load(data_dir, "san_pg", target__kind="input", num_steps=1), tmp_path)
    assert seen["pit"].pop("made_for") is training.train_step.input_targets
    assert seen["pit"].keys() == {"image"}
    assert folder.read_data(tmp_path)["target"] == "input"
    with pytest.raises(san_pg.TextureError, match="which gives no pseudo targets"):
        pseudo_textures.run_dataset(tmp_path, "pit_reid", data_dir)
    batches, _ = open_data(load(data_dir, target__kind="input"))
    assert batches["reid"].keys() == {"image", "label"}


def test_cameras_reach_the_step_where_l_tr_asks_for_them(data_dir, tmp_path, seen, monkeypatch):
    config = load(data_dir, target__kind="input", loss__triplet_reid_cross_camera=True)
    monkeypatch.setattr(training_data.reading, "read_cameras", lambda source: np.zeros(len(source), np.int64))
    with pytest.raises(RunError, match="needs identities that two cameras saw, and pit_reid has none"):
        training.run(config, tmp_path)
    monkeypatch.setattr(training_data.reading, "read_cameras", lambda source: 5 + np.arange(len(source)) % 2)
    training.run(config, tmp_path)
    assert seen["reid"].keys() == {"made_for", "image", "label", "camera_id"}
    assert seen["pit"].keys() == {"made_for", "image"}
    # The two images of each person have neighbouring numbers.
    np.testing.assert_array_equal(np.sort(seen["reid"]["camera_id"].reshape(2, 2)), [[5, 6], [5, 6]])
    assert seen["reid"]["camera_id"].dtype == np.int32


@pytest.fixture
def own_images(data_dir, tmp_path):
    """A folder with an image for each training image: of several kinds, one colour each."""
    own = tmp_path / "own"
    for index, name in enumerate(names(data_dir)):
        path = (own / name).with_suffix((".jpg", ".jpeg", ".png")[index % 3])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 50 + index), (0, 0, 40 * index)).save(path)
    return own


def test_a_folder_of_target_images(data_dir, own_images):
    config = load(data_dir, target__kind="folder", target__path=own_images, batch_kinds="('reid',)")
    batches, record = open_data(config)
    expected = [
        {"image": example["image"], "own": np.full((32, 16, 3), (0, 0, 40 * index), np.uint8)}
        for index, example in enumerate(data_sources.open_source("pit_reid", "train", data_dir))
    ]
    difference = batches["reid"]["texture"].astype(int) - rows_of(expected, batches["reid"], "own", 32, 16)
    assert np.abs(difference).max() <= 2  # JPEG
    assert open_data(config)[1] == record
    # Other images are other data, which a run is not gone on with.
    Image.new("RGB", (20, 51)).save((own_images / names(data_dir)[0]).with_suffix(".jpg"))
    changed = open_data(config)[1]
    assert {key for key in record if record[key] != changed[key]} == {"targets_digest"}


def test_all_that_is_wrong_with_a_folder_is_told_at_once(data_dir, own_images):
    paths = sorted(path for path in own_images.rglob("*") if path.is_file())
    paths[0].unlink()
    paths[1].write_bytes(b"no image")
    paths[2].with_suffix(".jpg").write_bytes(paths[3].read_bytes())
    huge = io.BytesIO()
    Image.new("1", (5000, 5000)).save(huge, "PNG")
    paths[3].unlink()
    paths[3].with_suffix(".png").write_bytes(huge.getvalue())
    with pytest.raises(datasets.DatasetError) as error:
        open_data(load(data_dir, target__kind="folder", target__path=own_images, batch_kinds="('reid',)"))
    lines = str(error.value).splitlines()
    assert lines[0] == f"target.path={own_images}: 4 of 6 training images without a target there:"
    assert [line.strip().removeprefix(str(own_images)).partition(":")[2] for line in lines[1:-1]] == [
        f" expected one picture ({pictures.KINDS}), found none",
        " not a readable picture (neither JPEG, PNG, WebP nor BMP by its content)",
        f" expected one picture ({pictures.KINDS}), found .jpg and .png",
        " expected an image of at most 16,777,216 pixels, its header says 5000x5000 (height x width); not decoded",
    ]


def test_targets_of_any_kind_are_taken_and_damage_is_named(tmp_path):
    """An upper-case suffix, WebP, 16-bit grey and a turned picture; a file that is cut short is named when it is read."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / "a.PNG", exif=turned)
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / "b.webp", lossless=True)
    Image.fromarray(np.full((4, 8), 128 * 257, np.uint16)).save(tmp_path / "c.png")
    content = dataset_fixtures.encoded(0, 64, 64, "PNG")
    (tmp_path / "d.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "._a.png").write_bytes(b"mac")
    source, _ = targets.open_folder([{"name": f"{name}.jpg".encode(), "image": b""} for name in "abcd"], tmp_path)
    expected = [np.full((8, 4, 3), (255, 0, 0)), np.full((4, 8, 3), (255, 0, 0)), np.full((4, 8, 3), 128)]
    for index, pixels in enumerate(expected):
        np.testing.assert_array_equal(source[index]["target"], pixels)
    with pytest.raises(ValueError, match=r"d\.png: not a readable picture"):
        source[3]


def test_names_that_leave_the_folder(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    source = [{"name": name, "image": b""} for name in (b"../a.png", b"/a.png", b"")]
    (tmp_path / "sub").mkdir()
    with pytest.raises(datasets.DatasetError) as error:
        targets.open_folder(source, tmp_path / "sub")
    assert len(error.value.problems) == 3
    assert "'../a.png' is no relative path" in error.value.problems[0]


def test_true_textures_are_refused_where_there_are_none(tmp_path):
    train_data.build_benchmark(tmp_path / "data", "other", {"train": [0, 0, 1, 1]})
    config = load(tmp_path / "data", target__kind="true_texture", dataset="other", batch_kinds="('reid',)")
    with pytest.raises(training.RunError, match="true textures, which pit_reid alone holds; other has"):
        training.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def pg(tmp_path):
    """The folder of a SAN-PG run."""
    workdir = tmp_path / "pg"
    write_run(workdir, "san_pg.py:smoke", model__width=2)
    dataset_fixtures.write_mirror_map(workdir)
    return workdir


@pytest.fixture
def textured(data_dir, tmp_path, pg):
    """A data_dir with the benchmark and its copy with the textures of that run."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "pit_reid").symlink_to(data_dir / "pit_reid")
    pseudo_textures.run_dataset(pg, "pit_reid", root)
    return root


def test_generated_textures_as_the_input(textured, pg, tmp_path, seen):
    """Training sees the copy's textures in place of images; evaluation makes those of query and gallery alike."""
    config = load(textured, "baseline", input__kind="texture", input__path=pg, test_metric="cosine")
    training.run(config, tmp_path / "run")
    stored = [example["texture"] for example in data_sources.open_source("pit_reid_textured", "train", textured)]
    possible = np.stack([resized(texture, 32, 16) for texture in stored])
    for image in seen["reid"]["image"]:
        assert (possible == image).all(axis=(1, 2, 3)).any()
    regressor = san_pg.load(pg)
    data = folder.read_data(tmp_path / "run")
    assert data is not None
    assert data["san_pg_sha256"] == regressor.digest

    summary = evaluation.run(tmp_path / "run", "pit_reid", textured)
    assert summary["san_pg"] == {"workdir": str(pg), "parameters_sha256": regressor.digest}
    assert f"textures that the run {pg} regresses from the images resized to 32x16" in summary["protocol"]
    assert summary["metric"] == "cosine"
    assert (tmp_path / "run" / "report" / "evaluate_pit_reid_cosine.json").is_file()
    assert (
        evaluation.run(tmp_path / "run", "pit_reid", textured, options=protocols.Options("euclidean"))["metric"]
        == "euclidean"
    )

    network, plan, _ = models.load_run(tmp_path / "run", encoder_only=True)
    found = Embedder(network, plan, textured, san_pg=regressor).embed("pit_reid", "query")
    images = [example["image"] for example in data_sources.open_source("pit_reid", "query", textured)]
    textures = embed.regress_textures(regressor.model, np.stack([resized(image, 64, 32) for image in images]))
    inputs = np.stack([resized(resized(texture, 256, 256), 32, 16) for texture in textures])
    # A batch of another size may round a texture to the next of 256 levels.
    np.testing.assert_allclose(found.embeddings, embed.embed_images(network, inputs), rtol=0.02, atol=1e-3)


def test_another_san_pg_is_refused(textured, pg, tmp_path, seen):
    config = load(textured, "baseline", input__kind="texture", input__path=pg)
    training.run(config, tmp_path / "run")
    shutil.rmtree(pg)
    write_run(pg, "san_pg.py:smoke", model__width=3)
    with pytest.raises(ValueError, match=r"was trained on textures of .* when the digest of its parameters was"):
        evaluation.run(tmp_path / "run", "pit_reid", textured)
    with pytest.raises(
        training.RunError, match=r"textures of pit_reid_textured in .* made by another state of a model"
    ):
        training.run(config, tmp_path / "second")
    shutil.rmtree(pg)
    write_run(pg, "san_pg.py:smoke", model__width=2, target__kind="frontal")
    with pytest.raises(san_pg.TextureError, match="reconstructs 'frontal', not textures"):
        evaluation.run(tmp_path / "run", "pit_reid", textured)
