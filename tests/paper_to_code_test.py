"""docs/paper_to_code.md: every file, name, config key and command in it exists, and nothing that the paper numbers is left out.

A code span there is one of these, which are told apart by their looks, and nothing else:

    path/to/file.py, path/to/folder/       a file or folder of this repository
    path/to/file.py:Class.method           a name that the file defines (or imports)
    san_jax.losses.triplet_reid_loss       the same, dotted
    san.py:turns=('reid',)                 a config of experiments/configs and its argument, which must load
    config.loss.triplet_reid=0.0           a key of the training configs, perhaps with a value of its type
    python -m experiments.train --config=san.py        a program and its flags
"""

import ast
import functools
import pathlib
import re
import shlex
from collections.abc import Iterable

import pytest

from experiments.command_line import config_files

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs" / "paper_to_code.md"
PACKAGES = ("san_jax", "datasets", "render", "experiments")
TRAINING = ("baseline.py", "san_pg.py", "san.py")
# Groups of config keys that say what is computed: the document tells where each of them stands in the paper.
GROUPS = ("augment", "loss", "model", "optimizer", "pit_augment")


def code_spans(text: str) -> list[str]:
    """The code spans of a Markdown text, in order, each once."""
    return list(dict.fromkeys(re.findall(r"`([^`]+)`", text)))


def problem(span: str) -> str | None:
    """What is wrong with a code span; None where all that it names exists."""
    try:
        if span.startswith("python -m "):
            return _command_problem(span)
        if span.startswith("config."):
            return _key_problem(*_split_value(span.removeprefix("config.")))
        path, _, name = span.partition(":")
        if "/" not in path and path.endswith(".py"):
            config_files.load(span)
            return None
        if "/" in path:
            return _name_problem(path, name)
        if path.split(".")[0] in PACKAGES:
            return _dotted_problem(path)
    except config_files.ConfigError as error:
        return str(error)
    return "neither a path, a name, a config, a config key nor a command"


def _command_problem(command: str) -> str | None:
    module, *arguments = shlex.split(command)[2:]
    path = module.replace(".", "/") + ".py"
    if not (REPOSITORY / path).is_file():
        return f"there is no {path}"
    strings = _strings(path)
    config = None
    for argument in arguments:
        flag, value = _split_value(argument)
        if flag == "--config" and value:
            config = config_files.load(value)
        elif flag.startswith("--config.") and config is not None:
            config_files.check_key(config, flag.removeprefix("--config."))
        elif not {flag, flag.removeprefix("--")} & strings:
            return f"{path} has no flag {flag}"
    return None


def _key_problem(key: str, value: str | None) -> str | None:
    configs = [
        config.copy_and_resolve_references() for config in _training_configs() if key in config_files.keys(config)
    ]
    if not configs:
        return f"none of {', '.join(TRAINING)} has the key {key}"
    if value is not None:
        for config in configs:
            config_files.override(config.unlock(), key, value)
    return None


def _dotted_problem(name: str) -> str | None:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if (REPOSITORY / file).is_file():
                return _name_problem(file, ".".join(parts[end:]))
    return f"there is no module {parts[0]}"


def _name_problem(path: str, name: str) -> str | None:
    file = REPOSITORY / path
    if not (file.is_dir() if path.endswith("/") else file.is_file()):
        return f"there is no {path}"
    if not name:
        return None
    body: Iterable[ast.stmt] = _tree(path).body
    for part in name.split("."):
        found = [node for node in body if part in _defined(node)]
        if not found:
            return f"{path} defines no {name}"
        body = _members(found[-1])
    return None


def _members(node: ast.stmt) -> Iterable[ast.stmt]:
    """What a class holds: its own statements, and the assignments to `self` in its methods."""
    if not isinstance(node, ast.ClassDef):
        return ()
    attributes = [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.Assign | ast.AnnAssign) and "self." in ast.unparse(inner).partition("=")[0]
    ]
    return [*node.body, *attributes]


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement defines; `self.x = ...` defines x."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = [leaf for target in node.targets for leaf in getattr(target, "elts", [target])]
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    attributes = {target.attr for target in targets if isinstance(target, ast.Attribute)}
    return names | attributes


