"""What a run lacks is told at once, and nothing is left behind."""

import pytest

from experiments.command_line import config_files
from experiments.runs import training


def test_a_config_that_is_refused_leaves_nothing(tmp_path):
    with pytest.raises(training.RunError, match=r"batch\.num_identities to 2 or more"):
        training.run(config_files.load("baseline:batch.num_identities=1"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "reasons"),
    [
        ("san:start.path=absent", ["start.path=absent: ", "'market1501_textured'", "'pit'"]),
        ("san:start.kind=imagenet,start.path=", ["start: the ImageNet weights", "_textured'", "'pit'"]),
        (
            "san:start.kind=random,start.path=,target.kind=folder,target.path=absent,batch_kinds=('reid',)",
            ["'market1501'", "target.path=absent "],
        ),
        (
            "baseline:start.kind=random,input.kind=texture,input.path=absent",
            ["'market1501_textured'", "input: absent/config.json does not exist"],
        ),
        ("san_pg:start.kind=file,start.path=w.pth,batch.pit_size=7", ["no file w.pth", "batch.pit_size", "'pit'"]),
        ("baseline:optimizer.name=sgd,model.encoder=vgg", ["model: encoder", "optimizer: name"]),
        ("baseline:eval_every_epochs=1,start.kind=random", ["eval_every_epochs", "'market1501'"]),
    ],
)
def test_all_that_is_missing_is_named_at_once_and_nothing_is_left(config, reasons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(training.RunError, match=f"cannot start, for {len(reasons)} reasons") as error:
        training.run(config_files.load(config), "runs/new")
    lines = [line for line in str(error.value).splitlines() if line.startswith("- ")]
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
    assert list(tmp_path.iterdir()) == []
