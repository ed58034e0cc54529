"""Examples for a page."""

from experiments.pages.examples import evenly_spaced


def test_examples_are_spread_evenly():
    assert evenly_spaced(10, 2) == [2, 7]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(1000, 3) == [166, 500, 833]
