"""How Sphinx makes a site of the pages: `make docs`. Links, anchors and pictures that lead nowhere end `make lint`.

The pages are the Markdown that GitHub shows, so the sources are the whole repository; the API pages (`docs/api/`) are
made from the docstrings.
"""

import inspect
import re
from typing import Any

from sphinx.util.inspect import stringify_signature

project = "San-JAX"
author = "The san_jax authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/ablation/*.md",
    "docs/api/*.rst",
    "datasets/*/README.md",
    "tests/golden/README.md",
]
# Folders that are not walked through.
exclude_patterns = [".*", "build", "data", "demo", "runs", "weights"]

# The order of the pages: what the side bar shows below each page, by caption. Pages get it when they are read, as it
# would be no more than a block of code on GitHub.
CONTENTS = {
    "README": {
        "Start": ["docs/quick_start", "docs/README"],
        "Your own pictures": ["docs/own_data", "docs/search", "docs/pretrained"],
        "The method": [
            "docs/benchmarks",
            "docs/training",
            "docs/scoring",
            "docs/microscope",
            "docs/renderer",
            "docs/scaling",
            "docs/performance",
            "docs/variants",
            "docs/ablation",
        ],
        "Results in other programs": ["docs/data", "docs/export"],
        "To look things up": [
            "docs/troubleshooting",
            "docs/paper_to_code",
            "docs/api",
            "CHANGELOG",
            "CONTRIBUTING",
        ],
    },
    "docs/benchmarks": {"Datasets": ["../datasets/*/README"]},
    "docs/ablation": {"Tables": ["ablation/*"]},
    "docs/api": {
        "Packages": [f"api/{name}" for name in ("san_jax", "ranking", "losses", "models", "datasets", "render")]
    },
    "CONTRIBUTING": {"Tests": ["tests/golden/README"]},
}

# Markdown: headings have the anchors that GitHub gives them.
myst_heading_anchors = 6

smartquotes_action = "D"  # dashes only: "jax" is a value

# Docstrings: what stands between single backticks is code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # types stand in the signature
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!(san_jax|datasets|render|experiments)\.).*")]  # names of other projects
python_maximum_signature_line_length = 72

html_theme = "furo"
html_title = "San-JAX"
html_extra_path = ["index.html"]  # leads to the start page
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False


def _complete_page(_app: Any, name: str, source: list[str]) -> None:
    """Give a page its contents for the side bar, and a title to those that have none: TFDS's descriptions."""
    if name.startswith("datasets/"):
        source[0] = f"# {name.split('/')[1]}\n\n{source[0]}"
    for caption, pages in CONTENTS.get(name, {}).items():
        lines = ["", "```{toctree}", ":hidden:", ":glob:", f":caption: {caption}", "", *pages, "```", ""]
        source[0] += "\n".join(lines)


def _adapt_docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Say in reStructuredText what our docstrings say by indented code and by attributes that share a line."""
    for i in range(len(lines) - 2, 0, -1):
        lines[i] = re.sub(r"^:ivar [\w, ]+:", lambda names: names[0].replace(", ", "/"), lines[i])
        if not lines[i] and lines[i + 1].startswith("    ") and re.match(r"[^\s:]", lines[i - 1]):
            lines[i:i] = ["", "::"]


def _adapt_signature(
    _app: Any, what: str, _name: str, value: Any, _options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Write the annotations as in the source: `Array` is NumPy's or JAX's, and Flax's metaclass hides arguments."""
    if what == "class" and signature == "(*args: Any, **kwargs: Any)":
        own = inspect.signature(value.__init__)
        own = own.replace(parameters=list(own.parameters.values())[1:], return_annotation=own.empty)
        signature = stringify_signature(own, unqualified_typehints=True)

    def shortened(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(r"<(?:built-in function|class) '?([\w.]+)'?>", r"\1", text)  # defaults
        text = re.sub(r"[~\w.]*\bArray\b", "Array", text)
        text = re.sub(r"([~\w.]+)\[Array, ('[^']*')\] \| \1\[[~\w.]*ndarray, \2\]", r"\1[Array, \2]", text)
        return text.replace("Array | ~numpy.ndarray", "Array")

    return shortened(signature), shortened(result)


def _is_plain_field(_app: Any, _what: str, _name: str, member: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave out the fields of named tuples, which the docstring of the class describes."""
    return True if str(member.__doc__).startswith("Alias for field number") else None


def setup(app: Any) -> None:
    app.connect("source-read", _complete_page)
    app.connect("autodoc-process-docstring", _adapt_docstring, priority=600)  # after Napoleon
    app.connect("autodoc-process-signature", _adapt_signature)
    app.connect("autodoc-skip-member", _is_plain_field)
