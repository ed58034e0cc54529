"""What the decoder reconstructs and what the reID network sees: where it comes from, and what is refused.

The real datasets, and the real loop where a test is about it; its steps compute nothing but keep their batches.
"""

import contextlib
import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict
from PIL import Image

import datasets
from experiments.command_line import config_files
from experiments.runs import data_sources, pseudo_textures, restore, targets, training
from experiments.scoring import evaluation, protocols
from san_jax import embed, pictures, sharding
from san_jax.models import SAN
from tests import dataset_fixtures
from tests.experiments import train_data

SMALL = (
    "smoke,prepare=,init_from=,image_size=(32, 16),model.width=2,"
    "num_steps=2,log_every=1,checkpoint_every=2,optimizer.schedule=cosine,optimizer.warmup_epochs=0"
)
NUM_IDS, PER_ID = 3, 2


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """`pit` and `pit_reid` of noise, and `pit_reid_frontal`, where frontal view i is all of colour i."""
    folder = tmp_path_factory.mktemp("targets")
    data_dir = train_data.build_all(folder, num_pairs=6, num_ids=NUM_IDS, per_id=PER_ID)
    for index, name in enumerate(names(data_dir)):
        path = (folder / "frontal" / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (128, 256), (index, index, index)).save(path)
    built = datasets.build_textured(
        "pit_reid", data_dir=data_dir, texture_dir=folder / "frontal", metadata={}, feature="frontal"
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

    def make_step(kind, *arguments, target, **keywords):
        def step(state, batch):
            found.setdefault(kind, {"made_for": target, **{key: np.asarray(value) for key, value in batch.items()}})
            state = dataclasses.replace(state, step=jax.device_put(state.step + 1, state.step.sharding))
            return state, {"loss": np.float32(1.0)}

        return step

    monkeypatch.setattr(training.train_step, "make_step", make_step)
    monkeypatch.setattr(jax, "transfer_guard", lambda level: contextlib.nullcontext())
    return found


def load(data_dir, stage="san", **changes):
    variant = SMALL
    if stage != "san_pg":
        variant += ",batch.num_identities=2,batch.images_per_identity=2"
    if stage != "baseline":
        variant += ",model.texture_size=24,batch.pit_size=3"
    config = config_files.load(f"{stage}.py:{variant},data_dir={data_dir}")
    for key, value in changes.items():
        config_files.override(config, key, str(value))
    return config


def open_data(config):
    """The first batch of each kind, and what data.json will say."""
    data = training._open_data(config, training.turns_of(config))
    batches = {kind: next(stream) for kind, stream in data.streams.items()}
    for stream in data.streams.values():
        stream.close()
    return batches, data.record


def resized(pixels, height, width):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def rows_of(examples, batch, key, height, width):
    """The example's feature `key`, resized, of each row of the batch; the image says which example a row is."""
    images = np.stack([resized(example["image"], 32, 16) for example in examples])
    rows = [int(np.flatnonzero((images == image).all(axis=(1, 2, 3)))[0]) for image in batch["image"]]
    return np.stack([resized(examples[row][key], height, width) for row in rows])


def test_true_textures_are_the_benchmarks_own(data_dir):
    batches, record = open_data(load(data_dir, target="true_texture"))
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
    batches, record = open_data(load(data_dir, target="frontal"))
    examples = list(data_sources.open_source("pit_reid_frontal", "train", data_dir))
    np.testing.assert_array_equal(batches["reid"]["texture"], rows_of(examples, batches["reid"], "frontal", 32, 16))
    pairs = list(data_sources.open_source("pit", "train", data_dir))
    np.testing.assert_array_equal(batches["pit"]["texture"], rows_of(pairs, batches["pit"], "frontal", 32, 16))
    assert "with the decoder's target frontal" in protocols.training_words("x", protocols.Training(record))

    batches, record = open_data(load(data_dir, "san_pg", target="frontal"))
    np.testing.assert_array_equal(batches["pit"]["texture"], rows_of(pairs, batches["pit"], "frontal", 32, 16))
    assert record["target"] == "frontal"


def test_the_image_itself_needs_no_second_copy(data_dir, tmp_path, seen):
    training.run(load(data_dir, "san_pg", target="input", num_steps=1, checkpoint_every=1), tmp_path)
    assert seen["pit"].pop("made_for") == "input"
    assert seen["pit"].keys() == {"image"}
    assert restore.read_data(tmp_path)["target"] == "input"
    with pytest.raises(pseudo_textures.TextureError, match="which are no pseudo targets"):
        pseudo_textures.run_dataset(tmp_path, "pit_reid", data_dir)
    batches, _ = open_data(load(data_dir, target="input"))
    assert batches["reid"].keys() == {"image", "label"}


@pytest.fixture
def own_images(data_dir, tmp_path):
    """A folder with an image for each training image: of several kinds, one colour each."""
    folder = tmp_path / "own"
    for index, name in enumerate(names(data_dir)):
        path = (folder / name).with_suffix((".jpg", ".jpeg", ".png")[index % 3])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 50 + index), (0, 0, 40 * index)).save(path)
    return folder


