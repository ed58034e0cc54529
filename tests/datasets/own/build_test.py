"""Datasets of own pictures as they are built: the contract of the benchmarks, and their checks."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
import tensorflow_datasets as tfds

from datasets import DatasetError
from datasets.examples import reid_features
from tests.datasets.own import drawn

PERSONS = ("anna", "bob", "eve", "ida")
NAMES = [f"{person}/{camera}/{number}.jpg" for person in PERSONS for camera in ("cam2", "cam10") for number in (1, 2)]


@pytest.fixture
def pictures(tmp_path: pathlib.Path) -> pathlib.Path:
    """Four persons, two cameras, two pictures each."""
    return drawn.draw(tmp_path / "pictures", NAMES)


@pytest.fixture
def data_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "data"


def test_a_dataset_has_what_a_benchmark_has(pictures: pathlib.Path, data_dir: pathlib.Path):
    folder = drawn.build(pictures, data_dir, license="CC0-1.0")
    assert folder == data_dir / "shop" / "1.0.0"
    info = tfds.builder_from_directory(folder).info
    assert set(info.features) == set(reid_features())
    assert info.redistribution_info.license == "CC0-1.0"
    splits = drawn.read(folder)
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 8, "query": 4, "gallery": 4}
    persons = {person: number for number, person in enumerate(PERSONS)}
    cameras = {"cam2": 0, "cam10": 1}
    for split, examples in splits.items():
        for example in examples:
            person, camera, _ = example["name"].decode().split("/")
            assert (example["person_id"], example["camera_id"]) == (persons[person], cameras[camera])
            assert (example["label"] >= 0) == (split == "train")
    labels = {int(example["person_id"]): int(example["label"]) for example in splits["train"]}
    assert sorted(labels.values()) == [0, 1]
    assert sorted(labels, key=labels.__getitem__) == sorted(labels)
    # The words, and bytes as they were.
    assert json.loads((folder / "names.json").read_text()) == {
        "persons": {str(number): person for person, number in persons.items()},
        "cameras": {"0": "cam2", "1": "cam10"},
    }
    source = tfds.data_source("shop", split="query", data_dir=data_dir, decoders={"image": tfds.decode.SkipDecoding()})
    assert source[0]["image"] == (pictures / source[0]["name"].decode()).read_bytes()
    noted = drawn.metadata(folder)
    assert (noted["partial"], noted["notes"], noted["counts"]["train identities"]) == (False, [], 2)


def test_it_is_kept_until_pictures_or_settings_change(pictures: pathlib.Path, data_dir: pathlib.Path, tmp_path):
    folder = drawn.build(pictures, data_dir)
    written = (folder / "dataset_info.json").stat().st_mtime_ns
    assert drawn.build(pictures, data_dir) == folder
    moved = pictures.rename(tmp_path / "moved")
    assert drawn.build(moved, data_dir) == folder
    assert (folder / "dataset_info.json").stat().st_mtime_ns == written
    with pytest.raises(DatasetError, match="was built from another source or with other settings"):
        drawn.build(moved, data_dir, seed=1)
    drawn.draw(moved, ["anna/cam2/3.jpg"])
    with pytest.raises(DatasetError, match="was built from another source or with other settings"):
        drawn.build(moved, data_dir)


def test_a_refusal_names_what_differs(pictures: pathlib.Path, data_dir: pathlib.Path):
    folder = drawn.build(pictures, data_dir)

    def refusal(**settings) -> list[str]:
        with pytest.raises(DatasetError) as error:
            drawn.build(pictures, data_dir, **settings)
        first, *lines = str(error.value).splitlines()
        assert first == f"{folder} was built from another source or with other settings:"
        assert lines.pop() == "Remove that folder to build it again, or choose another data_dir."
        return lines

    assert refusal(seed=1, license="MIT") == [
        "  --seed: 0 there, 1 now",
        "  --license: 'Not stated by who made this dataset of own pictures: ask them.' there, 'MIT' now",
    ]
    assert refusal(frame_rate=25.0) == ["  --frame_rate: 0.0 there, 25.0 now"]
    (pictures / "anna" / "cam2" / "1.jpg").unlink()
    drawn.draw(pictures, ["anna/cam2/3.jpg", "anna/cam2/4.jpg"])
    with open(pictures / "bob" / "cam2" / "1.jpg", "ab") as file:
        file.write(b"more")
    files = (
        "  pictures: 2 added (anna/cam2/3.jpg, anna/cam2/4.jpg), 1 removed (anna/cam2/1.jpg), 1 of another size "
        "(bob/cam2/1.jpg)"
    )
    assert refusal() == [files]
    assert refusal(test_share=0.25) == ["  --test_share: 0.5 there, 0.25 now", files]
    # Where it does not say what it was built from, digests do.
    for content in (b"noise", None):
        if content is None:
            (folder / "source.txt.gz").unlink()
        else:
            (folder / "source.txt.gz").write_bytes(content)
        with pytest.raises(
            DatasetError, match=r"with other settings \(digest [0-9a-f]{64}\) than .* \(digest [0-9a-f]{64}\)"
        ):
            drawn.build(pictures, data_dir)


def test_a_table_with_times_makes_a_dataset_with_times(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    root = drawn.draw(tmp_path / "flat", [f"{number}.jpg" for number in range(8)])
    times = {"0.jpg": "", **{f"{number}.jpg": f"{number}.5" for number in range(1, 8)}}
    rows = [f"{name},{int(name[0]) // 2},{int(name[0]) % 2},{time}" for name, time in times.items()]
    (root / "list.csv").write_text("\n".join(["path,person_id,camera_id,taken", *rows]))
    with_times = {"table": "list.csv", "time_column": "taken", "test_share": 1.0}
    folder = drawn.build(root, data_dir, **with_times)
    assert set(tfds.builder_from_directory(folder).info.features) == {*reid_features(), "time"}
    examples = {one["name"].decode(): float(one["time"]) for split in drawn.read(folder).values() for one in split}
    assert np.isnan(examples.pop("0.jpg"))
    assert examples == {name: float(time) for name, time in times.items() if time}
    # A card that is written later is the one that was written at once.
    card = (folder / "README.md").read_text()
    assert "| `time` | float64 | 1.5..7.5 or NaN | When it was taken, seconds, since 1970 where" in card
    assert "--time_column=taken" in card
    (folder / "README.md").unlink()
    assert drawn.build(root, data_dir, **with_times) == folder
    assert (folder / "README.md").read_text() == card
    with pytest.raises(DatasetError, match="  --time_column: 'taken' there, '' now\n"):
        drawn.build(root, data_dir, table="list.csv", test_share=1.0)


def test_no_word_of_a_feature_is_of_archives_alone(pictures: pathlib.Path, data_dir: pathlib.Path):
    folder = drawn.build(pictures, data_dir)
    for written in ("features.json", "README.md", "croissant.json"):
        assert "archive" not in (folder / written).read_text().lower().replace("unpack an archive first", "")


def test_a_refusal_names_the_table_that_differs(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    root = drawn.draw(tmp_path / "flat", [f"{number}.jpg" for number in range(8)])
    rows = [f"{number}.jpg,{number // 2},{number % 2}" for number in range(8)]
    (root / "list.csv").write_text("\n".join(["path,person_id,camera_id", *rows]))
    drawn.build(root, data_dir, table="list.csv")
    (root / "list.csv").write_text("\n".join(["path,person_id,camera_id", *reversed(rows)]))
    with pytest.raises(DatasetError, match=r"with other settings:\n  list.csv: another content\n"):
        drawn.build(root, data_dir, table="list.csv")


def test_it_is_read_without_this_repository(pictures: pathlib.Path, data_dir: pathlib.Path, tmp_path: pathlib.Path):
    drawn.build(pictures, data_dir)
    packages = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys\nsys.path += {packages!r}\n"
        "import tensorflow_datasets as tfds\n"
        f"source = tfds.data_source('shop', split='train', data_dir={str(data_dir)!r})\n"
        "print(len(source), source[0]['image'].shape)\n"
        "assert 'san_jax' not in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-S", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.stdout, done.returncode) == ("8 (48, 24, 3)\n", 0), done.stderr


def test_odd_pictures_are_converted_and_counted_or_refused(pictures: pathlib.Path, data_dir: pathlib.Path):
    kinds = drawn.draw_modes(pictures, "modes")
    for path in pictures.glob("*/cam*"):
        path.rename(path.parent / path.name.replace("cam", ""))  # modes/ has no cameras either
    (pictures / "modes" / "9").mkdir()
    for path in list((pictures / "modes").glob("*.*")):
        path.rename(pictures / "modes" / "9" / path.name)
    names = {name.replace("modes/", "modes/9/"): kind for name, kind in kinds.items()}
    with pytest.raises(DatasetError) as error:
        drawn.build(pictures, data_dir, strict=True)
    assert sorted(error.value.problems) == sorted(
        f"{pictures / name}: expected an upright RGB JPEG or PNG, as --strict demands, found {kind}"
        for name, kind in names.items()
    )
    assert not (data_dir / "shop").exists()
    folder = drawn.build(pictures, data_dir)
    assert drawn.metadata(folder)["converted"] == dict.fromkeys(sorted(kinds.values()), 1)
    images = {one["name"].decode(): one["image"] for split in drawn.read(folder).values() for one in split}
    assert images["modes/9/turned.jpg"].shape == (24, 48, 3)
    assert images["modes/9/alpha.PNG"].shape == (48, 24, 3)
    assert (images["modes/9/deep.png"] == 1000 >> 8).all()
    with pytest.raises(DatasetError, match="as --strict demands"):  # also where it is there already
        drawn.build(pictures, data_dir, strict=True)


def test_every_bad_file_is_named_at_once_or_left_out(pictures: pathlib.Path, data_dir: pathlib.Path):
    (pictures / "anna" / "cam2" / "1.jpg").write_bytes(b"")
    (pictures / "bob" / "cam2" / "2.jpg").write_bytes(b"<html>")
    drawn.draw(pictures, ["loose.jpg", "eve/cam2/1.png", "ida/cam10/3.gif"])
    (pictures / "ida" / "cam10" / "3.gif").write_bytes(b"GIF89a")
    reasons = [
        f"{pictures}/anna/cam2/1.jpg: not a readable picture (the file is empty)",
        f"{pictures}/bob/cam2/2.jpg: not a readable picture (neither JPEG",
        f"{pictures}/eve/cam2/1.png: differs from eve/cam2/1.jpg in its suffix only",
        f"{pictures}/ida/cam10/3.gif: not a readable picture (it is GIF; save it as JPEG or PNG)",
        f"{pictures}/loose.jpg: expected PERSON/picture",
    ]
    with pytest.raises(DatasetError, match="is not the whole dataset shop: 5 problems, 3 of them unreadable") as error:
        drawn.build(pictures, data_dir)
    for problem, reason in zip(sorted(error.value.problems), reasons, strict=True):
        assert problem.startswith(reason)
    assert not (data_dir / "shop").exists()
    reported: list[str] = []
    folder = drawn.build(pictures, data_dir, allow_partial=True, report=reported.extend)
    assert len(reported) == 5
    assert drawn.metadata(folder)["partial"]
    names = set().union(*(drawn.names_of(examples) for examples in drawn.read(folder).values()))
    assert names == {*NAMES} - {"anna/cam2/1.jpg", "bob/cam2/2.jpg"}


def test_what_is_said_of_a_partial_dataset_is_true_of_what_is_left(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    drawn.draw(tmp_path / "p", ["query/anna/1.jpg", "gallery/anna/2.jpg", "query/bob/1.jpg", "gallery/bob/2.jpg"])
    (tmp_path / "p" / "gallery" / "bob" / "2.jpg").write_bytes(b"")
    folder = drawn.build(tmp_path / "p", data_dir, allow_partial=True)
    assert (
        "1 of 2 test persons can never be scored, having no picture in the gallery: bob"
        in drawn.metadata(folder)["notes"]
    )


def test_queries_are_chosen_among_readable_pictures(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    """Whichever picture of a person is unreadable, another becomes the query, and ids stay what they were."""
    names = [f"{person}/{number}.jpg" for person in ("anna", "bob") for number in range(3)]
    drawn.draw(tmp_path / "p", names)
    whole = drawn.read(drawn.build(tmp_path / "p", data_dir, "whole", test_share=1.0))
    for number, one in enumerate(whole["query"]):
        (tmp_path / "p" / one["name"].decode()).write_bytes(b"")
        folder = drawn.build(tmp_path / "p", data_dir, f"part{number}", test_share=1.0, allow_partial=True)
        found = drawn.read(folder)
        assert sorted(int(one["person_id"]) for one in found["query"]) == [0, 1]
        assert len(found["query"]) + len(found["gallery"]) == 5 - number
        assert drawn.metadata(folder)["notes"] == drawn.metadata(data_dir / "whole" / "1.0.0")["notes"]
    (tmp_path / "p" / names[0]).write_bytes(b"")
    (tmp_path / "p" / names[1]).write_bytes(b"")
    (tmp_path / "p" / names[2]).write_bytes(b"")
    folder = drawn.build(tmp_path / "p", data_dir, "bob", test_share=1.0, allow_partial=True)
    assert {int(one["person_id"]) for split in drawn.read(folder).values() for one in split} == {1}
    with pytest.raises(DatasetError, match=r"cannot be split.*\n.*there is only one person, 'bob'") as error:
        drawn.build(tmp_path / "p", data_dir, "half", allow_partial=True)
    assert any(f"{names[0]}: not a readable picture" in line for line in error.value.problems)


def test_train_and_val_share_their_labels(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    drawn.draw(tmp_path / "p", ["train/9/1.jpg", "train/2/1.jpg", "val/5/1.jpg"])
    splits = drawn.read(drawn.build(tmp_path / "p", data_dir))
    found = {int(one["person_id"]): int(one["label"]) for split in ("train", "val") for one in splits[split]}
    assert found == {2: 0, 5: 1, 9: 2}
    assert {int(one["camera_id"]) for one in splits["train"]} == {-1}
    assert drawn.metadata(data_dir / "shop" / "1.0.0")["counts"]["train cameras"] == 0


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["anna/1.jpg", "anna/2.jpg"], {}, "there is only one person, 'anna'"),
        (
            ["anna/1.jpg", "bob/1.jpg"],
            {},
            "no picture in the split 'query': none of the 1 test person has two pictures, a",
        ),
        (
            ["anna/a/1.jpg", "anna/a/2.jpg", "bob/b/1.jpg", "bob/b/2.jpg"],
            {"test_share": 1.0},
            "none of the 2 test persons has two pictures of different cameras, a query and a match",
        ),
        (["query/anna/1.jpg"], {}, "no picture in the split 'gallery'"),
        (["gallery/anna/1.jpg"], {}, "no picture in the split 'query'"),
        (["anna/a/1.jpg", "anna/2.jpg", "bob/a/1.jpg"], {}, r"anna/2\.jpg: no camera, where other pictures have one"),
        (["-1/1.jpg", "2/1.jpg", "2/2.jpg", "3/1.jpg", "3/2.jpg"], {}, "expected a person, found -1"),
    ],
)
def test_data_that_are_refused(names, options, message, tmp_path: pathlib.Path, data_dir: pathlib.Path):
    drawn.draw(tmp_path / "pictures", names)
    with pytest.raises(DatasetError, match=message):
        drawn.build(tmp_path / "pictures", data_dir, **options)
    assert not (data_dir / "shop").exists()


def test_a_table_without_a_picture_is_refused_with_advice_on_tables(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    (tmp_path / "list.csv").write_text("path,person_id\nabsent.jpg,anna\n")
    with pytest.raises(DatasetError, match=r"no picture can be taken(.|\n)*A table is a CSV or Parquet file") as error:
        drawn.build(tmp_path, data_dir, table="list.csv", allow_partial=True)
    assert len(error.value.problems) == 1


def test_names_that_are_taken_and_folders_of_other_things(pictures: pathlib.Path, data_dir: pathlib.Path):
    with pytest.raises(DatasetError, match="'market1501' is the name of another kind of dataset"):
        drawn.build(pictures, data_dir, "market1501")
    (data_dir / "smoke" / "pit_reid").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"smoke holds something else \(pit_reid\)"):
        drawn.build(pictures, data_dir, "smoke")
    (pictures.parent / "anna.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="expected a folder of pictures, found a file; unpack an archive first"):
        drawn.build(pictures.parent / "anna.zip", data_dir)
    with pytest.raises(DatasetError, match="expected a folder of pictures, found nothing there"):
        drawn.build(pictures / "anna.zip", data_dir)
    with pytest.raises(DatasetError, match=r"A video is read by PyAV: .*ffmpeg -i VIDEO"):
        drawn.build(pictures / "walk.mp4", data_dir, boxes="gt/gt.txt")


def test_names_in_any_script_are_fine_and_bytes_that_are_no_text_are_named(
    tmp_path: pathlib.Path, data_dir: pathlib.Path
):
    names = ["данные/1.jpg", "данные/2 [x]*?.jpg", "数 据/a\nb.jpg", "数 据/$(id).jpg", "<b>/1.jpg", "<b>/2.jpg"]
    drawn.draw(tmp_path / "p", names)
    folder = drawn.build(tmp_path / "p", data_dir)
    assert set().union(*(drawn.names_of(examples) for examples in drawn.read(folder).values())) == set(names)
    os.rename(tmp_path / "p" / "<b>" / "1.jpg", os.fsencode(tmp_path / "p" / "<b>") + b"/\xff.jpg")
    with pytest.raises(DatasetError, match="expected a name in UTF-8"):
        drawn.build(tmp_path / "p", data_dir)
    told: list[str] = []
    with pytest.raises(DatasetError, match="no picture whose person is known"):
        drawn.build(tmp_path / "p", data_dir, pattern="(?P<person>9)")
    with pytest.raises(DatasetError, match="is not found in its name"):
        drawn.build(tmp_path / "p", data_dir, pattern=r"(?P<person>\d)", tell=told.append, test_share=0.0)
    assert "--pattern is not found in 3 pictures" in told[-1]
    assert all(line.isascii() or line.encode() for line in told)  # lines that can be printed


def test_composed_and_decomposed_names_are_one_person(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    """macOS writes file names decomposed, other systems as they are typed."""
    drawn.draw(tmp_path / "p", [f"train/{word}/tür/{n}.jpg" for n, word in enumerate(("Zo\u00eb", "Zoe\u0308", "Bo"))])
    folder = drawn.build(tmp_path / "p", data_dir)
    assert json.loads((folder / "names.json").read_text())["persons"] == {"0": "Bo", "1": "Zo\u00eb"}


def test_copies_in_two_splits_are_named(tmp_path: pathlib.Path, data_dir: pathlib.Path):
    names = ["train/anna/1.jpg", "train/anna/2.jpg", "query/bob/1.jpg", "gallery/bob/2.jpg", "gallery/bob/3.jpg"]
    folder = drawn.draw(tmp_path / "p", names)
    shutil.copy(folder / "query" / "bob" / "1.jpg", folder / "gallery" / "bob" / "4.jpg")
    shutil.copy(folder / "train" / "anna" / "2.jpg", folder / "gallery" / "bob" / "5.jpg")
    notes = drawn.metadata(drawn.build(folder, data_dir))["notes"]
    assert notes[-2:] == [
        "1 query is in the gallery byte for byte, which a search finds first unless it drops the query's camera: "
        "query/bob/1.jpg",
        "1 picture of query and gallery is among the training pictures byte for byte: gallery/bob/5.jpg",
    ]


def test_a_table_makes_the_same_dataset_as_folders(pictures: pathlib.Path, data_dir: pathlib.Path):
    whole = drawn.read(drawn.build(pictures, data_dir, "folders"))
    rows = [f"{name},{name.split('/')[0]},{name.split('/')[1]}" for name in sorted(NAMES)]
    (pictures / "list.csv").write_text("\n".join(["path,person_id,camera_id", *rows]))
    table = drawn.read(drawn.build(pictures, data_dir, "table", table="list.csv"))
    assert {split: len(examples) for split, examples in whole.items()} == {"train": 8, "query": 4, "gallery": 4}
    for split, examples in whole.items():
        for one, other in zip(examples, table[split], strict=True):
            assert {key: value for key, value in one.items() if key != "image"} == {
                key: value for key, value in other.items() if key != "image"
            }
            np.testing.assert_array_equal(one["image"], other["image"])
