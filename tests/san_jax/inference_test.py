"""The Python door: every kind of input and of source gives what the evaluation gives of the same images."""

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import optax
import pytest
import safetensors.numpy
from PIL import Image

import san_jax
from experiments.runs import exporting
from san_jax import checkpoint, embed, files, models, onnx_file, pictures, pretrained, run_folder, train_state
from san_jax.data.pipeline import eval_batches
from san_jax.models import weights as weight_files
from san_jax.models.weights import torch_files
from san_jax.settings import ModelSettings
from tests.experiments.export_runs import needs_onnx, relative
from tests.golden import weights as golden
from tests.san_jax.models.weights import torch_saves

FOLDER = pathlib.Path(__file__).parents[1] / "golden" / "weight_files"
SIZE = (64, 32)
MODEL = {"width": 4, "stage_sizes": (1, 1, 1, 1), "texture_size": 32}


def write_run(folder: pathlib.Path, config: dict[str, Any], *, decoder_size: Any = None) -> models.SAN:
    """Writes the folder of a run whose network has weights unlike a fresh one's, and returns the network."""
    model = models.build(ModelSettings(**config["model"]), 3, decoder_size=decoder_size, seed=0)
    graphdef, *trees = models.split_model(model)

    def draw(path: Any, leaf: Any) -> Any:
        return golden.draw(".".join(str(key.key) for key in path[1:]), leaf.shape)

    model = models.merge_model(graphdef, *jax.tree.map_with_path(draw, trees))
    run_folder.write_config(folder, {"image_size": SIZE, "target": {"kind": "texture"}, **config})
    _, state = train_state.create(model, optax.identity(), average=False)
    checkpoints = checkpoint.Checkpoints(folder / run_folder.CHECKPOINT_FOLDER, keep=1)
    checkpoints.save(7, state, {})
    checkpoints.close()
    return model


def random_images(count: int, size: tuple[int, int], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def expected_embeddings(model: models.SAN, images: Any, **options: Any) -> np.ndarray:
    """What `experiments.evaluate` computes: the pipeline's batches, over all devices."""
    source: Any = [{"image": image, "person_id": 0, "camera_id": 0} for image in images]
    batches: Any = eval_batches(source, batch_size=64, image_size=SIZE)
    return embed.embed_batches(model, batches, mesh=embed.machine_mesh(), **options)


@pytest.fixture(scope="module")
def san(tmp_path_factory) -> tuple[pathlib.Path, models.SAN]:
    folder = tmp_path_factory.mktemp("door") / "san"
    return folder, write_run(folder, {"method": "san", "model": MODEL, "test_metric": "cosine"}, decoder_size=32)


@pytest.fixture(scope="module")
def encoder(san) -> Any:
    return san_jax.load_encoder(san[0])


def test_a_run_embeds_as_the_evaluation_does(san, encoder):
    images = random_images(5, (91, 40))
    assert (encoder.image_size, encoder.embedding_size, encoder.metric) == (SIZE, 128, "cosine")
    embeddings = encoder(images)
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (5, 128))
    np.testing.assert_array_equal(embeddings, expected_embeddings(san[1], images))
    assert np.abs(embeddings - embeddings[:1]).max() > 1e-3  # the images do not all embed alike
    np.testing.assert_array_equal(encoder(images, flip=True), expected_embeddings(san[1], images, flip=True))


