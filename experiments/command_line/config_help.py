"""What the keys of a config mean, for `--help`: read from comments beside them, or from docstrings.

A config file explains a key beside it: `config.seed = 0  # seeds everything`, or `"seed": 0,  # seeds everything`
inside `ConfigDict({...})`. If the keys are the fields of a dataclass, the section "Attributes:" of its docstring
explains them.
"""

import ast
import dataclasses
import inspect
import io
import itertools
import pathlib
import re
import shutil
import textwrap
import tokenize
import typing
from collections.abc import Iterable, Iterator

_COLUMN = 44  # where comments start


def source_comments(path: pathlib.Path, base_folder: pathlib.Path) -> dict[str, str]:
    """Return the comments beside the keys of a config file: dotted key -> text.

    Args:
        path: The config file.
        base_folder: Folder of the configs that this one starts from (`from experiments.configs import NAME`). Their
            comments explain the keys that have none in this file.
    """
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    comments: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "experiments.configs":
            for alias in node.names:
                base = base_folder / f"{alias.name}.py"
                if base.is_file() and base.resolve() != path.resolve():
                    comments |= source_comments(base, base_folder)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    for key, where in _assigned_keys(tree):
        written = [lines[line] for line in where if line in lines]
        if written:
            comments[key] = written[-1]
    return comments


def _assigned_keys(tree: ast.Module) -> Iterator[tuple[str, range]]:
    """Yield the dotted keys of `config.a.b = value` and `ConfigDict({"a": value})`, and the lines of each assignment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            yield ast.unparse(node.targets[0]).partition(".")[2], _lines(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ConfigDict"):
            for argument in node.args:
                yield from _keys_of_dict(argument, "")


def _lines(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _keys_of_dict(node: ast.AST, prefix: str) -> Iterator[tuple[str, range]]:
    if not isinstance(node, ast.Dict):
        return
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant):  # not `**others`
            # A group has its comment on its first line, for its other lines are its keys'.
            yield f"{prefix}{key.value}", _lines(key if isinstance(value, ast.Dict) else value)
            yield from _keys_of_dict(value, f"{prefix}{key.value}.")


def field_comments(cls: type, prefix: str = "") -> dict[str, str]:
    """Return what the docstrings of a dataclass, and of those in its fields, say of the fields: dotted key -> text."""
    described: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        described |= _attributes(base.__dict__.get("__doc__") or "")
    types = typing.get_type_hints(cls)
    comments = {}
    for field in dataclasses.fields(cls):
        key, parts = f"{prefix}{field.name}", [described.get(field.name, "")]
        inner = types[field.name]
        if dataclasses.is_dataclass(inner) and isinstance(inner, type):
            parts.append(_first_sentence(inner))
            comments |= field_comments(inner, f"{key}.")
        comments[key] = " ".join(filter(None, parts))
    return {key: text for key, text in comments.items() if text}


def _attributes(docstring: str) -> dict[str, str]:
    """Return the entries `name: text` and `name, other: text` of a docstring's section "Attributes:"."""
    _, _, section = f"\n{inspect.cleandoc(docstring)}".partition("\nAttributes:\n")
    described: dict[str, str] = {}
    names: list[str] = []
    inside = itertools.takewhile(lambda line: line.startswith(" "), section.splitlines())
    for line in textwrap.dedent("\n".join(inside)).splitlines():
        entry = re.fullmatch(r"(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            described |= dict.fromkeys(names, entry[2])
        else:
            described |= {name: f"{described[name]} {line.strip()}" for name in names}
    return described


def _first_sentence(cls: type) -> str:
    """Return the first sentence of a class's docstring; "" for the signature that `dataclass` puts there otherwise."""
    docstring = cls.__doc__ or ""
    if docstring.startswith(f"{cls.__name__}("):
        return ""
    return re.split(r"(?<=\.)\s", " ".join(docstring.partition("\n\n")[0].split()))[0]


def to_text(entries: Iterable[tuple[str, str]]) -> str:
    """Lay out pairs (key and value, comment) for a terminal, the comments in a column of their own."""
    width = max(shutil.get_terminal_size().columns - _COLUMN, 24)
    lines = []
    for left, comment in entries:
        left, text = f"  {left}", textwrap.wrap(comment, width, break_on_hyphens=False)
        if text and len(left) < _COLUMN - 1:
            left = f"{left:<{_COLUMN}}{text.pop(0)}"
        lines += [left, *(" " * _COLUMN + line for line in text)]
    return "\n".join(lines)
