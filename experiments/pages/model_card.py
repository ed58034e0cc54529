"""The model card of an exported encoder, as Markdown: what it is, what it was trained on, how well it does, its limits.

The form is Hugging Face's: a README.md whose first lines are YAML, with scores as a `model-index`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.pages.report import SCORES

_SCORES = dict(SCORES)
_METHODS = {
    "san": "SAN (Semantics-Aligned Representation Learning for Person Re-identification, AAAI 2020), its encoder alone",
    "baseline": "the baseline of SAN (AAAI 2020): identification and batch-hard triplet losses",
}
_LIMITS = (
    "It embeds pictures of one person each; it does not detect or track persons.",
    "Scores hold for the persons, cameras and boxes that they were measured on. Another place, season, kind of clothing "
    "or camera can lower them many times over.",
    "Nothing here says whether it does equally well for all people: measure that on people like yours before you rely "
    "on it.",
    "It re-identifies people. Use it where they agreed or the law allows it, and not to watch persons without their "
    "knowledge.",
)


def to_markdown(card: Mapping[str, Any]) -> str:
    """Return the text of README.md.

    Args:
        card: What model_card.json holds, see `experiments.runs.exporting.run`.
    """
    run, trained_on = card["run"], card["trained_on"]
    _, height, width, _ = card["input"]["shape"]
    averaged = ", averaged weights" if run["averaged"] else ""
    lines = [
        *_front_matter(card),
        "# Person re-identification encoder",
        "",
        f"This is {_METHODS.get(run['method'], run['method'])}, at step {run['step']}{averaged}. It turns a picture of a "
        f"person, {height}x{width} pixels, uint8 RGB, into {card['embedding_size']} numbers; pictures of one person are "
        f"nearer to each other ({_metric(card)} distance) than pictures of two.",
        "",
        "`model_card.json` beside this file holds the same and more for programs: normalisation, config, versions, "
        "digests of the files and how far each file's embeddings are from the run's.",
        "",
        "## Files",
        "",
        *_table(
            ("file", "format", "size", "run with"),
            [
                (f"`{name}`", file["format"], f"{file['bytes'] / 1e6:.1f} MB", _code(file["run_with"]))
                for name, file in card["files"].items()
            ],
        ),
        "",
        "## Trained on",
        "",
        *_trained_on(trained_on),
        "",
        "## Scores",
        "",
        *_scores(card["scores"]),
        "",
        "## The same person?",
        "",
        *_calibration(card["calibration"]),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _LIMITS),
        "",
        f"Made with San-JAX{_commit(card)}. Its code is under the MIT licence; the licence of the training data may bind "
        "these weights.",
        "",
    ]
    return "\n".join(lines)


def _code(text: str) -> str:
    return "`" + text.replace("`", "'") + "`"


def _metric(card: Mapping[str, Any]) -> str:
    return "cosine" if card["config"].get("test_metric") == "cosine" else "Euclidean"


def _commit(card: Mapping[str, Any]) -> str:
    return f" at commit {card['commit']}" if card["commit"] else ""


def _front_matter(card: Mapping[str, Any]) -> list[str]:
    """YAML, of which JSON is a part: every value is written as JSON, so nothing in it can end a value early."""
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
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---"]


def _trained_on(trained_on: Mapping[str, Any] | None) -> list[str]:
    if trained_on is None:
        return ["Not recorded by the run."]
    lines = [f"- {_data_words(trained_on)}"]
    for run, data in trained_on.get("started_from", {}).items():
        lines.append(f"- Before that, as the run {run}: {_data_words(data) if data else 'not recorded'}")
    weights = trained_on.get("weights_file")
    return [*lines, f"- Its first weights came from the file {weights['file']}."] if weights else lines


def _data_words(data: Mapping[str, Any]) -> str:
    words = data["dataset"]
    if data.get("splits"):
        words += f", split {' + '.join(data['splits'])}: {data['images']:,} images"
    if data.get("identities"):
        words += f" of {data['identities']:,} persons"
    if data.get("pit"):
        words += f"; and {data['pit']['images']:,} synthetic images of {data['pit']['dataset']}"
    return f"{words}.{' The dataset was built from a partial copy.' if data.get('partial') else ''}"


def _scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    if not scores:
        return ["It was not scored (`python -m experiments.evaluate` scores a run; export it again after that)."]
    rows = [
        (
            found["dataset"],
            *(f"{100 * found[key]:.2f}" if found.get(key) is not None else "" for key in _SCORES),
            found["relation"],
        )
        for found in scores
    ]
    protocols = [f"- {found['protocol']}" for found in scores]  # each begins with its dataset
    return [*_table(("%", *_SCORES.values(), "relation to the training"), rows), "", *protocols]


def _calibration(calibration: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return ["No threshold was measured (`python -m experiments.calibrate` does it for a run)."]
    pictures = calibration["pictures"]
    lines = [
        f"Measured on {pictures['images']}: {pictures['pictures']:,} pictures of {pictures['persons']:,} persons.",
        "",
        *_table(
            ("nearer than", "pairs of two persons that are", "pairs of one person that are not"),
            [
                (
                    "too few pairs to tell" if point["threshold"] is None else f"{point['threshold']:.4g}",
                    f"{point['false_matches']:,} of {point['impostors']:,}",
                    f"{point['false_non_matches']:,} of {point['genuine']:,}",
                )
                for point in calibration["points"]
            ],
        ),
        "",
    ]
    return [*lines, *calibration["limits"]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]
