"""Identities of the training set that are held out: not trained on, but scored during the training."""

import dataclasses

import numpy as np
from jaxtyping import Int

from datasets.own.splits import choose_queries
from experiments.runs.errors import RunError
from san_jax.data.reading import Source, check_features, undecoded

# Purposes of random streams.
_IDENTITIES, _QUERIES = range(2)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Positions of examples of a training set.

    Attributes:
        training: Those of the identities that are trained on.
        query: Of the others, those that are searched for: one of each camera of an identity, as far as all find a match.
        gallery: The rest of the others, among which they are searched for.
    """

    training: Int[np.ndarray, " training"]
    query: Int[np.ndarray, " query"]
    gallery: Int[np.ndarray, " gallery"]


def hold_out(source: Source, count: int, *, seed: int) -> HeldOut:
    """Hold identities out.

    Args:
        source: The training set.
        count: Identities to hold out; they are drawn among those that can be scored.
        seed: Seed of the choice of identities and queries.

    Raises:
        RunError: Fewer identities can be scored, or fewer than two would be left.
    """
    source = undecoded(source)
    check_features(source, ("label", "camera_id"))
    examples = [source[index] for index in range(len(source))]  # images stay encoded
    labels = np.asarray([example["label"] for example in examples])
    cameras = np.asarray([example["camera_id"] for example in examples])
    across = len(np.unique(cameras)) > 1
    identities = np.unique(labels)
    scorable = [one for one in identities if _has_match(cameras[labels == one], across=across)]
    if count > len(scorable) or len(identities) - count < 2:
        why = "images of two cameras or more" if across else "two images or more"
        raise RunError(
            f"held_out_identities={count}: of {len(identities):,} training identities {len(scorable):,} have {why} and "
            "can be scored, and two at least must be left to train on."
        )
    chosen = np.sort(np.random.default_rng([seed, _IDENTITIES]).choice(scorable, count, replace=False))
    query: list[int] = []
    for number, identity in enumerate(chosen):
        positions = np.flatnonzero(labels == identity)
        rng = np.random.default_rng([seed, _QUERIES, number])
        query += [int(positions[one]) for one in choose_queries([*map(str, cameras[positions])], rng, across=across)]
    held = np.flatnonzero(np.isin(labels, chosen))
    return HeldOut(np.flatnonzero(~np.isin(labels, chosen)), np.sort(query), np.setdiff1d(held, query))


def _has_match(cameras: Int[np.ndarray, " images"], *, across: bool) -> bool:
    return len(np.unique(cameras)) > 1 if across else len(cameras) > 1
