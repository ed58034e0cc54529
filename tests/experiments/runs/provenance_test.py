"""experiments/runs/provenance.py: the commit that a number was made from."""

import pathlib
import subprocess

from experiments.runs import provenance


def test_the_commit_of_the_checkout():
    root = pathlib.Path(provenance.__file__).resolve().parents[2]
    head = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=600
    )
    assert provenance.commit().removesuffix(" with uncommitted changes") == head.stdout.strip()


def test_a_package_installed_inside_another_repository_does_not_report_its_commit(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=600)
    author = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    commit = ["commit", "--quiet", "--allow-empty", "-m", "theirs"]
    subprocess.run(["git", "-C", str(tmp_path), *author, *commit], check=True, timeout=600)
    installed = tmp_path / ".venv" / "lib" / "site-packages" / "experiments" / "runs" / "provenance.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert provenance.commit() == "not a git checkout"
