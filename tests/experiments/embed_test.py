"""The program that embeds pictures: any source, both formats and folders, bad pictures, interruptions, shards."""

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import san_jax
from experiments import embed
from experiments.runs import data_sources, embedding_run, shards
from experiments.searching import galleries
from san_jax import checkpoint, embedding_files, onnx_file
from san_jax.data.reading import read_names
from san_jax.moments import Moment
from tests.experiments.export_runs import needs_onnx, relative

NOT_READABLE = "not a readable picture (damaged: it begins like a picture)"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(embedding_run, "PART_SIZE", 8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """20 pictures of several sizes and one that cannot be read, the sixth."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(20):
        path = folder / ("late" if number >= 10 else ".") / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (60 + number, 30, 3), np.uint8)).save(path)
    (folder / "04_bad.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (folder / "notes.txt").write_text("mine")
    return folder


@pytest.fixture
def run(exportable_run, photos, tmp_path):
    """Runs the program, by default on the photos, and returns the path of what it writes."""

    def call(output: str, *flags: str, images: Any = photos) -> pathlib.Path:
        common = [f"--workdir={exportable_run}", f"--images={images}", "--batch_size=8"]
        embed.main([*common, f"--output={tmp_path / output}", *flags])
        return tmp_path / output

    return call


def good_names(photos: pathlib.Path) -> list[str]:
    return sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    """Content of a file, or of the files of a folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    return {path.name if folder.is_dir() else "": path.read_bytes() for path in paths}


@pytest.mark.parametrize("output", ["out.parquet", "out.npz", "out"])
def test_embeddings_are_those_of_the_encoder(run, photos, exportable_run, output, capsys):
    written = san_jax.load_embeddings(run(output))
    assert written.names == good_names(photos)
    encoder = san_jax.load_encoder(exportable_run, batch_size=8)
    expected = encoder([photos / name for name in written.names])
    assert written.embeddings.dtype == np.float32
    # Rows of one batch lie elsewhere in it: float32 roundings.
    assert relative(written.embeddings, expected) < 1e-6
    assert written.person_ids.tolist() == written.camera_ids.tolist() == [-1] * 20
    assert written.made_by["left_out"] == [["04_bad.jpg", NOT_READABLE]]
    assert written.made_by["count"] == 20
    expected_facts = {"step": 7, "image_size": [64, 32], "metric": "euclidean", "runtime": "jax", "embedding_size": 128}
    assert {key: written.made_by[key] for key in expected_facts} == expected_facts
    assert written.made_by["weights_sha256"] == san_jax.models.parameter_digest(encoder.model)
    printed = capsys.readouterr()
    assert f"left out 04_bad.jpg: {NOT_READABLE}" in printed.out
    assert "20 embeddings, 1 picture left out" in printed.out
    assert "passed over, as they are not named like pictures" in printed.err


@pytest.mark.parametrize("output", ["out.parquet", "out.npz", "out"])
def test_what_is_complete_is_said_to_be_so(run, tmp_path, output, capsys):
    path = run(output)
    assert f"{path}: 20 embeddings, 1 picture left out\n" in capsys.readouterr().out
    run(output)
    again = f"{path} is complete already and holds 20 embeddings, 1 picture left out\n"
    assert again in capsys.readouterr().out
    shard = f"{tmp_path / 'other'}.shard-00000-of-00002"
    run("other", "--shard=0/2")
    assert f"{shard}: " in capsys.readouterr().out
    run("other", "--shard=0/2")
    assert f"{shard} is complete already and holds " in capsys.readouterr().out
    run("other", "--shard=1/2")
    merge = [f"--output={tmp_path / 'other'}", "--merge"]
    embed.main(merge)
    assert f"{tmp_path / 'other'}: 20 embeddings" in capsys.readouterr().out
    embed.main(merge)
    assert f"{tmp_path / 'other'} is complete already and holds 20 embeddings" in capsys.readouterr().out


def test_float16_and_flip(run, photos, exportable_run):
    written = san_jax.load_embeddings(run("out.parquet", "--dtype=float16", "--flip"))
    expected = san_jax.load_encoder(exportable_run, batch_size=8)([photos / n for n in written.names], flip=True)
    assert written.embeddings.dtype == np.float16
    assert relative(written.embeddings.astype(np.float32), expected) < 2**-10
    assert written.made_by["flip"] is True


@needs_onnx
def test_onnx_gives_what_jax_gives(run):
    found, expected = (san_jax.load_embeddings(run(f"{name}.npz", f"--runtime={name}")) for name in ("onnx", "jax"))
    assert found.made_by["runtime"] == "onnx"
    assert "onnxruntime" in found.made_by["versions"]
    assert relative(found.embeddings, expected.embeddings) < 1e-5


def test_a_split_has_persons_and_cameras(run, pit_reid_dir, exportable_run):
    source = data_sources.open_source("pit_reid", "gallery", pit_reid_dir)
    written = san_jax.load_embeddings(run("gallery.parquet", f"--data_dir={pit_reid_dir}", images="pit_reid:gallery"))
    assert written.names == read_names(source)
    assert written.person_ids.tolist() == [example["person_id"] for example in source]
    assert written.camera_ids.tolist() == [example["camera_id"] for example in source]
    expected = san_jax.load_encoder(exportable_run, batch_size=8)([example["image"] for example in source])
    assert relative(written.embeddings, expected) < 1e-6


@pytest.mark.parametrize("output", ["out.parquet", "out.npz", "out"])
def test_a_list_may_say_who_where_and_when(run, photos, output):
    """Search filters by these times; parts of a folder agree on their columns, though not all of them know a time."""
    names = good_names(photos)
    rows = [
        f"{name},{3 * number},{number % 2},{100 + number if number < 3 else ''}" for number, name in enumerate(names)
    ]
    table = photos / "table.csv"
    table.write_text("\n".join(["path,person_id,camera_id,time", *rows]))
    path = run(output, images=table)
    written = san_jax.load_embeddings(path)
    assert written.names == names
    assert written.person_ids.tolist() == [3 * number for number in range(20)]
    assert written.camera_ids.tolist() == [number % 2 for number in range(20)]
    assert written.times is not None
    assert written.tracks is None
    assert written.times[:3].tolist() == [100, 101, 102]
    assert np.isnan(written.times[3:]).all()
    gallery = galleries.open_gallery(path)
    left = [block for _, block in gallery.blocks(galleries.Filters(after=Moment(101.0), before=Moment(500.0)), 8)]
    assert [name for block in left for name in block.names] == names[1:3]
    table.write_text(table.read_text().replace(",102", ",103"))
    with pytest.raises(SystemExit, match="images_sha256"):
        run(output, images=table)


def test_a_list(run, photos, tmp_path):
    lines = ["late/11.png", "", str(photos / "03.png"), "absent.png", "late/11.png"]
    (photos / "list.csv").write_text("\n".join(lines))
    written = san_jax.load_embeddings(run("out.npz", images=photos / "list.csv"))
    assert written.names == [lines[0], lines[2], lines[4]]
    assert written.made_by["left_out"] == [["absent.png", "no such file"]]
    whole = san_jax.load_embeddings(run("whole.npz"))
    rows = [whole.names.index(name) for name in ("late/11.png", "03.png", "late/11.png")]
    assert relative(written.embeddings, whole.embeddings[rows]) < 1e-6


def test_a_list_of_what_are_no_files(run, tmp_path):
    """Opening a pipe would block."""
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    (tmp_path / "list.txt").write_text("pipe.png\ngood.png\nnull\0byte.png\n/\n")
    written = san_jax.load_embeddings(run("out.npz", images=tmp_path / "list.txt"))
    assert written.names == ["good.png"]
    reasons = dict(written.made_by["left_out"])
    assert reasons["pipe.png"] == reasons["/"] == "a folder, a pipe or a device; expected a file"
    assert "null byte" in reasons["null\0byte.png"]


@pytest.mark.parametrize(
    ("output", "number"), [("out.parquet", 0), ("out.parquet", 3), ("out.npz", 2), ("out", 2), ("out", 3)]
)
def test_an_interrupted_run_goes_on(run, tmp_path, monkeypatch, output, number):
    """Interrupted after so many of its three parts; the bytes are the same at the end."""
    expected = files_of(run(f"undisturbed/{output}"))
    write, finish, calls = embedding_files.write_parquet, embedding_run._finish, []

    def interrupt(*arguments, **options):
        calls.append(arguments)
        if len(calls) > number:
            raise KeyboardInterrupt
        write(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(embedding_files, "write_parquet", interrupt)
        patched.setattr(embedding_run, "_finish", lambda *arguments: interrupt() or finish(*arguments))
        with pytest.raises(KeyboardInterrupt):
            run(output)
    done = list(tmp_path.glob(f"{output}*/part-*.parquet"))
    assert len(done) == number
    changed = {path: path.stat().st_mtime_ns for path in done}
    assert files_of(run(output)) == expected
    if output == "out":  # the parts that were there were not made again
        assert {path: path.stat().st_mtime_ns for path in done} == changed
    else:
        assert not list(tmp_path.glob(f"{output}.parts"))


def test_an_unfinished_folder_is_not_read(run, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_run, "_finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("out")
    with pytest.raises(embedding_files.EmbeddingFileError, match=r"out has no embeddings.json: .* an unfinished one"):
        san_jax.load_embeddings(tmp_path / "out")


def test_parts_that_are_damaged_or_of_other_work_are_made_again(run, tmp_path, monkeypatch):
    """A machine that crashes may leave a part half written; what is overwritten may be killed at any moment."""
    expected = files_of(run("expected"))
    with monkeypatch.context() as patched:
        patched.setattr(embedding_run, "_finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("out")
    (first, *_) = parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    first.write_bytes(first.read_bytes()[:100])
    parts[1].write_bytes((run("flipped", "--flip") / parts[1].name).read_bytes())
    assert files_of(run("out")) == expected


@pytest.mark.parametrize(("output", "counts"), [("out.parquet", (1, 2, 3)), ("out.npz", (2,)), ("out", (3,))])
def test_shards_give_the_same_bytes(run, output, counts, tmp_path):
    expected = files_of(run(f"whole/{output}"))
    for count in counts:
        name = f"of_{count}/{output}"
        for index in reversed(range(count)):
            run(name, f"--shard={index}/{count}")
        assert not (tmp_path / name).exists()
        embed.main(["--merge", f"--output={tmp_path / name}"])
        assert files_of(tmp_path / name) == expected


def test_a_merge_of_shards_that_do_not_fit(run, tmp_path):
    run("a.parquet", "--shard=0/2")
    with pytest.raises(SystemExit, match=r"missing: 1/2"):
        embed.main(["--merge", f"--output={tmp_path / 'a.parquet'}"])
    run("a.parquet", "--shard=1/2", "--flip")
    with pytest.raises(SystemExit, match=r"are not of one work:\n *flip: False there, True now"):
        embed.main(["--merge", f"--output={tmp_path / 'a.parquet'}"])


def test_a_merge_of_parts_that_are_not_there(run, tmp_path):
    expected = files_of(run("whole.npz"))
    run("a.npz", "--shard=0/2")
    folder = run("a.npz", "--shard=1/2").with_name("a.npz.shard-00001-of-00002")
    merge = ["--merge", f"--output={tmp_path / 'a.npz'}"]
    for damage in (lambda path: path.write_bytes(b"PAR1"), lambda path: path.unlink()):
        damage(folder / "part-000002.parquet")
        with pytest.raises(
            SystemExit, match=r"part-000002.parquet is missing, damaged or of other work\nGive the comm"
        ):
            embed.main(merge)
        assert not (tmp_path / "a.npz").exists()
        run("a.npz", "--shard=1/2")
    embed.main(merge)
    assert files_of(tmp_path / "a.npz") == expected


@pytest.mark.parametrize("output", ["out.npz", "out"])
def test_shards_of_another_program_are_not_merged(output, tmp_path):
    shard, folder = shards.Shard(0, 1), tmp_path / "textures"
    folder.mkdir()
    shards.begin(folder, shards.Part(shard, range(3), 3, {"program": "experiments.pseudo_texture"}))
    shards.finish(folder)
    with pytest.raises(SystemExit, match="textures holds no shard of embeddings"):
        embed.main(["--merge", str(folder), f"--output={tmp_path / output}"])
    assert not (tmp_path / output).exists()


def test_a_shard_is_reported_by_its_folder(run, capsys):
    output = run("out.npz", "--shard=2/3")
    assert capsys.readouterr().out == f"{output}.shard-00002-of-00003: 5 embeddings, 0 pictures left out\n"


def test_what_is_there_is_kept(run, tmp_path):
    first = files_of(run("out.parquet"))
    assert files_of(run("out.parquet")) == first
    with pytest.raises(SystemExit, match=r"holds something else:\n  flip: False there, True now"):
        run("out.parquet", "--flip")
    assert files_of(tmp_path / "out.parquet") == first
    assert files_of(run("out.parquet", "--flip", "--overwrite")) != first
    run("folder")
    with pytest.raises(SystemExit, match=r"holds something else"):
        run("folder", "--flip")
    (tmp_path / "folder" / "part-000009.parquet").write_text("of a larger collection")
    assert files_of(run("folder", "--flip", "--overwrite")) == files_of(run("fresh", "--flip"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(SystemExit, match=r"mine holds other files \(thesis.tex\): give another --output"):
        run("mine", "--overwrite")
    (tmp_path / "mine.parquet").write_text("no Parquet")
    with pytest.raises(SystemExit, match=r"mine.parquet is no file of embeddings"):
        run("mine.parquet")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(SystemExit, match=r"folder.npz is a folder: give another --output"):
        run("folder.npz", "--overwrite")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"mine.txt is a file: expected FILE.parquet, FILE.npz or a folder"):
        run("mine.txt", "--overwrite")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(SystemExit, match=r"other.csv: embeddings are written as FILE.parquet, .* not as .csv"):
        run("other.csv")
    assert not (tmp_path / "other.csv").exists()


def test_other_weights_do_not_go_on(run, monkeypatch, tmp_path):
    monkeypatch.setattr(embedding_run, "_finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("out.parquet")
    load = checkpoint.load_weights

    def other(path, **options):
        step, params, batch_stats = load(path, **options)
        return step, jax.tree.map(lambda x: x + 1e-3, params), batch_stats

    monkeypatch.setattr(checkpoint, "load_weights", other)
    with pytest.raises(SystemExit, match=r"out.parquet.parts was begun for other work:\n  work.weights_sha256: "):
        run("out.parquet")


def test_pictures_that_cannot_be_read(run, tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)--strict: 1 of the pictures cannot be read:\n04_bad.jpg: not a re"):
        run("strict.parquet", "--strict")
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "broken.png").symlink_to(bad / "absent")
    Image.new("RGB", (9, 9)).save(bad / "good.png")
    with pytest.raises(SystemExit, match=r"--strict: 1 of the pictures cannot be read:\nbroken.png: no such file"):
        run("strict.parquet", "--strict", images=bad)
    assert san_jax.load_embeddings(run("broken.parquet", images=bad)).names == ["good.png"]
    for path in bad.iterdir():
        path.unlink()
    with pytest.raises(SystemExit, match="bad holds no picture"):
        run("none.parquet", images=bad)
    for number in range(12):
        (bad / f"{number}.png").write_bytes(b"\x89PNG")
    with pytest.raises(SystemExit, match=r"none of the 12 pictures can be read:\n0.png: not a readable"):
        run("bad.parquet", images=bad)
    Image.new("RGB", (9, 9)).save(bad / "good.png")  # alone in its part
    assert san_jax.load_embeddings(run("one.parquet", images=bad)).names == ["good.png"]


def test_what_are_no_pictures(run, photos, pit_reid_dir):
    with pytest.raises(SystemExit, match=r"embed: --images=absent does not exist: expected a folder"):
        run("out.npz", images="absent")
    with pytest.raises(SystemExit, match=r"00.png is no text file"):
        run("out.npz", images=photos / "00.png")
    with pytest.raises(SystemExit, match=r"has the splits gallery, query, train, no 'galery'. Did you mean 'gallery'"):
        run("out.npz", f"--data_dir={pit_reid_dir}", images="pit_reid:galery")


def test_onnx_is_refused_before_anything_is_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(SystemExit, match=r"embed: ONNX needs no_such_package, not installed here"):
        run("out.parquet", "--runtime=onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give --workdir and --images"),
        (["--workdir=a", "--images=b", "--shard=2/2"], "--shard"),
        (["--merge", "--shard=0/2"], "not allowed with argument"),
    ],
)
def test_wrong_command_lines(flags, message, capsys):
    with pytest.raises(SystemExit) as raised:
        embed.main(["--output=x", *flags])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_the_card_of_a_folder(run):
    folder = run("out")
    assert sorted(path.name for path in folder.iterdir()) == [
        "embeddings.json",
        *(f"part-{number:06d}.parquet" for number in range(3)),
    ]
    assert json.loads((folder / "embeddings.json").read_text())["parts"] == 3
