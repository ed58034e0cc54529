"""Built datasets as other programs and the input pipeline read them."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import textwrap

import numpy as np
import tensorflow_datasets as tfds

import datasets
from san_jax.data import pipeline, reading
from tests import dataset_fixtures
from tests.datasets.small_market import build_market, write_textures

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_READER = """
    import importlib.util, json, sys
    import tensorflow_datasets as tfds

    assert importlib.util.find_spec("datasets") is None, importlib.util.find_spec("datasets")
    result = {}
    for name, split in json.loads(sys.argv[2]):
        source = tfds.data_source(name, split=split, data_dir=sys.argv[1])
        result[name + "/" + split] = [
            {key: getattr(value, "shape", None) or str(value) for key, value in example.items()} for example in source
        ]
    assert "tensorflow" not in sys.modules
    print(json.dumps(result))
"""


def test_datasets_are_read_by_a_program_without_this_repository(archive: pathlib.Path, tmp_path: pathlib.Path):
    data_dir = tmp_path / "data"
    build_market(archive, data_dir)
    dataset_fixtures.write_rendered(tmp_path / "pit", "pit")
    dataset_fixtures.write_rendered(tmp_path / "pit_reid", "pit_reid")
    datasets.build_dataset("pit", data_dir=data_dir, manual_dir=tmp_path / "pit")
    datasets.build_dataset("pit_reid", data_dir=data_dir, manual_dir=tmp_path / "pit_reid")
    write_textures(tmp_path / "textures")
    datasets.build_textured("market1501", data_dir=data_dir, texture_dir=tmp_path / "textures", metadata={})

    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    # -S: no .pth files, by which an editable install of this repository comes onto the path.
    packages = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    program.write_text(f"import sys\nsys.path += {packages!r}\n" + textwrap.dedent(_READER))
    wanted = [
        ("market1501", "query"),
        ("pit", "train"),
        ("pit_reid", "gallery"),
        ("market1501_textured", "train"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-S", str(program), str(data_dir), json.dumps(wanted)],
        cwd=program.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["market1501/query"][0] == {
        "image": [128, 64, 3],
        "person_id": "1",
        "label": "-1",
        "camera_id": "0",
        "name": "b'query/0001_c1s1_001051_00.jpg'",
    }
    assert {name: len(examples) for name, examples in found.items()} == {
        "market1501/query": 2,
        "pit/train": 6,
        "pit_reid/gallery": 3,
        "market1501_textured/train": 4,
    }
    assert found["pit/train"][0]["frontal"] == [256, 128, 3]
    assert found["pit_reid/gallery"][0]["texture"] == [256, 256, 3]
    assert found["market1501_textured/train"][3]["texture"] == [256, 256, 3]


def test_neither_tensorflow_nor_jax_is_imported(archive: pathlib.Path, tmp_path: pathlib.Path):
    code = f"""
        import sys, datasets, tensorflow_datasets as tfds
        from datasets.market1501.market1501_dataset_builder import Builder
        Builder.COUNTS = {dataset_fixtures.SMALL_MARKET_COUNTS!r}
        datasets.build_dataset("market1501", data_dir={str(tmp_path)!r}, manual_dir={str(archive)!r})
        tfds.data_source("market1501", split="train", data_dir={str(tmp_path)!r})[0]
        print(sorted({{"tensorflow", "jax", "torch"}} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=600)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_pipeline_reads_a_built_dataset_in_workers(archive: pathlib.Path, tmp_path: pathlib.Path):
    build_market(archive, tmp_path)
    write_textures(tmp_path / "textures")
    datasets.build_textured("market1501", data_dir=tmp_path, texture_dir=tmp_path / "textures", metadata={})
    source = tfds.data_source("market1501_textured", split="train", data_dir=tmp_path)
    labels = reading.read_labels(source)
    np.testing.assert_array_equal(labels, [0, 0, 1, 2])
    feed = pipeline.Feed(image_size=(128, 64), seed=0, num_steps=4, num_workers=0)
    arguments = {"num_identities": 3, "images_per_identity": 2, "target": pipeline.TargetFeature("texture", 256)}
    here = list(pipeline.reid_batches(source, labels, feed=feed, **arguments))
    workers = pipeline.reid_batches(source, labels, feed=dataclasses.replace(feed, num_workers=1), **arguments)
    for expected, batch in zip(here, workers, strict=True):
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])
    # Decoded as TFDS does it.
    row = int(np.flatnonzero(here[0]["label"] == 2)[0])
    np.testing.assert_array_equal(here[0]["image"][row], source[3]["image"])
    np.testing.assert_array_equal(here[0]["texture"][row], source[3]["texture"])