def test_a_folder_of_target_images(data_dir, own_images):
    config = load(data_dir, target="folder", target_dir=own_images, turns="('reid',)")
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
        open_data(load(data_dir, target="folder", target_dir=own_images, turns="('reid',)"))
    lines = str(error.value).splitlines()
    assert lines[0] == f"target_dir={own_images}: 4 of 6 training images have no target there:"
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


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        (
            "san",
            {"target": "depth"},
            "target must be one of texture, true_texture, frontal, input, folder in this stage",
        ),
        ("san_pg", {"target": "true_texture"}, "target must be one of texture, input, frontal in this stage"),
        ("san", {"target": "folder", "turns": "('reid',)"}, "target=folder and target_dir .* belong together"),
        ("san", {"target_dir": "d"}, "belong together, found target='texture' and target_dir='d'"),
        ("san", {"target": "folder", "target_dir": "d"}, r"no targets for PIT images: set turns=\('reid',\)"),
        (
            "san",
            {"target": "true_texture", "dataset": "other", "turns": "('reid',)"},
            "true textures, which pit_reid alone holds; other has",
        ),
        ("san", {"test_metric": "chebyshev"}, "test_metric must be one of .*cosine.*, found 'chebyshev'"),
        ("baseline", {"input": "depth"}, "input must be 'image' or 'texture', found 'depth'"),
        ("baseline", {"input": "texture"}, "input=texture and generator .* belong together"),
        ("baseline", {"generator": "g"}, "belong together, found input='image' and generator='g'"),
    ],
)
def test_what_is_refused(data_dir, tmp_path, stage, changes, message):
    if changes.get("dataset") == "other":
        train_data.build_benchmark(tmp_path / "data", "other", {"train": [0, 0, 1, 1]})
        data_dir = tmp_path / "data"
    with pytest.raises(training.RunError, match=message):
        training.run(load(data_dir, stage, **changes), tmp_path / "run")


GENERATOR = ConfigDict(
    {
        "stage": "pg",
        "target": "texture",
        "image_size": (64, 32),
        "num_workers": 0,
        "model": {"encoder": "resnet50", "width": 2, "stage_sizes": (1, 1, 1, 1)},
    }
)


@pytest.fixture
def generator(monkeypatch):
    """The model that every SAN-PG folder holds."""
    model = SAN(0, width=2, stage_sizes=(1, 1, 1, 1), texture_size=32, rngs=nnx.Rngs(0))
    monkeypatch.setattr(pseudo_textures, "load_decoder", lambda workdir: (model, GENERATOR))
    return model


