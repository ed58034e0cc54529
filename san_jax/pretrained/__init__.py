"""Encoders that come with the package: a folder each, as `python -m experiments.export` writes it.

They were trained on rendered persons alone; their README.md says on which, how well they do, and where they fail.
"""

import pathlib

WEIGHTS = "encoder.safetensors"
FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Return the names that `san_jax.load_encoder` takes."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{WEIGHTS}"))


def is_shipped(folder: pathlib.Path) -> bool:
    """Whether a folder is that of an encoder that comes with the package, whose files stay as they are."""
    return folder.parent == FOLDER


def find(name: str) -> pathlib.Path:
    """Return the file of weights of an encoder by its name.

    Raises:
        FileNotFoundError: There is none of this name.
    """
    if name not in names():
        raise FileNotFoundError(
            f"No encoder {name!r} comes with the package, which has {', '.join(names()) or 'none'}."
        )
    return FOLDER / name / WEIGHTS
