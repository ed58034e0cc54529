"""The program that makes pseudo textures."""

import pathlib

import pytest

from experiments import pseudo_texture
from tests.experiments.runs.texture_runs import load_model, make_model, write_photos


def test_main(tmp_path, monkeypatch, capsys):
    workdir, photos = tmp_path / "run", tmp_path / "photos"
    load_model(monkeypatch, make_model(0))
    write_photos(photos)
    flags = [f"--workdir={workdir}", f"--images={photos}"]
    with pytest.raises(SystemExit, match="1 picture could not be read"):
        pseudo_texture.main([*flags, f"--output={tmp_path / 'out'}"])
    assert (tmp_path / "out" / "a.png").is_file()
    monkeypatch.undo()
    with pytest.raises(SystemExit, match=r"config\.json does not exist: expected the folder of a run"):
        pseudo_texture.main([*flags, f"--output={tmp_path / 'other'}"])
    for arguments in (flags, [*flags, "--output=o", "--data_dir=d"], ["--workdir=w", "--dataset=d", "--output=o"]):
        with pytest.raises(SystemExit) as raised:
            pseudo_texture.main(arguments)
        assert raised.value.code == 2
        assert "either --dataset" in capsys.readouterr().err
    assert pathlib.Path("o").exists() is False
