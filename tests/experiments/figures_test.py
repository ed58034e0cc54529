"""The figures' program: pictures of folders and of datasets, and what it refuses."""

import pathlib

import pytest
from PIL import Image

import datasets
from experiments import figures as program
from experiments.pages import figures
from experiments.runs import picture_sources
from tests import dataset_fixtures
from tests.experiments import tiny_data


def words(rows):
    return [[one.words for one in row.images] for row in rows]


def test_pictures_that_cannot_be_read_are_named_and_the_others_drawn(tmp_path, decoders, capsys):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for index, name in enumerate(("a.png", "sub/b.JPG", "sub/c.webp", "sub/._a.png", "sub/e.png")):
        image_format = {"c": "WEBP", "b": "JPEG"}.get(pathlib.Path(name).stem, "PNG")
        (folder / name).write_bytes(dataset_fixtures.encoded(index, 30, 20, image_format))
    for name in ("sub/._a.png", "sub/e.png", "d.jpg", "notes.txt"):
        (folder / name).write_bytes(b"no image")
    command = ["--figure=6", "--workdir=a/san", f"--images={folder}", f"--output={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as raised:
        program.main(command)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("figures: drawn without these pictures")
    assert [line.partition(": ")[0] for line in lines[1:]] == [str(folder / "d.jpg"), str(folder / "sub/e.png")]
    captured = capsys.readouterr()
    assert "passed over, as they are not named like pictures" in captured.err
    assert captured.err.rstrip().endswith(": notes.txt")
    with Image.open(tmp_path / "out" / "figure_6_photos.png") as sheet:  # three pairs
        assert sheet.height == 256 + 16
    rows, _ = figures.from_files("6", folder)
    assert words(rows) == [["a", "b", "c"]]

    (folder / "d.jpg").unlink()
    (folder / "sub" / "e.png").unlink()
    program.main(command)  # what is not named like a picture does not make it fail
    with pytest.raises(picture_sources.SourceError, match="absent is not a folder"):
        figures.from_files("6", tmp_path / "absent")
    for name in ("a.png", "sub/b.JPG", "sub/c.webp"):
        (folder / name).write_bytes(b"no image")
    with pytest.raises(figures.FigureError, match=r"(?s)none of these.*a\.png.*b\.JPG.*c\.webp"):
        figures.from_files("6", folder)


def test_the_program_draws_a_built_dataset(tmp_path, decoders, capsys):
    tiny_data.write_pit_reid(tmp_path / "rendered", train_ids=1, test_ids=2, cameras=4, partial_queries=True)
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    program.main(
        [
            "--figure=7",
            "--workdir=a/san",
            "--dataset=pit_reid",
            f"--data_dir={tmp_path / 'data'}",
            "--names=images/0002_c2.jpg",
            f"--output={tmp_path / 'out'}",
        ]
    )
    path = tmp_path / "out" / "figure_7_pit_reid.png"
    assert f"written to {path}" in capsys.readouterr().out
    with Image.open(path) as image:  # partial, texture, gap, whole, texture, gap, truth
        assert image.size == (2 * (128 + 4 + 256 + 4 + 16 + 4) + 256, 256 + 16)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--figure=6", "--dataset=a", "--images=b"], "either --dataset or --images"),
        (["--figure=6"], "either --dataset or --images"),
        (["--figure=6", "--dataset=a", "--crops"], "--crops does not go with --figure=6"),
        (["--figure=7", "--dataset=a", "--held_out=b"], "--held_out does not go with --figure=7"),
        (["--figure=quality", "--names=a"], "--names does not go with --figure=quality"),
        (["--figure=6", "--images=a", "--split=train"], "--split does not go"),
        (["--figure=quality"], "Nothing to measure on"),
        (["--figure=6", "--images=absent"], "figures: --images=absent is not a folder"),
    ],
)
def test_the_program_refuses(arguments, expected, capsys):
    with pytest.raises(SystemExit) as error:
        program.main([*arguments, "--workdir=run"])
    assert expected in capsys.readouterr().err + str(error.value)
