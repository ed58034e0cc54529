"""The ablation program."""

import pytest

from experiments import ablate


def test_a_folder_that_could_not_hold_checkpoints_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"ablate: .*\[1\] holds \["):
        ablate.main(["--table=1", "--scale=small", f"--output={tmp_path / '[1]'}"])
    assert list(tmp_path.iterdir()) == []


def test_renderings_of_an_older_version_are_named(tmp_path):
    folder = tmp_path / "data" / "rendered" / "pit"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"version": 1}')
    with pytest.raises(SystemExit, match=r"ablate: .*manifest.json: format version 1; this program reads"):
        ablate.main(["--table=1", "--scale=small", "--dataset=pit_reid", f"--output={tmp_path}"])