def test_every_kind_of_images(tmp_path, encoder):
    images = [*random_images(2, (91, 40)), *random_images(2, (50, 70))]
    pillow = [Image.fromarray(image) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for image, path in zip(pillow, paths, strict=True):
        image.save(path)
    embeddings = encoder(images)
    np.testing.assert_array_equal(encoder([images[0], pillow[1], paths[2], str(paths[3])]), embeddings)
    np.testing.assert_array_equal(encoder(pillow), embeddings)
    np.testing.assert_array_equal(encoder(iter(paths)), embeddings)
    np.testing.assert_array_equal(encoder(jax.numpy.asarray(np.stack(images[:2]))), embeddings[:2])


@needs_onnx
def test_onnx_gives_what_jax_gives(san, encoder):
    images = random_images(3, (91, 40))
    other = san_jax.load_encoder(san[0], runtime="onnx")
    assert (encoder.runtime, encoder.step, other.runtime, other.step) == ("jax", 7, "onnx", 7)
    for flip in (False, True):
        embeddings = other(images, flip=flip)
        assert (embeddings.dtype, embeddings.shape) == (np.float32, (3, 128))
        assert relative(embeddings, encoder(images, flip=flip)) < 1e-5
    with pytest.raises(ValueError, match="no images"):
        other([])
    with pytest.raises(ValueError, match="runtime must be one of jax, onnx, found 'torch'"):
        san_jax.load_encoder(san[0], runtime="torch")


@needs_onnx
def test_onnx_refuses_weights_that_are_not_finite(san):
    graphdef, *trees = models.split_model(san[1])
    broken = models.merge_model(graphdef, *jax.tree.map(lambda x: x * np.float32(np.nan), trees))
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        onnx_file.open_encoder(broken, SIZE)


def test_pictures_are_taken_by_the_rules(tmp_path, encoder):
    """Upright, grey as RGB, what is transparent on white, of 16 bits the upper 8: files and Pillow's images alike."""
    image = random_images(1, (80, 40))[0]
    turned, exif = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    grey = image[..., 0]
    Image.fromarray(grey.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    clear = Image.fromarray(np.dstack([image, np.where(grey > 128, 255, 0).astype(np.uint8)]))
    clear.save(tmp_path / "clear.png")
    on_white = np.where(grey[..., None] > 128, image, 255).astype(np.uint8)
    names = ["turned.png", "deep.png", "clear.png"]
    expected = encoder([image, np.dstack([grey] * 3), on_white])
    np.testing.assert_array_equal(encoder([tmp_path / name for name in names]), expected)
    np.testing.assert_array_equal(encoder([Image.open(tmp_path / name) for name in names]), expected)


def test_any_number_of_images_compiles_once(encoder):
    images = random_images(67, SIZE)
    whole = encoder(images)
    compiled = embed._embed._cache_size()
    for count in (1, 64, 66):
        np.testing.assert_array_equal(encoder(images[:count]), whole[:count])
    assert embed._embed._cache_size() == compiled


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "no images"),
        ([], "no images"),
        (np.zeros((2, 8, 8, 3), np.float32), r"images\[0\]: expected uint8, 0 to 255, found float32"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3))], r"images\[1\]: expected uint8.*found float64"),
        (np.zeros((8, 8, 3), np.uint8), r"\[N H W 3\], found \[8, 8, 3\]. A single image: images\[None\]"),
        (np.zeros((2, 8, 8, 1), np.uint8), r"\[N H W 3\], found \[2, 8, 8, 1\]"),
        (np.zeros((2, 0, 8, 3), np.uint8), r"images\[0\]: expected RGB of shape \[H W 3\], found \[0, 8, 3\]"),
        ([np.zeros((8, 8), np.uint8)], r"images\[0\]: expected RGB"),
        ([Image.new("F", (8, 8))], r"images\[0\]: an image of floats"),
        (["absent.png"], r"images\[0\], absent.png: no such file"),
        ([__file__], r"images\[0\], .*inference_test.py: not a readable picture"),
        ("picture.png", r"expected several images, found one \(str\)"),
    ],
)
def test_images_that_are_none(encoder, images, message):
    with pytest.raises(ValueError, match=message):
        encoder(images)


def test_textures_of_a_run(san):
    folder, model = san
    images = random_images(3, (91, 40))
    regressor = san_jax.load_regressor(folder)
    assert (regressor.image_size, regressor.texture_size, regressor.is_texture) == (SIZE, (32, 32), True)
    resized = np.stack([pictures.resize_image(Image.fromarray(image), SIZE) for image in images])
    expected = embed.regress_textures(model, resized, mesh=embed.machine_mesh())
    np.testing.assert_array_equal(regressor(images), expected)
    assert expected.std(axis=0).max() > 1  # the textures are not all alike


def test_a_run_that_reconstructs_images(tmp_path):
    config = {"method": "san_pg", "model": MODEL, "target": {"kind": "input"}}
    model = write_run(tmp_path / "run", config, decoder_size=SIZE)
    regressor = san_jax.load_regressor(tmp_path / "run", batch_size=8)
    assert (regressor.texture_size, regressor.is_texture, regressor.batch_size) == (SIZE, False, 8)
    images = random_images(2, SIZE)
    expected = embed.regress_textures(model, images, batch_size=8, mesh=embed.machine_mesh())
    np.testing.assert_array_equal(regressor(images), expected)
    assert san_jax.load_encoder(tmp_path / "run").metric == "euclidean"


