"""SAN: the network, its losses and training step, checkpoints, embeddings and ranking.

What other programs need stands here, and is imported when it is first asked for:

    encoder = san_jax.load_encoder("runs/san")
    embeddings = encoder(images)
    textures = san_jax.load_regressor("runs/san")(images)
    gallery = san_jax.load_embeddings("gallery.parquet")
    result = san_jax.ranking.evaluate_ranking(...)
"""

import importlib
from typing import TYPE_CHECKING, Any

from san_jax.programs import refuse_modules

if TYPE_CHECKING:
    from san_jax import ranking
    from san_jax.embedding_files import Embeddings, load_embeddings
    from san_jax.inference import Encoder, Regressor, load_encoder, load_regressor

__all__ = ["Embeddings", "Encoder", "Regressor", "load_embeddings", "load_encoder", "load_regressor", "ranking"]

refuse_modules(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "ranking":
        return importlib.import_module("san_jax.ranking")
    if name in ("Embeddings", "load_embeddings"):
        return getattr(importlib.import_module("san_jax.embedding_files"), name)
    if name in __all__:
        return getattr(importlib.import_module("san_jax.inference"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