@pytest.fixture
def textured(data_dir, tmp_path, generator):
    """A data_dir with the benchmark and its copy with the generator's textures."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pit_reid").symlink_to(data_dir / "pit_reid")
    dataset_fixtures.write_mirror_map(tmp_path / "pg")
    (tmp_path / "pg" / "config.json").write_text(config_files.to_json(GENERATOR))
    pseudo_textures.run_dataset(tmp_path / "pg", "pit_reid", folder)
    return folder


def test_generated_textures_as_the_input(textured, generator, tmp_path, seen):
    """Training sees the copy's textures in place of images; evaluation makes those of query and gallery alike."""
    config = load(textured, "baseline", input="texture", generator=tmp_path / "pg", test_metric="cosine")
    training.run(config, tmp_path / "run")
    stored = [example["texture"] for example in data_sources.open_source("pit_reid_textured", "train", textured)]
    possible = np.stack([resized(texture, 32, 16) for texture in stored])
    for image in seen["reid"]["image"]:
        assert (possible == image).all(axis=(1, 2, 3)).any()
    digest = pseudo_textures.parameter_digest(generator)
    assert restore.read_data(tmp_path / "run")["generator_sha256"] == digest

    summary = evaluation.run(tmp_path / "run", "pit_reid", textured)
    assert summary["generator"] == {"workdir": str(tmp_path / "pg"), "parameters_sha256": digest}
    assert f"textures that the run {tmp_path / 'pg'} regresses from the images resized to 32x16" in summary["protocol"]
    assert summary["metric"] == "cosine"
    assert (tmp_path / "run" / "report" / "evaluate_pit_reid_cosine.json").is_file()
    assert evaluation.run(tmp_path / "run", "pit_reid", textured, metric="euclidean")["metric"] == "euclidean"

    model, config = restore.load_run(tmp_path / "run", encoder_only=True)
    found = evaluation.embed_split(
        model, config, "pit_reid", "query", textured, generator=pseudo_textures.load_generator(tmp_path / "pg")
    )
    images = [example["image"] for example in data_sources.open_source("pit_reid", "query", textured)]
    textures = embed.regress_textures(generator, np.stack([resized(image, 64, 32) for image in images]))
    inputs = np.stack([resized(resized(texture, 256, 256), 32, 16) for texture in textures])
    # A batch of another size may round a texture to the next of 256 levels.
    np.testing.assert_allclose(found.embeddings, embed.embed_images(model, inputs), rtol=0.02, atol=1e-3)


def test_another_generator_is_refused(textured, generator, tmp_path, seen, monkeypatch):
    config = load(textured, "baseline", input="texture", generator=tmp_path / "pg")
    training.run(config, tmp_path / "run")
    other = SAN(0, width=2, stage_sizes=(1, 1, 1, 1), texture_size=32, rngs=nnx.Rngs(1))
    monkeypatch.setattr(pseudo_textures, "load_decoder", lambda workdir: (other, GENERATOR))
    with pytest.raises(ValueError, match=r"The run was trained on textures of .* when its parameters were"):
        evaluation.run(tmp_path / "run", "pit_reid", textured)
    with pytest.raises(
        training.RunError, match=r"textures of pit_reid_textured in .* made by another state of a model"
    ):
        training.run(config, tmp_path / "second")
    frontal = ConfigDict({**GENERATOR.to_dict(), "target": "frontal"})
    monkeypatch.setattr(pseudo_textures, "load_decoder", lambda workdir: (generator, frontal))
    with pytest.raises(pseudo_textures.TextureError, match="reconstructs 'frontal', not textures"):
        evaluation.run(tmp_path / "run", "pit_reid", textured)


def test_a_run_from_before_targets(data_dir, tmp_path):
    """Its config has none of the keys: it is read, and gone on with, as what it was."""
    config = load(data_dir)
    old = json.loads(config_files.to_json(config))
    for key in ("target", "target_dir", "test_metric"):
        del old[key]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert training.changed_keys(restore.read_config(tmp_path), config) == {}
    changed = training.changed_keys(restore.read_config(tmp_path), load(data_dir, target="input", test_metric="cosine"))
    assert changed == {"target": ("texture", "input")}  # the metric changes nothing that is trained
