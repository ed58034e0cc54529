"""The project's pages of Markdown, and what is wrong with a name or a command in them.

Everything between backticks, and every line of a block of commands, is one of these, told apart by its looks:

    path/to/file.py, path/to/folder/       a file or folder of this repository; `*` stands for any name
    path/to/file.py:Class.method           a name that the file defines (or imports)
    san_jax.losses.triplet_reid_loss       the same, dotted
    san.py:loss.triplet_reid=0.0           a config of experiments/configs and its argument, which must load
    config.loss.triplet_reid=0.0           a key of the training configs, perhaps with a value of its type
    loss.triplet_reid=0.0                  what stands after a config's colon: some config must take it
    --rerank                               an argument of some program
    python -m experiments.train --config=san.py        a program and its arguments
    make test                              a target of the Makefile
"""

import ast
import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable

from experiments.command_line import config_files
from experiments.runs import plan
from experiments.runs.errors import RunError
from san_jax.dataset_names import DATASETS
from san_jax.own_settings import OWN, name_problem

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("san_jax", "datasets", "render", "experiments")
FOLDERS = (*PACKAGES, "docs", "tests", "tools")
TRAINING = ("baseline.py", "san_pg.py", "san.py")
# Commands of other projects; their arguments are not looked at.
OTHER_COMMANDS = ("curl", "mkdir", "mlcroissant", "pip", "source", "sudo")
OWN_EXAMPLE = "shop"  # a dataset of own pictures, made on the pages
OTHER_MODULES = ("jupyter", "pip", "venv")


