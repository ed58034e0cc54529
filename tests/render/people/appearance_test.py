"""The record of a person's looks, and its JSON."""

import json

import numpy as np
import pytest

from render.people.appearance import Appearance
from render.people.sample import sample_appearance


def test_json_holds_every_field_in_order_and_gives_the_record_back() -> None:
    person = sample_appearance(np.random.default_rng(1))
    fields = person.to_json()
    # The person first, then what is worn from top to bottom.
    assert [name for name in fields if name in ("shoe", "seed", "bottom", "top")] == ["seed", "top", "bottom", "shoe"]
    assert Appearance.from_json(json.loads(json.dumps(fields))) == person


def test_missing_and_unknown_fields_are_named() -> None:
    fields = sample_appearance(np.random.default_rng(1)).to_json()
    del fields["beard"]
    with pytest.raises(ValueError, match=r"missing \['beard'\], unknown \['hat'\]"):
        Appearance.from_json({**fields, "hat": "none"})