def test_a_run_whose_input_are_textures(tmp_path, san):
    """Images -> textures by SAN-PG -> as they are stored, 256 x 256 -> resized -> embedded."""
    folder, san_pg = san
    config = {"method": "baseline", "model": {**MODEL, "width": 6}, "input": {"kind": "texture", "path": str(folder)}}
    model = write_run(tmp_path / "run", config)
    with pytest.raises(ValueError, match=r"trained on textures of .* when the digest of its parameters was None; that"):
        san_jax.load_encoder(tmp_path / "run")
    files.write_json(tmp_path / "run" / "data.json", {"san_pg_sha256": models.parameter_digest(san_pg)})
    images = random_images(3, (91, 40))
    textures = san_jax.load_regressor(folder)(images)
    stored = [Image.fromarray(texture).resize((256, 256), Image.Resampling.BILINEAR) for texture in textures]
    inputs = np.stack([pictures.resize_image(texture, SIZE) for texture in stored])
    encoder = san_jax.load_encoder(tmp_path / "run")
    np.testing.assert_array_equal(encoder(images), expected_embeddings(model, inputs))


def forward(model: models.SAN, images: np.ndarray) -> np.ndarray:
    return embed.embed_images(model, images, mesh=embed.machine_mesh())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet.pth", {"width": 2, "stage_sizes": (1, 2, 1, 1)}),
        ("resnet.safetensors", {"width": 2, "stage_sizes": (1, 2, 1, 1)}),
        ("densenet_legacy.pth", {"encoder": "densenet121", "width": 4, "stage_sizes": (2, 1, 2, 1)}),
    ],
)
def test_weights_of_torchvision(name, options):
    empty = models.skeleton(ModelSettings(**options), 0, decoder_size=None)
    weights = weight_files.load_encoder_weights(FOLDER / name, empty.encoder)
    graphdef = models.split_model(empty)[0]
    model = models.merge_model(graphdef, {"encoder": weights.params}, {"encoder": weights.batch_stats})
    images = random_images(3, SIZE)
    encoder = san_jax.load_encoder(FOLDER / name, image_size=SIZE)
    assert (encoder.image_size, encoder.metric) == (SIZE, "euclidean")
    np.testing.assert_array_equal(encoder(images), forward(model, images))
    assert san_jax.load_encoder(FOLDER / name).image_size == (256, 128)


def test_the_released_checkpoint():
    path = FOLDER / "checkpoint_ep300.pth.tar"
    settings = ModelSettings(width=2, stage_sizes=(1, 2, 1, 1), feature_size=6)
    empty = models.skeleton(settings, 0, decoder_size=None)
    trees = weight_files.load_released_checkpoint(path, empty)
    images = random_images(3, SIZE)
    encoder = san_jax.load_encoder(path, image_size=SIZE)
    assert encoder.embedding_size == 6
    expected = forward(models.merge_model(models.split_model(empty)[0], *trees), images)
    np.testing.assert_array_equal(encoder(images), expected)


def test_one_of_several_networks(tmp_path):
    tensors = {name: np.array(value) for name, value in torch_files.read(FOLDER / "resnet.pth").items()}
    both = {f"query.{name}": value for name, value in tensors.items()}
    both |= {f"key.{name}": value + (1 if name == "bn1.bias" else 0) for name, value in tensors.items()}
    path = torch_saves.save(tmp_path / "moco.pth", both)
    with pytest.raises(weight_files.SeveralError, match="several networks in it fit"):
        san_jax.load_encoder(path)
    images = random_images(2, SIZE)
    one, other = (san_jax.load_encoder(path, place=place, image_size=SIZE)(images) for place in ("query.", "key."))
    np.testing.assert_array_equal(one, san_jax.load_encoder(FOLDER / "resnet.pth", image_size=SIZE)(images))
    assert np.abs(one - other).max() > 1e-3


