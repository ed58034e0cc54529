"""Embeddings of a split: those of its images, with progress shown."""

import numpy as np
import pytest

from experiments.scoring.embedding import Embedder
from san_jax import embed, runtimes
from tests.experiments.export_runs import needs_onnx, relative
from tests.experiments.scoring.made_up import PLAN


@pytest.mark.parametrize("flip", [False, True])
def test_embeddings_are_those_of_the_images(pit_reid_dir, scored_model, flip):
    split = Embedder(scored_model, PLAN, pit_reid_dir, flip).embed("pit_reid", "query")
    import tensorflow_datasets as tfds
    from PIL import Image

    source = tfds.data_source("pit_reid", split="query", data_dir=pit_reid_dir)
    images = np.stack([Image.fromarray(x["image"]).resize((32, 48), Image.Resampling.BILINEAR) for x in source])
    np.testing.assert_allclose(
        split.embeddings, embed.embed_images(scored_model, images, flip=flip), rtol=1e-4, atol=1e-5
    )


@needs_onnx
@pytest.mark.parametrize("flip", [False, True])
def test_onnx_gives_what_jax_gives(pit_reid_dir, scored_model, flip):
    expected, found = (
        Embedder(scored_model, PLAN, pit_reid_dir, flip, runtime=runtime).embed("pit_reid", "query")
        for runtime in runtimes.RUNTIMES
    )
    assert relative(found.embeddings, expected.embeddings) < 1e-5
    np.testing.assert_array_equal(found.person_ids, expected.person_ids)


def test_progress_of_the_embedding_is_shown(pit_reid_dir, scored_model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Embedder(scored_model, PLAN, pit_reid_dir).embed("pit_reid", "gallery")
    assert "Embedding pit_reid gallery: " in capsys.readouterr().err
