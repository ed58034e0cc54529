"""The card and the Croissant metadata of every dataset, checked by mlcroissant and against the data read back."""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import mlcroissant as mlc
import numpy as np
import pytest
import tensorflow_datasets as tfds
import yaml
from PIL import Image

import datasets
from datasets.build import DATASETS
from datasets.cards import rendering as rendering_cards
from render import manifest
from san_jax.own_settings import OwnSettings
from tests import dataset_fixtures
from tests.datasets.small_datasets import build_small

# mlcroissant 1.1.1 reads JSON-LD by rdflib, which has deprecated what it uses itself.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")

CARD, CROISSANT = "README.md", "croissant.json"
SECTIONS = [
    "How it was made",
    "What is in it",
    "How it is used",
    "Licence",
    "The people shown, personal data and consent",
    "Limits",
    "Citation",
]
TEXTURED = (
    "market1501_textured",
    "market1501_frontal",
    "cuhk03/labeled_textured",
    "pit_reid_textured",
    "shop_textured",
)


def _write_own(folder: pathlib.Path) -> pathlib.Path:
    """Write two pictures of each of three persons by each of two cameras."""
    for person in range(3):
        for camera in range(2):
            for index in range(2):
                path = folder / f"p{person}" / f"c{camera}" / f"{index}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dataset_fixtures.encoded(100 * person + 10 * camera + index, 64, 32, "JPEG"))
    return folder


def _build_own(folder: pathlib.Path, **settings: Any) -> pathlib.Path:
    arguments = {"data_dir": folder / "data", "manual_dir": _write_own(folder / "own")}
    return datasets.build_own("shop", settings=OwnSettings(**settings), tell=lambda _: None, **arguments)


def _build_tracked(folder: pathlib.Path) -> pathlib.Path:
    """Build `shop_tracked` from frames, of 25 a second, with boxes of three people."""
    lines = []
    for frame in range(1, 7):
        path = folder / "sequence" / "img1" / f"{frame:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(frame, 80, 160, "PNG"))
        lines += [f"{frame},{track},{10 + 45 * track},10,24,60,1,1,1" for track in range(3)]
    (folder / "sequence" / "gt.txt").write_text("\n".join(lines) + "\n")
    settings = OwnSettings(boxes="gt.txt", every=1, frame_rate=25.0)
    return datasets.build_own(
        "shop_tracked", data_dir=folder / "data", manual_dir=folder / "sequence", settings=settings
    )


