"""The model card of an exported encoder, as Markdown: what it is, what it was trained on, how well it does, its limits.

The form is Hugging Face's: a README.md whose first lines are YAML, with scores as a `model-index`.
"""

from collections.abc import Mapping
from typing import Any

from experiments.pages import template
from experiments.pages.report import SCORES
from experiments.scoring import microscope_words
from san_jax.counts import count

_SCORES = dict(SCORES)
_METHODS = {
    "san": "SAN (Semantics-Aligned Representation Learning for Person Re-identification, AAAI 2020), its encoder alone",
    "baseline": "the baseline of SAN (AAAI 2020): identification and batch-hard triplet losses",
}


def to_markdown(card: Mapping[str, Any]) -> str:
    """Return the text of README.md.

    Args:
        card: What model_card.json holds, see `experiments.runs.exporting.run`.
    """
    method = _METHODS.get(card["run"]["method"], card["run"]["method"])
    words = {"method": method, "scores": _SCORES, "data_words": _data_words, "difference": microscope_words.difference}
    return template.fill("model_card.md.j2", card=card, front=_front_matter(card), **words)


def _front_matter(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the first lines say to Hugging Face; each value is written as JSON, which nothing in it can end early."""
    front: dict[str, Any] = {
        "library_name": "san_jax",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["person-re-identification", "jax", "flax"],
    }
    if card["trained_on"]:
        front["datasets"] = [card["trained_on"]["dataset"]]
    if card["scores"]:
        results = [
            {
                "task": {"type": "image-retrieval", "name": "person re-identification"},
                "dataset": {"type": found["dataset"], "name": found["dataset"]},
                "metrics": [
                    {"type": key, "name": name, "value": round(100 * found[key], 2)}
                    for key, name in _SCORES.items()
                    if found.get(key) is not None
                ],
            }
            for found in card["scores"]
        ]
        front["model-index"] = [{"name": f"{card['run']['method']} encoder", "results": results}]
    return front


def _data_words(data: Mapping[str, Any]) -> str:
    words = data["dataset"]
    if data.get("splits"):
        words += f", split {' + '.join(data['splits'])}: {count(data['images'], 'image')}"
    if data.get("identities"):
        words += f" of {count(data['identities'], 'person')}"
    if data.get("pit"):
        words += f"; and {count(data['pit']['images'], 'synthetic image')} of {data['pit']['dataset']}"
    return f"{words}.{' The dataset was built from a partial copy.' if data.get('partial') else ''}"