class Page:
    """A page of Markdown.

    Attributes:
        path: The file.
        text: What it holds.
        prose: The text without its blocks of code.
        blocks: The blocks of code: (language, code); indented ones have the language "".
    """

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
        indented = re.compile(r"(?:^    .*\n(?:\n(?=    ))?)+", re.MULTILINE)
        rest = fenced.sub("", self.text)
        self.prose = indented.sub("", rest)
        self.blocks = fenced.findall(self.text) + [("", block) for block in indented.findall(rest)]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The path in this repository."""
        return self.path.relative_to(REPOSITORY).as_posix()

    @property
    def spans(self) -> list[str]:
        """The code spans, in order, each once."""
        found = re.findall(r"(`+)(.+?)\1", self.prose, re.DOTALL)
        return list(dict.fromkeys(" ".join(span.split()) for _, span in found))

    @property
    def links(self) -> list[str]:
        """What links and pictures lead to, without titles."""
        return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", self.prose))

    @property
    def commands(self) -> list[str]:
        """The shell commands of the indented blocks and of those marked as bash, a line each."""
        text = "\n".join(block for language, block in self.blocks if language in ("", "bash"))
        lines = re.sub(r"\\\n", " ", text).splitlines()
        return [" ".join(line.split()) for line in lines if line.strip() and not line.strip().startswith("#")]

    def span_problem(self, span: str) -> str | None:
        """What is wrong with a code span; None where all that it names exists, or where it has the looks of none of it."""
        return problem(span) if _looks_known(span) and not (self.path.parent / span).exists() else None


def all_pages() -> list[Page]:
    """Every page that is written by hand."""
    patterns = ("README.md", "CONTRIBUTING.md", "docs/*.md", "datasets/*/README.md", "tests/golden/README.md")
    return [Page(path) for pattern in patterns for path in sorted(REPOSITORY.glob(pattern))]


def problem(span: str) -> str | None:
    """What is wrong with a code span; None where all that it names exists."""
    try:
        if re.match(r"(make|python3?) ", span):
            return command_problem(span)
        if span.startswith("--"):
            return _argument_problem(span)
        if span.startswith("config."):
            return _key_problem(*_split_value(span.removeprefix("config.")))
        path, _, name = span.partition(":")
        if "/" not in path and path.endswith(".py"):
            return _plan_problem(config_files.load(span))
        if re.match(r"[\w.]+=", span) or span.partition(".")[0] in _groups():
            return _changes_problem(span)
        if "/" in path:
            return _name_problem(path, name)
        if path.split(".")[0] in PACKAGES:
            return _dotted_problem(path)
    except config_files.ConfigError as error:
        return str(error)
    return "neither a path, a name, a config, a config key nor a command"


def command_problem(line: str) -> str | None:
    """What is wrong with a line of shell: the programs, arguments, configs and keys that do not exist in it."""
    for command in re.split(r" && | ; ", line):
        words = shlex.split(command, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        found = _words_problem(words) if words else None
        if found:
            return found
    return None


def _words_problem(words: list[str]) -> str | None:
    program = pathlib.PurePath(words[0]).name
    if program == "make":
        return next((f"there is no make {target}" for target in words[1:] if target not in _make_targets()), None)
    if not program.startswith("python"):
        return None if program in OTHER_COMMANDS else f"{program} is no command known to this test"
    if words[1] != "-m":
        placeholder = pathlib.PurePath(words[1]).stem.isupper()
        return None if placeholder or (REPOSITORY / words[1]).is_file() else f"there is no {words[1]}"
    try:
        return None if words[2] in OTHER_MODULES else _program_problem(words[2], words[3:])
    except config_files.ConfigError as error:
        return str(error)


def _program_problem(module: str, arguments: list[str]) -> str | None:
    path = module.replace(".", "/")
    if not any((REPOSITORY / file).is_file() for file in (f"{path}.py", f"{path}/__init__.py")):
        return f"there is no {path}.py"
    if "--" in arguments:  # a program that starts another one
        end = arguments.index("--")
        started = arguments[end + 1 :]
        if found := _program_problem(started[0], started[1:]):
            return found
        arguments = arguments[:end]
    if not arguments:
        return None
    program = _Program.of(module)
    config = None
    for argument in arguments:
        flag, value = _split_value(argument)
        if flag.startswith("--config."):
            if config is None:
                return f"{flag} without a config before it"
            config_files.override(config, flag.removeprefix("--config."), value or "")
        elif found := program.argument_problem(flag, value):
            return found
        elif flag == "--config" and value:
            config = config_files.load(value).unlock()
    if config is not None and (found := _plan_problem(config)):
        return found
    missing = program.required - {_split_value(argument)[0] for argument in arguments} - {"--help"}
    return f"{module} needs {', '.join(sorted(missing))}" if missing and "--help" not in arguments else None


class _Program:
    """The arguments of a program, as its `--help` shows them.

    Attributes:
        flags: All of them, such as "--workdir".
        choices: The values of those that take no others.
        required: Those that it cannot do without.
    """

    def __init__(self, module: str):
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            capture_output=True, text=True, cwd=REPOSITORY, check=False,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"},
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{module} --help: {done.stderr}"
        self._module = module
        shown = re.findall(r"^  (?:-\w, )?--(?:\[no\])?(\w+)(?: \{(.*?)\})?", done.stdout, re.MULTILINE)
        self.choices = {f"--{name}": choices.split(",") for name, choices in shown if choices}
        self.flags = {f"--{name}" for name, _ in shown} | {"--help"}
        usage = re.match(r"usage: (.*?)\n\n", done.stdout, re.DOTALL)
        always = re.sub(r"\[[^\]]*\]|\([^)]*\)", "", usage[1]) if usage else ""
        self.required = set(re.findall(r"--\w+", always))

    @classmethod
    @functools.cache
    def of(cls, module: str) -> "_Program":
        return cls(module)

    def argument_problem(self, flag: str, value: str | None) -> str | None:
        """What is wrong with an argument; None where the program takes it."""
        if flag not in self.flags:
            return f"{self._module} has no {flag}"
        if value is not None and value not in self.choices.get(flag, [value]):
            return f"{self._module} {flag} takes {', '.join(self.choices[flag])}"
        if flag == "--dataset" and value is not None:
            unknown = {name for name in value.split(",") if not _is_dataset(name)}
            return f"there is no dataset {', '.join(unknown)}" if unknown else None
        return None


def _is_dataset(name: str) -> bool:
    """Whether a page may name a dataset: ours, one of own pictures that is made, or the one that pages take as made."""
    if name.startswith(OWN):
        made = name.removeprefix(OWN)
        return made.isupper() or not name_problem(made, DATASETS)
    return name.partition(":")[0] in {*DATASETS, "all", OWN_EXAMPLE}  # DATASET or DATASET:SPLIT


def _argument_problem(span: str) -> str | None:
    """What is wrong with an argument that is named without its program."""
    flag, value = _split_value(span)
    if flag.startswith("--config."):
        return _key_problem(flag.removeprefix("--config."), value)
    programs = [_Program.of(f"experiments.{path.stem}") for path in _program_files()]
    problems = [program.argument_problem(flag, value) for program in programs]
    return None if None in problems else f"no program takes {span}"


def _program_files() -> list[pathlib.Path]:
    return sorted((REPOSITORY / "experiments").glob("[!_]*.py"))


@functools.cache
def _make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


# ------------------------------------------------------------------------------------------------------------- configs


def _key_problem(key: str, value: str | None) -> str | None:
    if not any(key in config_files.keys(config) for config in training_configs()):
        return f"none of {', '.join(TRAINING)} has the key {key}"
    return _changes_problem(f"{key}={value}") if value is not None else None


def _changes_problem(changes: str) -> str | None:
    """What is wrong with the argument of a config, or with a dotted key alone."""
    if "=" not in changes:
        known = any(changes in config_files.keys(config) for config in _configs().values())
        return None if known else f"no config has the key {changes}"
    problems = []
    for name, config in _configs().items():
        try:
            found = _plan_problem(config_files.load(f"{name}:{changes}"))
        except config_files.ConfigError as error:
            found = str(error)
        if found is None:
            return None
        if changes.partition("=")[0] in config_files.keys(config):
            problems.append(f"{name}: {found}")
    return problems[0] if problems else f"no config has the key {changes.partition('=')[0]}"


def _plan_problem(config: config_files.Config) -> str | None:
    """Why no run can be made of a training config; None where one can, and for the renderer's configs."""
    if "method" not in config:
        return None
    try:
        plan.resolve(config)
    except RunError as error:
        return str(error)
    return None


