"""Re-estimates the running statistics of batch normalisation on given pictures; no weight changes.

A run's running statistics are decaying averages over its last batches, of whatever kinds these were: reID and PIT
pictures in turn, augmented. Where other pictures are to be embedded, their own statistics may fit better. Only pixels
are read, no labels: on pictures of another dataset this is unsupervised domain adaptation of the statistics (Li et al.,
"Revisiting Batch Normalization For Practical Domain Adaptation", ICLR workshop 2017).

What is computed: the pictures pass through the network in training mode, batch by batch, so that each layer normalises
batch b, of n_b pictures, by its own mean m_b and biased variance v_b over pictures and positions. With n the sum of
all n_b, the new statistics of a layer are

    mean      m = sum_b n_b m_b / n
    variance  v = sum_b n_b (v_b + (m_b - m)^2) / n

which are exactly the mean and the biased variance of all numbers that the layer read in these passes.
`torch.optim.swa_utils.update_bn` with momentum=None gives the same mean for batches of one size; its variance is the
average of the batches' unbiased variances, which leaves out (m_b - m)^2, how far the batches lie apart.

From the second layer on, what a layer reads was normalised by its batch's statistics, at inference by the new ones. The
two differ as far as a batch's statistics differ from those of all pictures: batches should be large, and mixed.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from san_jax import embed
from san_jax.counts import count
from san_jax.data import reading
from san_jax.data.augment import normalize_images
from san_jax.models import SAN, batch_statistics, merge_model, split_model
from san_jax.models.functional import Tree
from san_jax.models.layers import DECAY


def reestimate(model: SAN, batches: Iterable[UInt8[np.ndarray, "_ height width 3"]]) -> SAN:
    """Return a model with the same parameters and the statistics of given pictures.

    Args:
        model: Any `SAN`; the statistics of its decoder, where it has one, are re-estimated as well. It stays as it is.
        batches: uint8 RGB pictures [B H W 3] of the size that the model was trained on, B at least 2. Each size of
            batch is compiled once.

    Raises:
        ValueError: There are no pictures, a batch has a single one, or weights are not finite.
    """
    graphdef, params, batch_stats = split_model(model)
    return merge_model(graphdef, params, statistics(graphdef, params, batch_stats, batches))


def statistics(
    graphdef: Any, params: Tree, batch_stats: Tree, batches: Iterable[UInt8[np.ndarray, "_ height width 3"]]
) -> Tree:
    """Return the statistics of given pictures, float32; what `reestimate` does for a model that was taken apart.

    Args:
        graphdef: The model's static part, see `san_jax.models.split_model`.
        params: Its parameters.
        batch_stats: Its running statistics, of which only names and shapes are read.
        batches: As in `reestimate`.

    Raises:
        ValueError: As `reestimate`.
    """
    embed.check_finite(merge_model(graphdef, params, batch_stats))
    found: Tree = {}
    total = 0
    for images in batches:
        if len(images) < 2:
            raise ValueError(f"A batch has {count(len(images), 'picture')}: a variance needs at least two.")
        of_batch = jax.tree.map(
            lambda array: np.asarray(array, np.float64), _of_batch(graphdef, params, batch_stats, images)
        )
        total += len(images)
        found = _combine(found, of_batch, len(images) / total) if found else of_batch
    if not total:
        raise ValueError("There are no pictures to re-estimate statistics on: expected at least two.")
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), found)


def read_batches(
    source: reading.Source, feature: str, positions: Iterable[np.ndarray], size: tuple[int, int]
) -> Iterable[UInt8[np.ndarray, "_ height width 3"]]:
    """Yield pictures of a source in batches, resized as at test, without any augmentation.

    Args:
        source: Examples with `feature`.
        feature: What of an example is the picture: "image", or "texture".
        positions: The places of each batch's pictures.
        size: Height and width.
    """
    source = reading.undecoded(source)
    reading.check_features(source, (feature,))
    for chosen in positions:
        yield np.stack(
            [reading.decode(reading.read_example(source, index), feature, size, index) for index in map(int, chosen)]
        )


def draw(available: int, wanted: int, *, seed: int, batch_size: int = embed.BATCH_SIZE) -> list[Int[np.ndarray, " _"]]:
    """Draw pictures without replacement, in random order, in batches whose sizes differ by one at most.

    Args:
        available: Number of pictures that there are.
        wanted: Number to draw; all of them where there are fewer.
        seed: Seed of the choice and of the order.
        batch_size: The largest size of a batch; three where two would leave one picture over.

    Raises:
        ValueError: There are fewer than two.
    """
    chosen = np.random.default_rng(seed).permutation(available)[:wanted]
    if len(chosen) < 2:
        raise ValueError(f"Statistics need at least two pictures, found {len(chosen)}.")
    batches = -(-len(chosen) // max(2, batch_size))
    return np.array_split(chosen, min(batches, len(chosen) // 2))


@functools.partial(jax.jit, static_argnums=0)
def _of_batch(graphdef: Any, params: Tree, batch_stats: Tree, images: UInt8[jax.Array, "batch height width 3"]) -> Tree:
    """The mean and the biased variance of each layer's input."""
    model = merge_model(graphdef, params, jax.tree.map(jnp.zeros_like, batch_stats))
    model(normalize_images(images), train=True)
    # From zero, a step of the decaying average leaves this share of the batch's own statistics.
    return jax.tree.map(lambda array: array / (1.0 - DECAY), batch_statistics(model))


def _combine(old: Tree, new: Tree, share: float) -> Tree:
    """The statistics of two sets of pictures together, of which `new` is a share.

    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    if "mean" not in old:
        return {name: _combine(old[name], new[name], share) for name in old}
    difference = new["mean"] - old["mean"]
    return {
        "mean": old["mean"] + share * difference,
        "var": (1.0 - share) * old["var"] + share * new["var"] + share * (1.0 - share) * np.square(difference),
    }