def _build_textured(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Build `<benchmark>_textured` or `<benchmark>_frontal` of a benchmark that is under `folder / "data"`."""
    benchmark, _, suffix = name.rpartition("_")
    feature, width = ("texture", 256) if suffix == "textured" else ("frontal", 128)
    version = tfds.builder_from_directory(folder / "data" / benchmark / "1.0.0")
    for number, example in enumerate(_read(version, "train")):
        path = (folder / feature / example["name"].decode()).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset_fixtures.encoded(number, 256, width, "PNG"))
    arguments = {"data_dir": folder / "data", "texture_dir": folder / feature}
    return datasets.build_textured(benchmark, metadata={"step": 30}, feature=feature, **arguments)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pathlib.Path]:
    """The folder of a small dataset by its name, built at the first call."""
    root = tmp_path_factory.mktemp("cards")
    built: dict[str, pathlib.Path] = {}

    def folder(name: str) -> pathlib.Path:
        if name not in built:
            if name in TEXTURED:
                benchmark = name.rpartition("_")[0]
                folder(benchmark)
                built[name] = _build_textured(root / benchmark.replace("/", "_"), name)
            elif name == "shop_tracked":
                built[name] = _build_tracked(root / name)
            elif name == "shop":
                built[name] = _build_own(root / name)
            else:
                built[name] = build_small(name, root / name.replace("/", "_"))
        return built[name]

    return folder


def _validated(document: Any, caplog: pytest.LogCaptureFixture) -> mlc.Dataset:
    """Check a document, or the file of one, with mlcroissant: no errors, no warnings, nothing logged."""
    with caplog.at_level("WARNING"):
        dataset = mlc.Dataset(jsonld=document)
    issues = dataset.metadata.issues
    assert (list(issues.errors), list(issues.warnings)) == ([], [])
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    return dataset


def _check_files(folder: pathlib.Path, document: dict[str, Any]) -> set[str]:
    """Check size and digest of every file that a document names; return the names."""
    named = [node for node in document["distribution"] if node["@type"] == "cr:FileObject"]
    for node in named:
        content = (folder / node["contentUrl"]).read_bytes()
        assert node["contentSize"] == f"{len(content)} B"
        assert node["sha256"] == hashlib.sha256(content).hexdigest()
    return {node["contentUrl"] for node in named}


def _read(builder: Any, split: str) -> list[dict[str, Any]]:
    """Read a split, without decoding its images."""
    images = [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]
    return list(builder.as_data_source(split=split, decoders={key: tfds.decode.SkipDecoding() for key in images}))


def _split_rows(dataset: mlc.Dataset) -> dict[str, dict[str, int]]:
    rows = [{key.partition("/")[2]: value for key, value in row.items()} for row in dataset.records("splits")]
    return {row.pop("name"): row for row in rows}


def _front_matter(folder: pathlib.Path) -> tuple[dict[str, Any], str]:
    _, front, body = (folder / CARD).read_text().split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.mark.parametrize("name", [*DATASETS, *TEXTURED, "shop", "shop_tracked"])
def test_croissant_says_what_the_dataset_holds(
    name: str, folders: Callable[[str], pathlib.Path], caplog: pytest.LogCaptureFixture
):
    folder = folders(name)
    dataset = _validated(folder / CROISSANT, caplog)
    document = json.loads((folder / CROISSANT).read_text())
    metadata = dataset.metadata
    assert (metadata.name, str(metadata.version)) == (name, "1.0.0")
    assert metadata.cite_as is not None
    assert metadata.cite_as.startswith("@")
    everything = {path.name for path in folder.iterdir() if path.is_file()}
    assert _check_files(folder, document) == everything - {CARD, CROISSANT}
    builder: Any = tfds.builder_from_directory(folder)
    rows, fields = _split_rows(dataset), {field.id: field for field in metadata.record_sets[1].fields}
    assert set(rows) == set(builder.info.splits)
    assert set(fields) == {"examples/split", *(f"examples/{key}" for key in builder.info.features)}
    for split, row in rows.items():
        examples = _read(builder, split)
        assert row["images"] == len(examples)
        if "person_id" in examples[0]:
            # Distractors of Market-1501 are nobody.
            people = {int(one["person_id"]) for one in examples} - ({0} if name == "market1501" else set())
            assert row["identities"] == len(people)
            assert row["cameras"] == len({int(one["camera_id"]) for one in examples})
        else:
            assert row["textures"] == len({int(one["texture_id"]) for one in examples})
    for key, value in builder.as_data_source(split=next(iter(rows)))[0].items():
        expected = bytes if isinstance(value, bytes) else np.asarray(value).dtype.type
        if np.ndim(value):
            expected = mlc.DataType.IMAGE_OBJECT
        assert fields[f"examples/{key}"].data_type == expected


@pytest.mark.parametrize("name", [*DATASETS, *TEXTURED, "shop", "shop_tracked"])
def test_a_card_has_hugging_faces_form_and_all_sections(name: str, folders: Callable[[str], pathlib.Path]):
    folder = folders(name)
    front, body = _front_matter(folder)
    builder: Any = tfds.builder_from_directory(folder)
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"]
    assert front["license"] == ("unknown" if "shop" in name else "other" if "pit" not in name else "cc0-1.0")
    if front["license"] == "other":
        assert (folder / front["license_link"]).read_text() == builder.info.redistribution_info.license
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == SECTIONS
    assert builder.info.redistribution_info.license in body
    for split, found in builder.info.splits.items():
        assert re.search(rf"^\| `{split}` \| {found.num_examples} \|", body, re.MULTILINE)
    for key in builder.info.features:
        assert f"| `{key}` | " in body
    assert ("**Nobody.**" in body) == ("pit" in name)
    assert ("**Real persons**" in body) == ("pit" not in name and "shop" not in name)
    assert ("**The pictures are the user's own**" in body) == ("shop" in name)
    numbers = {
        key: np.dtype(feature.np_dtype).name
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Scalar)
    }
    examples = [one for split in builder.info.splits for one in _read(builder, split)]
    for key, dtype in numbers.items():
        values = [one[key] for one in examples]
        assert f"| `{key}` | {dtype} | {min(values):g}..{max(values):g} |" in body
    if "texture" in builder.info.features:
        assert "| `texture` | uint8, 256 x 256 x 3, stored as PNG | 0..255, RGB |" in body
    assert body.count("```") == 4  # the command and the citation


def test_tfds_reads_the_fields_as_features(folders: Callable[[str], pathlib.Path]):
    builder = tfds.dataset_builders.CroissantBuilder(jsonld=folders("pit_reid") / CROISSANT)
    assert builder.builder_config.name == "examples"
    features = builder.info.features
    assert isinstance(features["image"], tfds.features.Image)
    assert isinstance(features["name"], tfds.features.Text)
    assert features["person_id"].np_dtype == np.int64
    assert builder.info.redistribution_info.license == "https://creativecommons.org/publicdomain/zero/1.0/"


@pytest.mark.parametrize("recipe", manifest.RECIPES)
def test_a_renderings_records_are_those_of_the_manifest(
    recipe: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
):
    records = _write_truths(tmp_path, dataset_fixtures.write_rendered(tmp_path, recipe), ["mask", "depth", "joints"])
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "000000.json").write_text("{}")
    rendering_cards.write_cards(tmp_path)
    dataset = _validated(tmp_path / CROISSANT, caplog)
    document = json.loads((tmp_path / CROISSANT).read_text())
    assert _check_files(tmp_path, document) == {"manifest.json", "manifest.jsonl", "mirror_map.npy"}
    found = list(dataset.records("pairs"))
    assert len(found) == len(records)
    for one, record in zip(found, records, strict=True):
        for key in ("index", "texture_id", *(("person_id", "camera_id") if recipe == "pit_reid" else ())):
            assert one[f"pairs/{key}"] == getattr(record, key)
        for key in ("split", "texture", *(("frontal",) if recipe == "pit" else ())):
            assert one[f"pairs/{key}"].decode() == getattr(record, key)
        np.testing.assert_array_equal(one["pairs/image"], np.asarray(Image.open(tmp_path / record.image)))
    sets = {one.id for one in dataset.metadata.record_sets}
    views = ("images", "frontals") if recipe == "pit" else ("images",)
    truths = [f"truths/mask/{view}" for view in views]  # mlcroissant would read 8 of the 16 bits of a depth
    assert sets == {"splits", "pairs", "textures", *views[1:], *(name.replace("/", "-") for name in truths)}
    for name in ("textures", *truths):
        key = name.replace("/", "-")
        pictures = {one[f"{key}/path"].decode(): one[f"{key}/image"] for one in dataset.records(key)}
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        assert set(pictures) == {path.relative_to(tmp_path).as_posix() for path in files}
    listed = {one["@id"] for one in document["distribution"]}
    assert {f"truths-{kind}-{view}-files" for kind in ("mask", "depth", "joints") for view in views} <= listed
    rows = _split_rows(dataset)
    for split, row in rows.items():
        assert row["images"] == sum(record.split == split for record in records)
    front, body = _front_matter(tmp_path)
    assert front["license"] == "cc0-1.0"
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == SECTIONS
    assert f"--config={recipe}.py --config.seed=0 " in body
    assert "test_records" not in body  # which lies beside the shards of the dataset alone
    assert "| `truths.depth` | path of a file (.png), under `truths` in the manifest |" in body


def _write_truths(folder: pathlib.Path, records: list[manifest.Record], kinds: list[str]) -> list[manifest.Record]:
    """Write files of further truths into a rendered folder, and name them in its manifest."""
    records = [dataclasses.replace(record, truths=manifest.truth_files(record, kinds)) for record in records]
    for name in (name for record in records for name in record.truths.values()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            path.write_text("[]")
        else:
            Image.fromarray(np.full((256, 128), 3000 if "depth" in name else 255, np.uint16)).save(path)
    manifest.write_header(folder, dataclasses.replace(manifest.read_header(folder), truths=kinds))
    manifest.write_records(folder, records)
    return records


def _broken(change: Callable[[dict[str, Any]], object], folder: pathlib.Path) -> dict[str, Any]:
    document = json.loads((folder / CROISSANT).read_text())
    change(document)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update({"@type": "sc:Thing"}),
        lambda document: document.update({"conformsTo": "http://mlcommons.org/croissant/9.9"}),
        lambda document: document["distribution"][0].pop("sha256"),
        lambda document: document["distribution"][0].pop("encodingFormat"),
        lambda document: document["distribution"][0].update({"@id": document["distribution"][1]["@id"]}),
        lambda document: document["recordSet"][1]["field"].append({"@type": "cr:Field", "@id": "examples/more"}),
        lambda document: document["recordSet"][1]["field"][1]["source"]["fileSet"].update({"@id": "nothing"}),
        lambda document: document["recordSet"][1]["field"][1].pop("dataType"),
        lambda document: document["recordSet"][0]["data"][0].pop("splits/images"),
    ],
    ids=["type", "version", "sha256", "format", "same id", "source", "reference", "data type", "counts"],
)
def test_the_validator_refuses_broken_metadata(
    change: Callable[[dict[str, Any]], object], folders: Callable[[str], pathlib.Path]
):
    with pytest.raises(mlc.ValidationError):
        mlc.Dataset(jsonld=_broken(change, folders("pit_reid")))


def test_the_validator_warns_where_the_licence_is_missing(folders: Callable[[str], pathlib.Path]):
    document = _broken(lambda document: document.pop("license"), folders("pit_reid"))
    assert any("license" in one for one in mlc.Dataset(jsonld=document).metadata.issues.warnings)


def test_a_manifest_that_changed_is_not_read(tmp_path: pathlib.Path):
    records = dataset_fixtures.write_rendered(tmp_path, "pit")
    rendering_cards.write_cards(tmp_path)
    manifest.write_records(tmp_path, [*records[:-1], dataclasses.replace(records[-1], texture_id=0)])
    with pytest.raises(mlc.GenerationError) as error:
        list(mlc.Dataset(jsonld=tmp_path / CROISSANT).records("pairs"))
    assert "manifest.jsonl is not identical with the reference in the Croissant" in str(error.value.__cause__)


def test_a_dataset_without_a_card_gets_it_without_being_built_again(tmp_path: pathlib.Path):
    folder = _build_own(tmp_path, seed=3)
    written = {name: (folder / name).read_text() for name in (CARD, CROISSANT)}
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in written}
    for name in written:
        (folder / name).unlink()
    assert _build_own(tmp_path, seed=3) == folder
    assert {name: (folder / name).read_text() for name in (CARD, CROISSANT)} == written
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in written}
    # A user's changes stay, and what is missing beside them comes back.
    (folder / CARD).write_text("mine")
    (folder / CROISSANT).unlink()
    _build_own(tmp_path, seed=3)
    assert (folder / CARD).read_text() == "mine"
    assert (folder / CROISSANT).read_text() == written[CROISSANT]


def test_the_terms_and_words_of_own_pictures_stand_in_the_card(tmp_path: pathlib.Path):
    description = "Friends | <b>who</b> agreed\n\n## to be shown."
    folder = _build_own(tmp_path, license="cc-by-4.0", description=description, test_share=0.4)
    front, body = _front_matter(folder)
    assert front["license"] == "cc-by-4.0"
    assert "What its maker says: Friends | &lt;b&gt;who&lt;/b&gt; agreed ## to be shown." in body
    assert "<https://creativecommons.org/licenses/by/4.0/>" in body
    assert "Without a licence" not in body
    assert "--dataset=own:shop --manual_dir=SOURCE --data_dir=data --test_share=0.4\n" in body
    document = json.loads((folder / CROISSANT).read_text())
    assert document["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert document["description"].startswith(description)
    # Other words are no other dataset.
    (folder / CARD).unlink()
    assert _build_own(tmp_path, license="cc-by-4.0", description="Nobody.", test_share=0.4) == folder
    assert "What its maker says: Nobody." in (folder / CARD).read_text()


def test_who_made_own_pictures_and_where_they_are_stands_in_the_metadata(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
):
    told = {"creator": "Ann {A.} Lee; Shop\tand Sons ;", "url": "https://example.org/shop?v=1"}
    folder = _build_own(tmp_path, **told)
    document = json.loads((folder / CROISSANT).read_text())
    assert [one["name"] for one in document["creator"]] == ["Ann {A.} Lee", "Shop and Sons"]
    dataset = _validated(folder / CROISSANT, caplog)
    assert dataset.metadata.url == told["url"]
    _, body = _front_matter(folder)
    assert "  author={{Ann A. Lee} and {Shop and Sons}},\n  url={https://example.org/shop?v=1},\n" in body
    assert "--creator" not in body
    # They make no other dataset, and are known without being given again.
    for name in (CARD, CROISSANT):
        (folder / name).unlink()
    assert _build_own(tmp_path) == folder
    assert json.loads((folder / CROISSANT).read_text()) == document


def test_who_made_own_pictures_is_not_made_up(folders: Callable[[str], pathlib.Path]):
    document = json.loads((folders("shop") / CROISSANT).read_text())
    assert document.keys().isdisjoint({"creator", "url"})


def test_terms_beside_a_licences_name_are_other_terms(tmp_path: pathlib.Path):
    front, body = _front_matter(_build_own(tmp_path, license="CC-BY-4.0 for half of them: ask."))
    assert (front["license"], front["license_details"]) == ("other", "CC-BY-4.0 for half of them: ask.")
    assert "creativecommons.org" not in body


def test_without_a_licence_a_card_says_so(folders: Callable[[str], pathlib.Path]):
    front, body = _front_matter(folders("shop"))
    assert front["license"] == "unknown"
    assert "Not stated by who made this dataset of own pictures: ask them." in body
    assert "Without a licence nobody but its maker may use it." in body
    assert "stand in `names.json`, and may stand in the feature `name` of every example" in body


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"background_dir": {"files": 3, "digest": "x"}}, "but photographs are in the pictures"),
        ({"cloth_dir": {"files": 3, "digest": "x"}, "background_dir": None}, "but photographs are in the pictures"),
        ({"recipe": "paper"}, "were made from scans of real people"),
        ({"cloth_dir": None, "background_dir": None}, "**Nobody.**"),
    ],
)
def test_a_renderings_card_says_which_real_people_are_in_it(
    parameters: dict[str, Any], words: str, tmp_path: pathlib.Path
):
    dataset_fixtures.write_rendered(tmp_path, "pit")
    header = manifest.read_header(tmp_path)
    manifest.write_header(tmp_path, dataclasses.replace(header, parameters=parameters))
    rendering_cards.write_cards(tmp_path)
    assert words in (tmp_path / CARD).read_text()
    assert (":paper " in (tmp_path / CARD).read_text()) == ("recipe" in parameters)
