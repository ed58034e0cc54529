"""The domain gap: distances with closed forms, and the program on small datasets."""

import json
import pathlib

import numpy as np
import pytest

import datasets
from experiments import domain_gap
from experiments.domain import gap
from experiments.domain.statistics import NAMES
from tests.experiments import tiny_data
from tests.experiments.pages import browser


def samples(seed: int, count: int = 2000, shift: float = 0.0) -> np.ndarray:
    """Normal numbers with deviation 2; the first statistic is moved by `shift`."""
    values = 2.0 * np.random.default_rng(seed).standard_normal((count, len(NAMES)))
    values[:, 0] += shift
    return values


def test_a_shift_is_as_far_as_it_is_in_deviations():
    found = gap.compare(samples(0), samples(1, shift=3.0), size=(128, 64))
    first = found.differences[0]
    assert first.name == NAMES[0]
    assert first.distance == pytest.approx(3.0 / 2.0, abs=0.08)
    assert all(one.distance < 0.15 for one in found.differences[1:])
    assert 0.0 < first.floor < 0.15
    # A normal of deviation 2 sqrt(2) is above -3 with the probability Phi(3 / 2.83) = 0.856.
    assert first.rendered_is_larger == pytest.approx(0.856, abs=0.02)
    assert first.rendered[1] - first.real[1] == pytest.approx(3.0, abs=0.2)
    assert found.told_apart == pytest.approx(0.856, abs=0.03)


def test_equal_distributions_cannot_be_told_apart():
    found = gap.compare(samples(0), samples(1), size=(128, 64))
    assert found.told_apart == pytest.approx(0.5, abs=0.05)
    assert found.mean_distance < 0.1


def test_larger_counts_pairs():
    a, b = np.array([1.0, 2.0, 2.0]), np.array([2.0, 0.0])
    expected = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert gap.larger(a, b) == pytest.approx(expected)


def test_a_constant_statistic_of_real_pictures_has_a_distance():
    real, rendered = samples(0, 40), samples(1, 40)
    real[:, 1] = 1.0
    found = {one.name: one for one in gap.compare(real, rendered, size=(128, 64)).differences}
    assert 0.0 < found[NAMES[1]].distance < 5.0
    assert json.dumps(gap.compare(real, rendered, size=(128, 64)).to_json(), allow_nan=False)


def test_rounding_is_no_spread_of_real_pictures():
    """Grey pictures have a chroma of 0 but for the rounding of float32."""
    real, rendered = samples(0, 40), samples(1, 40)
    real[:, 1] = 1e-8 * real[:, 1]
    found = {one.name: one for one in gap.compare(real, rendered, size=(128, 64)).differences}
    assert 0.0 < found[NAMES[1]].distance < 5.0


def test_too_few_pictures_are_refused():
    with pytest.raises(ValueError, match="expected 20 pictures or more of each, found 19 and 30"):
        gap.compare(samples(0, 19), samples(1, 30), size=(128, 64))


def test_the_program_writes_numbers_and_a_page(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    tiny_data.write_pit_reid(tmp_path / "rendered", train_ids=7)
    datasets.build_dataset("pit_reid", data_dir=tmp_path / "data", manual_dir=tmp_path / "rendered")
    arguments = ["--real=pit_reid:train", "--rendered=pit_reid:train", f"--data_dir={tmp_path / 'data'}"]
    domain_gap.main([*arguments, f"--output={tmp_path / 'gap'}", "--size=32x16"])
    printed = capsys.readouterr().out
    assert "pit_reid:train" in printed
    found = json.loads((tmp_path / "gap" / "domain_gap.json").read_text())
    assert found["mean_distance"] == 0.0
    assert found["size"] == [32, 16]
    assert {one["name"] for one in found["differences"]} == set(NAMES)
    text = (tmp_path / "gap" / "domain_gap.html").read_text()
    found = browser.widths(tmp_path, text)  # the table scrolls by itself
    assert [(page["width"], page["content"]) for page in found] == [(width, width) for width in browser.WIDTHS]
    assert text.count("<svg") == len(NAMES)
    assert "<img" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--real=nothing", "--rendered=nothing"], "No dataset 'nothing'"),
        (["--real=a", "--rendered=b", "--size=128"], "--size takes HEIGHTxWIDTH, such as 128x64, found '128'"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        domain_gap.main([*arguments, f"--data_dir={tmp_path}"])
    assert words in str(error.value) + capsys.readouterr().err
