"""A living gallery: what is added is found as in a file, what is removed is not, and nothing is changed by halves."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import san_jax
from experiments import gallery, search
from experiments.searching import changes
from san_jax import embedding_files, living_gallery
from tests import pages
from tests.experiments.search_runs import workplace  # noqa: F401 (a fixture)

needs_lancedb = pytest.mark.skipif(
    importlib.util.find_spec("lancedb") is None, reason=f"LanceDB is not installed: {living_gallery.INSTALL}"
)


@pytest.fixture
def halves(workplace, tmp_path):  # noqa: F811
    """The gallery of the workplace, with times, and two files that are it together."""
    whole = dataclasses.replace(
        san_jax.load_embeddings(workplace.gallery), times=np.arange(15.0), tracks=np.arange(20, 35)
    )
    paths = [tmp_path / name for name in ("whole.parquet", "first.parquet", "second.npz")]
    for path, rows in zip(paths, (range(15), range(8), range(8, 15)), strict=True):
        part = whole.take(np.array(rows))
        if path.suffix == ".npz":
            embedding_files.write_npz(path, lambda part=part: [part], whole.made_by, size=128, dtype="float32")
        else:
            embedding_files.write_parquet(path, [part], whole.made_by, size=128, dtype="float32")
    return paths


@pytest.fixture
def find(workplace, tmp_path):  # noqa: F811
    def call(given, name, *flags):
        common = [
            f"--workdir={workplace.run}",
            "--query=pit_reid:query",
            f"--data_dir={workplace.data_dir}",
            "--top=20",
        ]
        search.main([*common, f"--gallery={given}", f"--output={tmp_path / name}", "--batch_size=8", *flags])
        found = json.loads((tmp_path / name / "ranked.json").read_text())
        return [
            [
                (m["name"], m["distance"], m["person_id"], m["camera_id"], m["time"], m["track"])
                for m in query["matches"]
            ]
            for query in found["queries"]
        ]

    return call


@needs_lancedb
def test_it_finds_what_a_file_finds(find, halves, tmp_path, capsys):
    whole, first, second = halves
    people = tmp_path / "people"
    gallery.main([f"--gallery={people}", f"--add={first}"])
    gallery.main([f"--gallery={people}", f"--add={second}"])
    assert "7 embeddings added, 15 now" in capsys.readouterr().out
    assert find(people, "a") == find(whole, "b")
    for number, flags in enumerate((["--cameras=1,3"], ["--after=3", "--before=9"], ["--cameras=2", "--after=1"])):
        assert find(people, f"a{number}", *flags) == find(whole, f"b{number}", *flags)
    gallery.main([f"--gallery={people}"])
    assert "15 embeddings of" in capsys.readouterr().out


def with_words(part, persons, cameras, path):
    made_by = {**part.made_by, "names": {"persons": persons, "cameras": cameras}}
    embedding_files.write_parquet(path, [part], made_by, size=128, dtype="float32")
    return path


@needs_lancedb
def test_words_are_kept_and_what_has_one_word_has_one_number(find, workplace, tmp_path):  # noqa: F811
    whole = san_jax.load_embeddings(workplace.gallery)

    def part(rows, persons, cameras):
        rows = np.array(rows)
        ids = {"person_ids": np.array(persons), "camera_ids": np.array(cameras)}
        return dataclasses.replace(whole.take(rows), **ids)

    people = tmp_path / "people"
    first = with_words(
        part([0, 1], [0, 1], [0, 1]), {"0": "anna", "1": "bob"}, {"0": "door", "1": "yard"}, tmp_path / "a.parquet"
    )
    # Numbered otherwise: bob is 0 here, and 1 is another person; the third person has no word.
    second = with_words(
        part([2, 3, 4], [0, 1, 7], [0, 5, -1]),
        {"0": "bob", "1": "eve"},
        {"0": "yard", "5": "gate"},
        tmp_path / "b.parquet",
    )
    plain = tmp_path / "c.parquet"
    embedding_files.write_parquet(plain, [part([5], [3], [2])], whole.made_by, size=128, dtype="float32")
    for path in (first, plain, second):
        gallery.main([f"--gallery={people}", f"--add={path}"])
    living = living_gallery.open_gallery(people)
    blocks = list(living.blocks())
    persons, cameras = (np.concatenate([getattr(one, key) for one in blocks]) for key in ("person_ids", "camera_ids"))
    assert persons.tolist() == [0, 1, 3, 1, 4, 7]  # eve got a number that nobody has
    assert cameras.tolist() == [0, 1, 2, 1, 5, -1]
    assert living.made_by["names"] == {
        "persons": {"0": "anna", "1": "bob", "4": "eve"},
        "cameras": {"0": "door", "1": "yard", "5": "gate"},
    }
    found = find(people, "found", "--cameras=yard")
    assert {camera for query in found for *_, camera, _, _ in query} == {1}
    text = (tmp_path / "found" / "ranked.json").read_text()
    assert '"person": "bob"' in text
    # Nothing changes where an addition is refused, and who is removed leaves no word behind.
    third = with_words(part([6, 6], [0, 1], [0, 0]), {"0": "ida", "1": "jo"}, {"0": "roof"}, tmp_path / "d.parquet")
    with pytest.raises(SystemExit, match="names come twice"):
        gallery.main([f"--gallery={people}", f"--add={third}"])
    assert "ida" not in str(living.made_by["names"])
    gallery.main([f"--gallery={people}", f"--remove={whole.names[3]}"])
    assert living.made_by["names"] == {"persons": {"0": "anna", "1": "bob"}, "cameras": {"0": "door", "1": "yard"}}


@needs_lancedb
def test_words_that_are_malformed_are_refused(workplace, tmp_path):  # noqa: F811
    path = with_words(san_jax.load_embeddings(workplace.gallery), ["anna"], {}, tmp_path / "bad.parquet")
    with pytest.raises(
        SystemExit, match=r"gallery: .*bad\.parquet: the words of its persons and cameras are malformed"
    ):
        gallery.main([f"--gallery={tmp_path / 'people'}", f"--add={path}"])
    assert not (tmp_path / "people").exists()


@needs_lancedb
def test_what_is_removed_is_not_found(find, halves, tmp_path, capsys):
    whole, *_ = halves
    people, names = tmp_path / "people", san_jax.load_embeddings(whole).names
    gallery.main([f"--gallery={people}", f"--add={whole}"])
    gallery.main([f"--gallery={people}", f"--remove={names[2]},{names[5]}"])
    assert "2 embeddings removed, 13 left" in capsys.readouterr().out
    (tmp_path / "list.txt").write_text(f"{names[7]}\n\n")
    gallery.main([f"--gallery={people}", f"--remove_list={tmp_path / 'list.txt'}"])
    assert "1 embedding removed, 12 left" in capsys.readouterr().out
    left = find(people, "found")[0]
    assert sorted(match[0] for match in left) == sorted(set(names) - {names[2], names[5], names[7]})
    with pytest.raises(SystemExit, match=rf"does not hold 1 of these names: {names[2]}"):
        gallery.main([f"--gallery={people}", f"--remove={names[0]},{names[2]}"])
    assert len(living_gallery.open_gallery(people)) == 12
    # It may come again, and a removed name is free.
    part = san_jax.load_embeddings(whole).take(np.array([2]))
    embedding_files.write_parquet(tmp_path / "one.parquet", [part], part.made_by, size=128, dtype="float32")
    gallery.main([f"--gallery={people}", f"--add={tmp_path / 'one.parquet'}"])
    assert "1 embedding added, 13 now" in capsys.readouterr().out
    assert len(living_gallery.open_gallery(people)) == 13


@needs_lancedb
@pytest.mark.parametrize(("level", "expected"), [(None, ""), ("warn", "No existing dataset")])
def test_lancedb_does_not_warn_of_a_new_gallery(workplace, tmp_path, level, expected):  # noqa: F811
    """In a process of its own: LanceDB reads the level once, when it is imported."""
    environment = {key: value for key, value in os.environ.items() if key != living_gallery.LOG}
    command = [sys.executable, "-m", "experiments.gallery", f"--gallery={tmp_path / 'a'}", f"--add={workplace.gallery}"]
    given = environment if level is None else {**environment, living_gallery.LOG: level}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=given, cwd=pages.REPOSITORY, timeout=300
    )
    assert "15 embeddings added" in done.stdout
    assert expected in done.stderr
    assert level or "WARN" not in done.stderr


@needs_lancedb
def test_names_with_quotes(workplace, tmp_path):  # noqa: F811
    part = dataclasses.replace(
        san_jax.load_embeddings(workplace.gallery).take(np.array([0, 1])), names=["o'neil.jpg", "''"]
    )
    people = living_gallery.open_gallery(tmp_path / "people")
    assert people.add([part], part.made_by) == 2
    assert people.remove(["o'neil.jpg"]) == 1
    assert [block.names for block in people.blocks()] == [["''"]]


@needs_lancedb
def test_what_does_not_fit_changes_nothing(halves, tmp_path):
    whole, first, _ = halves
    people = tmp_path / "people"
    gallery.main([f"--gallery={people}", f"--add={first}"])
    with pytest.raises(SystemExit, match=r"gallery: .*people holds 8 of these names already: .*Remove them first"):
        gallery.main([f"--gallery={people}", f"--add={whole}"])
    part = san_jax.load_embeddings(whole)
    twice = dataclasses.replace(part, names=["a"] * 15)
    embedding_files.write_parquet(tmp_path / "twice.parquet", [twice], part.made_by, size=128, dtype="float32")
    for folder in (people, tmp_path / "new"):
        with pytest.raises(SystemExit, match=r"names come twice, and must not in a living gallery: a, a"):
            gallery.main([f"--gallery={folder}", f"--add={tmp_path / 'twice.parquet'}"])
    assert not living_gallery.is_gallery(tmp_path / "new")
    other = {**part.made_by, "metric": "cosine", "workdir": "runs/other"}
    embedding_files.write_parquet(tmp_path / "other.parquet", [part], other, size=128, dtype="float32")
    with pytest.raises(
        SystemExit, match=r"holds embeddings of .* not of runs/other at step 7 \(metric: 'euclidean' there, 'co"
    ):
        gallery.main([f"--gallery={people}", f"--add={tmp_path / 'other.parquet'}"])
    assert len(living_gallery.open_gallery(people)) == 8
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(SystemExit, match=r"mine holds other files \(thesis.tex\): give another folder"):
        gallery.main([f"--gallery={tmp_path / 'mine'}", f"--add={whole}"])


@needs_lancedb
def test_a_first_addition_that_was_killed_is_made_again(workplace, tmp_path, monkeypatch):  # noqa: F811
    part = san_jax.load_embeddings(workplace.gallery)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(living_gallery.files, "write_json", die)  # the table is there, its card is not
        with pytest.raises(KeyboardInterrupt):
            living_gallery.open_gallery(tmp_path / "people").add([part], part.made_by)
    assert (tmp_path / "people" / "embeddings.lance").is_dir()
    people = living_gallery.open_gallery(tmp_path / "people")
    assert people.add([part], part.made_by) == len(people) == 15
    assert sorted(path.name for path in (tmp_path / "people").iterdir()) == ["embeddings.lance", "gallery.json"]
    # Another program's table of that name is not taken for one of these.
    (tmp_path / "other" / "embeddings.lance").mkdir(parents=True)
    with pytest.raises(living_gallery.GalleryError, match="holds other files"):
        living_gallery.open_gallery(tmp_path / "other")


@needs_lancedb
def test_names_that_cannot_be_removed(workplace, tmp_path):  # noqa: F811
    gallery.main([f"--gallery={tmp_path / 'people'}", f"--add={workplace.gallery}"])
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    for flag, message in (
        (f"--remove_list={tmp_path / 'empty.txt'}", "there is no name to remove"),
        (f"--remove_list={tmp_path / 'bytes.txt'}", r"bytes\.txt is no text file in UTF-8"),
        ("--remove=", "there is no name to remove"),
    ):
        with pytest.raises(SystemExit, match=message):
            gallery.main([f"--gallery={tmp_path / 'people'}", flag])
    (tmp_path / "odd.txt").write_text("a\u2028b.jpg\r\nc.jpg\n", encoding="utf-8")
    assert changes.read_names(tmp_path / "odd.txt") == ["a\u2028b.jpg", "c.jpg"]


def test_what_is_no_gallery(tmp_path, capsys):
    for flags in ([], ["--remove=a"], ["--remove_list=absent.txt"]):
        with pytest.raises(SystemExit, match=r"gallery: .*(is no living gallery: --add makes one|absent.txt)"):
            gallery.main([f"--gallery={tmp_path}", *flags])
    with pytest.raises(SystemExit) as raised:
        gallery.main(["--gallery=x", "--add=a", "--remove=b"])
    assert raised.value.code == 2
    assert "give one of --add, --remove and --remove_list" in capsys.readouterr().err


def test_lancedb_that_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(living_gallery, "PACKAGE", "no_such_package")
    message = (
        r"A living gallery needs no_such_package, not installed here. Install it with: pip install 'lancedb>=0.40'"
    )
    with pytest.raises(SystemExit, match=message):
        gallery.main([f"--gallery={tmp_path / 'people'}", "--add=a.parquet"])
    (tmp_path / "gallery.json").write_text("{}")
    with pytest.raises(living_gallery.MissingPackageError, match=message):
        changes.describe(tmp_path)
    with pytest.raises(SystemExit, match=message):
        search.main([f"--gallery={tmp_path}", "--workdir=x", "--query=x", f"--output={tmp_path / 'found'}"])
