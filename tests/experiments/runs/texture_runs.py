"""Runs that regress textures, and photos to regress them from."""

import dataclasses
import io

import numpy as np
from flax import nnx
from PIL import Image

from experiments.command_line import config_files
from experiments.runs import san_pg
from experiments.runs.plan import resolve
from san_jax.models import SAN

SHAPE = {"width": 4, "stage_sizes": (1, 1, 1, 1), "texture_size": 32}


def make_model(seed):
    return SAN(0, **SHAPE, rngs=nnx.Rngs(seed))


def load_model(monkeypatch, model, config="san_pg.py:smoke", target="texture"):
    plan = resolve(config_files.load(config + ",image_size=(48, 32)"))
    if plan.target is not None:
        plan = dataclasses.replace(plan, target=dataclasses.replace(plan.target, kind=target))
    monkeypatch.setattr(san_pg.models, "load_run", lambda path, which: (model, plan, 7))


def write_photos(folder):
    """Write photos of several kinds, one of them damaged, system junk, and a file that is no picture."""
    (folder / "sub").mkdir(parents=True)
    pixels = np.random.default_rng(3).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg")
    Image.fromarray(pixels).convert("L").save(folder / "sub" / "grey.PNG", "PNG")
    Image.fromarray(pixels).convert("RGBA").save(folder / "sub" / "alpha.png")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    (folder / "broken.jpeg").write_bytes(buffer.getvalue()[:200])
    Image.fromarray(pixels).save(folder / "sub" / "web.webp", lossless=True)
    (folder / "notes.txt").write_text("no image")
    for name in ("._a.jpg", "__MACOSX/._a.jpg", "@eaDir/a.jpg", "sub/Thumbs.db", "sub/desktop.ini", ".DS_Store"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\0\5\26\7mac")