@functools.cache
def training_configs() -> tuple[config_files.Config, ...]:
    return tuple(config_files.load(name) for name in TRAINING)


@functools.cache
def _configs() -> dict[str, config_files.Config]:
    files = (REPOSITORY / "experiments" / "configs").glob("[!_]*.py")
    names = [path.name for path in sorted(files) if "\ndef get_config(" in path.read_text(encoding="utf-8")]
    return {name: config_files.load(name) for name in [*names, "pit.py:paper"]}


@functools.cache
def _groups() -> frozenset[str]:
    """The groups of keys that any config has."""
    return frozenset(
        key.partition(".")[0] for config in _configs().values() for key in config_files.keys(config) if "." in key
    )


def _split_value(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key, value if equals else None


# --------------------------------------------------------------------------------------------------- names in the code


def _looks_known(span: str) -> bool:
    """Whether a code span has the looks of something that `problem` knows, on a page that has others, too."""
    first = re.split(r"[./]", span)[0]
    return bool(
        re.match(r"(make|python3?) \S|config\.(?!json$)\w|--\w", span)
        or re.fullmatch(r"\w+\.py(:.*)?", span)
        or re.fullmatch(r"[a-z_0-9.]+=\S+", span)
        or (re.fullmatch(r"[\w./*-]+(:[\w.]+)?", span) and first in FOLDERS and span != first)
        or (re.fullmatch(r"\w+(\.\w+)+", span) and first in _groups())
    )


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
    if "*" in path:
        return None if list(REPOSITORY.glob(path)) else f"there is no {path}"
    if not (file.is_dir() if path.endswith("/") else file.exists()):
        return f"there is no {path}"
    if not name:
        return None
    body = _statements(_tree(path).body)
    for part in name.split("."):
        found = [node for node in body if part in _defined(node)]
        if not found:
            return f"{path} defines no {name}"
        body = _members(found[-1])
    return None


def _statements(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, those under an `if` (such as TYPE_CHECKING) among them."""
    inner = [statement for node in body if isinstance(node, ast.If) for statement in _statements(node.body)]
    return [*body, *inner]


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
