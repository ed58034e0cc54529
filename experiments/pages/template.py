"""Fills the templates of pages and cards: HTML that escapes every value, Markdown whose values hold no HTML.

A value that a template names and nobody gives is an error.
"""

import base64
import io
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from san_jax.counts import count


def fill(name: str, **values: Any) -> str:
    """Fill a file of `templates/`.

    Args:
        name: Its name, which ends in .html.j2 or .md.j2.
        values: What it shows. Text is escaped unless it is `Markup`.

    Raises:
        jinja2.UndefinedError: A value is missing.
    """
    environment = _MARKDOWN if name.endswith(".md.j2") else _HTML
    return environment.get_template(name).render(values)


def image_uri(image: np.ndarray, *, quality: int = 88) -> str:
    """Encode an image uint8 [H W 3] as a JPEG data URI.

    Raises:
        ValueError: The image has another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an image uint8 [H W 3], found {image.dtype} {list(image.shape)}.")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _markdown(value: Any) -> str:
    """Write a value so that it is no HTML and ends no cell of a table; this runs on every value of a Markdown file."""
    if isinstance(value, Markup):
        return value
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> Markup:
    """Write text as code in Markdown, where entities would be shown as they stand."""
    return Markup("`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`")


_HTML = jinja2.Environment(
    loader=jinja2.PackageLoader("experiments.pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_HTML.filters.update(code=_code, jpeg=image_uri, thousands="{:,}".format, counted=count)
_HTML.policies["json.dumps_kwargs"] = {}  # keys in the order of the values
_MARKDOWN = _HTML.overlay(autoescape=False, finalize=_markdown)
