"""The ablation program."""

import pytest

from experiments import ablate


def test_a_folder_that_could_not_hold_checkpoints_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"ablate: .*\[1\] holds \["):
        ablate.main(["--table=1", "--scale=small", f"--output={tmp_path / '[1]'}"])
    assert list(tmp_path.iterdir()) == []