@functools.cache
def _tree(path: str) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))


@functools.cache
def _strings(path: str) -> frozenset[str]:
    """The strings of a program, and the argument that `config_argument.add` adds if it is called."""
    strings = {
        node.value for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant) and type(node.value) is str
    }
    return frozenset(strings | ({"--config"} if "config_argument.add(" in ast.unparse(_tree(path)) else set()))


@functools.cache
def _training_configs() -> tuple[config_files.Config, ...]:
    return tuple(config_files.load(name) for name in TRAINING)


def _split_value(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key, value if equals else None


def test_everything_that_the_document_names_exists():
    spans = code_spans(DOCUMENT.read_text(encoding="utf-8"))
    assert len(spans) > 100
    assert [f"`{span}`: {found}" for span in spans if (found := problem(span))] == []


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENT.read_text(encoding="utf-8"))
    assert links
    inside = [link.partition("#")[0] for link in links if not re.match(r"https?://|#", link)]
    assert [link for link in inside if not (DOCUMENT.parent / link).exists()] == []


@pytest.mark.parametrize(
    "number",
    [
        *(f"Section {section}" for section in ("3", "3.1", "3.2", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6")),
        *(f"Figure {figure}" for figure in range(1, 8)),
        *(f"Table {table}" for table in range(1, 5)),
        "Equation 1",
    ],
)
def test_all_that_the_paper_numbers_is_there(number: str):
    assert re.search(rf"\b{re.escape(number)}(?![.\d])", DOCUMENT.read_text(encoding="utf-8"))


def test_every_switch_of_the_training_configs_is_explained():
    spans = code_spans(DOCUMENT.read_text(encoding="utf-8"))
    named = {_split_value(span)[0].removeprefix("config.") for span in spans if span.startswith("config.")}
    keys = {
        key for config in _training_configs() for key in config_files.keys(config) if key.partition(".")[0] in GROUPS
    }
    assert sorted(keys - set(GROUPS) - named) == []


@pytest.mark.parametrize(
    "span",
    [
        "san_jax/losses/triplet_reid.py",
        "san_jax/losses/",
        "san_jax/losses/triplet_reid.py:triplet_reid_loss",
        "san_jax/settings.py:LossSettings.triplet_margin",
        "san_jax/models/resnet.py:ResNet.stage4",
        "san_jax.losses.triplet_reid_loss",
        "san_jax.settings.LossSettings.triplet_margin",
        "san.py",
        "san.py:turns=('reid',),loss.triplet_reid=0.0",
        "config.loss.triplet_reid",
        "config.loss.triplet_reid=0.0",
        "python -m experiments.train --config=san.py:smoke --config.seed=1 --workdir=runs/smoke",
        "python -m experiments.pseudo_texture --workdir=runs/san_pg --images=photos --output=textures",
    ],
)
def test_what_exists_passes(span: str):
    assert problem(span) is None


@pytest.mark.parametrize(
    "span",
    [
        "san_jax/losses/triplet_re_id.py",
        "san_jax/loss/",
        "san_jax/losses/triplet_reid.py/",
        "san_jax/losses/triplet_reid.py:triplet_loss",
        "san_jax/settings.py:LossSettings.margin",
        "san_jax/train_step.py:make_step.seed",
        "san_jax/models/resnet.py:ResNet.stage5",
        "san_jax/models/resnet.py:ResNet.size",
        "san_jax.losses.triplet_loss",
        "san_jax.lossy.triplet_reid_loss",
        "sam.py",
        "san.py:turn=('reid',)",
        "san.py:turns=reid",
        "config.loss.tripletreid",
        "config.loss.triplet_reid=none",
        "python -m experiments.trian --config=san.py",
        "python -m experiments.train --config=san.py:smoked",
        "python -m experiments.train --config=san.py --config.seeds=1",
        "python -m experiments.pseudo_texture --workdirs=runs/san_pg",
        "triplet_reid_loss",
    ],
)
def test_a_renamed_thing_is_found(span: str):
    assert problem(span)
