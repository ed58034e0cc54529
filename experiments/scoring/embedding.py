"""Embeds the splits of a dataset by a run's encoder alone."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm

from experiments.runs import data_sources
from experiments.runs.plan import RunPlan
from experiments.runs.san_pg import Regressor
from san_jax import embed, inference, runtimes, sharding
from san_jax.data import reading
from san_jax.data.pipeline import eval_batches
from san_jax.data.reading import Source
from san_jax.models import SAN
from san_jax.typing import EvalBatch


@dataclasses.dataclass(frozen=True)
class EmbeddedSplit:
    """Embeddings of a split, in its order.

    Attributes:
        embeddings: float32 [N D].
        person_ids, camera_ids: int [N].
    """

    embeddings: np.ndarray
    person_ids: np.ndarray
    camera_ids: np.ndarray

    def take(self, positions: np.ndarray) -> "EmbeddedSplit":
        """Return some of its examples."""
        return EmbeddedSplit(self.embeddings[positions], self.person_ids[positions], self.camera_ids[positions])


def match_masks(query: EmbeddedSplit, gallery: EmbeddedSplit, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (correct, dropped), bool [G], for a query: images of its identity, and those of its camera among them."""
    correct = gallery.person_ids == query.person_ids[index]
    return correct, correct & (gallery.camera_ids == query.camera_ids[index])


@dataclasses.dataclass(frozen=True)
class Embedder:
    """What embeds the images of datasets.

    Attributes:
        model: The encoder.
        plan: The plan of its run.
        data_dir: Where TFDS keeps datasets.
        flip: Average with the embeddings of the inputs mirrored left to right.
        san_pg: Regresses a texture from each image, which is embedded in its place; None to embed the images.
        runtime: One of `runtimes.RUNTIMES`, see `san_jax.load_encoder`.
    """

    model: SAN
    plan: RunPlan
    data_dir: str | os.PathLike[str]
    flip: bool = False
    san_pg: Regressor | None = None
    runtime: str = runtimes.JAX

    def embed(self, dataset: str, split: str) -> EmbeddedSplit:
        """Embed a split over every device; on a terminal it shows how far it is. See `embed_source`.

        Raises:
            datasets.DatasetError: The dataset or the split is absent.
        """
        return self.embed_source(data_sources.open_source(dataset, split, self.data_dir), f"{dataset} {split}")

    def embed_source(self, source: Source, words: str) -> EmbeddedSplit:
        """Embed examples with `image`, `person_id` and `camera_id`; `words` say what they are.

        Of several processes each embeds its share, and all get the whole: every one must call it.
        """
        count, own = len(source), sharding.own_rows(len(source))
        if len(own) < count:
            source = reading.Subset(source, np.asarray(own, np.int64))
        parts = self._embed_own(source, words) if own else self._nothing()
        return EmbeddedSplit(*(sharding.join_rows(part, count) for part in parts))

    def _nothing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the embeddings and ids of no examples: of a process that none is left for."""
        return np.zeros((0, self.model.embedding_size), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32)

    def _embed_own(self, source: Source, words: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the embeddings of this process's examples, and their ids of persons and cameras."""
        mesh = embed.machine_mesh()
        batch_size = embed.whole_batch_size()
        batches = eval_batches(
            source,
            batch_size=batch_size,
            image_size=self.plan.image_size if self.san_pg is None else self.san_pg.plan.image_size,
            num_workers=self.plan.num_workers,
        )
        person_ids, camera_ids = [], []

        def noting_labels() -> Iterator[EvalBatch]:
            for batch in tqdm.tqdm(
                batches,
                desc=f"Embedding {words}",
                unit="batch",
                disable=None,
                leave=False,
                dynamic_ncols=True,
            ):
                person_ids.append(batch["person_id"][batch["valid"]])
                camera_ids.append(batch["camera_id"][batch["valid"]])
                yield batch

        inputs = self._as_inputs(noting_labels(), mesh, batch_size)
        embeddings = np.concatenate(list(self._encoder.stream(inputs, flip=self.flip)))
        return embeddings, np.concatenate(person_ids), np.concatenate(camera_ids)

    @functools.cached_property
    def _encoder(self) -> inference.Encoder:
        return inference.Encoder(self.model, self.plan.image_size, runtime=self.runtime)

    def _as_inputs(
        self, batches: Iterator[EvalBatch], mesh: jax.sharding.Mesh, batch_size: int
    ) -> Iterator[Mapping[str, Any]]:
        """The images, or the textures that are regressed from them."""
        if self.san_pg is None:
            yield from batches
            return
        for textures in embed.regress_batches(self.san_pg.model, batches, mesh=mesh):
            inputs = np.stack([self.san_pg.as_input(texture, self.plan.image_size) for texture in textures])
            yield from embed.padded_batches(inputs, batch_size)