def test_what_is_no_source(tmp_path, san):
    for load in (san_jax.load_encoder, san_jax.load_regressor):
        with pytest.raises(FileNotFoundError, match="does not exist: expected the folder of a run"):
            load(tmp_path / "absent")
        with pytest.raises(FileNotFoundError, match=r"config.json does not exist: expected the folder of a run"):
            load(tmp_path)
        with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
            load(san[0], batch_size=0)
    with pytest.raises(ValueError, match=r"is a file: expected the folder of a run"):
        san_jax.load_regressor(FOLDER / "resnet.pth")
    with pytest.raises(weight_files.TorchFileError, match=r"inference_test.py: expected a file of torch.save"):
        san_jax.load_encoder(__file__)
    path = torch_saves.save(tmp_path / "osnet.pth", {"conv2.0.conv1.conv.weight": np.zeros((2, 2, 1, 1), np.float32)})
    with pytest.raises(weight_files.WeightsError, match=r"osnet.pth: expected torchvision's .* found an OSNet"):
        san_jax.load_encoder(path)


def test_runs_that_cannot_be_used(tmp_path):
    baseline = {"method": "baseline", "model": MODEL, "input": {"kind": "image", "path": ""}}
    write_run(tmp_path / "baseline", baseline)
    with pytest.raises(ValueError, match=r"is a run without decoder \(a baseline\)"):
        san_jax.load_regressor(tmp_path / "baseline")
    run_folder.write_config(tmp_path / "new", {"image_size": SIZE, **baseline})
    with pytest.raises(checkpoint.CheckpointError, match="there is no checkpoint"):
        san_jax.load_encoder(tmp_path / "new")
    run_folder.write_config(tmp_path / "odd", {**baseline, "model": {"encoder": "vgg"}})
    with pytest.raises(run_folder.RunFolderError, match=r"odd: its config .* encoder must be one of"):
        san_jax.load_encoder(tmp_path / "odd")


ALONE = """
import sys, time
import san_jax
light = {"jax", "numpy", "flax", "PIL"} & set(sys.modules)
assert not light, light
assert {"load_encoder", "load_regressor", "ranking"} <= set(dir(san_jax))
encoder = san_jax.load_encoder(sys.argv[1], batch_size=8)
san_jax.ranking.evaluate_ranking
heavy = {"absl.app", "ml_collections", "tensorflow_datasets", "grain", "orbax", "tensorstore"}
heavy |= {"experiments", "render", "datasets"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from PIL import Image
for one in ("picture.png", Image.new("RGB", (8, 8))):
    try:
        encoder(one)
    except ValueError as error:
        assert "put it into a list" in str(error)
    else:
        raise AssertionError(one)
san_jax.load_encoder(sys.argv[2])
heavy -= {"orbax", "tensorstore"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
try:
    san_jax.load_enocder
except AttributeError as error:
    print(error)
"""


def test_what_is_imported(san):
    """Nothing heavy at first; a file of weights needs no program's libraries; a run's folder, Orbax. Flax imports absl."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, FOLDER / "resnet.pth", san[0]],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "has no attribute 'load_enocder'" in done.stdout


def test_an_encoder_that_comes_with_the_package(tmp_path, san, monkeypatch):
    folder = tmp_path / "pretrained"
    exporting.run(san[0], folder / "tiny", formats=["safetensors"])
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), np.uint8)
    expected = san_jax.load_encoder(san[0], batch_size=2)(images)
    found = san_jax.load_encoder("tiny", batch_size=2)(images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(FileNotFoundError, match=r"small does not exist: .*comes with the package \(tiny\)"):
        san_jax.load_encoder("small")
    with pytest.raises(FileNotFoundError, match="No encoder 'small' comes with the package, which has tiny"):
        pretrained.find("small")
    # What the user has by that name comes first.
    (tmp_path / "tiny").mkdir()
    with pytest.raises(FileNotFoundError, match=r"config.json does not exist"):
        san_jax.load_encoder("tiny")


def test_a_file_without_a_card_is_refused(tmp_path):
    """The pair itself is tested with the program that writes it, tests/experiments/export_test.py."""
    tensors, metadata = {"conv1.weight": np.zeros((2, 3, 7, 7), np.float32)}, {"embedding_size": "64"}
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    with pytest.raises(FileNotFoundError, match=r"model_card.json does not exist: expected the model card of enc"):
        san_jax.load_encoder(path)
    (tmp_path / "model_card.json").write_text(json.dumps({"files": {path.name: {"sha256": "0"}}}))
    with pytest.raises(ValueError, match=re.escape(f"{path} is not the file that")):
        san_jax.load_encoder(path)
