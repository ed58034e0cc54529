"""Config files: `san.py`, `san.py:smoke,num_steps=20`, and what is answered to a wrong name, key or value.

A config is a Python file with `get_config(argument="")`, which returns an `ml_collections.ConfigDict` that holds every
key. A bare name is looked up in `experiments/configs`. The text after the colon is a comma list of `smoke` and
`key=value` (dotted keys, values of the type that the key has). The answer to an unknown name or key is the nearest one.

In a config file:

    def get_config(argument=""):
        config = ConfigDict({...})  # with a comment beside each key, which `--config=NAME --help` shows
        return config_files.apply(config, argument, smoke={"num_steps": 4, "model.width": 8})

If the keys are the fields of a dataclass, its docstring describes them; the file then has a function
`documented_by(config)` that returns the dataclass.

A program takes a config by `config_argument`; other code by `config = config_files.load("san.py:smoke")`.
"""

import ast
import difflib
import json
import pathlib
import runpy
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from ml_collections import ConfigDict

from experiments.command_line import config_help, paths

ABSENT = "absent"  # in differences
CONFIG_FOLDER = pathlib.Path(__file__).resolve().parents[1] / "configs"


Config: TypeAlias = Any
"""An `ml_collections.ConfigDict`. Type checkers see `Any`, as only the config file knows the types of the values."""


class ConfigError(ValueError):
    """A config name, key or value that does not exist or does not fit. The message says what was expected."""


class Loaded(NamedTuple):
    """A config with where it comes from.

    Attributes:
        value: What was loaded, such as "san.py:smoke".
        path: The config file.
        functions: What the file defines.
        config: The config.
    """

    value: str
    path: pathlib.Path
    functions: Mapping[str, Any]
    config: Config


def describe(loaded: Loaded) -> str:
    """Return the keys of a config with their values and meanings, for `--help`."""
    text = config_help.to_text(_described(loaded.config, comments(loaded)))
    return f"keys of --config={loaded.value}:\n{text}"


def comments(loaded: Loaded) -> dict[str, str]:
    """Return the meanings of the keys of a config: dotted key -> text."""
    found = {}
    if "documented_by" in loaded.functions:
        found = config_help.field_comments(loaded.functions["documented_by"](loaded.config))
    found |= config_help.source_comments(loaded.path, CONFIG_FOLDER)
    known = set(keys(loaded.config))
    return {key: text for key, text in found.items() if key in known}


def _described(config: ConfigDict, texts: Mapping[str, str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield pairs (key and value, comment) for `config_help.to_text`, in the order of the comments.

    A group whose keys have no comments of their own, such as a group of weights, is one line.
    """
    order = [".".join(key.split(".")[: prefix.count(".") + 1]) for key in texts]
    names = {prefix + name: name for name in config}  # in alphabetical order, as a ConfigDict has them
    for key in sorted(names, key=lambda key: order.index(key) if key in order else len(order)):
        value = config[names[key]]
        comment = texts.get(key, "")
        if not isinstance(value, ConfigDict):
            yield f"{key} = {value!r}", comment
        elif any(inner.startswith(f"{key}.") for inner in texts):
            if comment:
                yield f"{key}.*", comment
            yield from _described(value, texts, f"{key}.")
        else:
            values = ", ".join(f"{inner}={number!r}" for inner, number in value.items())
            yield f"{key}.*", f"{comment} {values}".strip()


def config_names() -> list[str]:
    """Return the names of the config files of this project: the files in its folder that define `get_config`."""
    files = sorted(CONFIG_FOLDER.glob("[!_]*.py"))
    return [file.name for file in files if "\ndef get_config(" in f"\n{file.read_text(encoding='utf-8')}"]


def check_program(loaded: Loaded, required_key: str) -> None:
    """Check that a config belongs to a program.

    Args:
        loaded: The config.
        required_key: A key that all configs of the program have and those of other programs lack; "" accepts all.

    Raises:
        ConfigError: The key is missing. The message names the program's own configs.
    """
    if required_key and required_key not in loaded.config:
        fitting = [name for name in config_names() if required_key in load(name)]
        raise ConfigError(
            f"a config of another program: it has no key {required_key!r}. Configs of this one: {', '.join(fitting)}."
        )


def load(value: str) -> Config:
    """Load a config as `--config` does.

    Args:
        value: `name`, `name.py`, `path/to/file.py`, each optionally with `:argument`.

    Raises:
        ConfigError: The file, a key or a value does not exist or does not fit.
    """
    return open_config(value).config


def open_config(value: str) -> Loaded:
    """Load a config as `load` does, and return it with its file."""
    name, _, argument = value.partition(":")
    path = resolve(name)
    functions = runpy.run_path(str(path))
    if "get_config" not in functions:
        raise ConfigError(f"{path} has no function get_config(argument), which every config file needs.")
    return Loaded(value, path, functions, functions["get_config"](argument))


def resolve(name: str) -> pathlib.Path:
    """Return the path of a config file. A bare name (with or without .py) is looked up in `experiments/configs`.

    Raises:
        ConfigError: There is no such file. The message names the nearest one.
    """
    path = pathlib.Path(paths.given(name))
    if path.name != name:
        if not path.is_file():
            raise ConfigError(f"the config file {path} does not exist.")
        return path.resolve()
    for candidate in (CONFIG_FOLDER / name, CONFIG_FOLDER / f"{name}.py", path):
        if candidate.is_file() and candidate.suffix == ".py":
            return candidate.resolve()
    raise ConfigError(f"there is no config {name!r} in {CONFIG_FOLDER}.{_nearest(name, config_names())}")


def apply(
    config: ConfigDict,
    argument: str,
    *,
    smoke: Mapping[str, Any],
    more: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> ConfigDict:
    """Apply a config's argument and lock the config.

    Args:
        config: A config with every key. Changed in place.
        argument: Comma list of variants and `key=value`. Variants are applied first, wherever they are in the list.
        smoke: Dotted keys and values of the variant `smoke`, which runs in seconds on an empty machine.
        more: Other variants by name, each with its dotted keys and values.

    Returns:
        The config, locked.

    Raises:
        ConfigError: An unknown word or key, or a value that is not of the key's type.
    """
    items = _split(argument)
    variants = {"smoke": smoke, **more}
    for name in (item for item in items if item in variants):
        for key, value in variants[name].items():
            assign(config, key, value)
    for item in items:
        if item in variants:
            continue
        key, equals, text = item.partition("=")
        if not equals and item in keys(config):
            raise ConfigError(f"{item} lacks a value: write {item}=VALUE.")
        if not equals:
            raise ConfigError(
                f"unknown variant {item!r}: expected {', '.join(f'`{name}`' for name in variants)} or key=value."
                f"{_nearest(item, [*variants, *keys(config)])}"
            )
        override(config, key, text)
    for key in keys(config):
        if _is_path(key):
            assign(config, key, _get(config, key))
    return config.lock()


def override(config: ConfigDict, key: str, text: str) -> None:
    """Set a dotted key to a value given as text, which is read as the type that the key has.

    Raises:
        ConfigError: An unknown key, or a value that is not of the key's type.
    """
    check_key(config, key)
    assign(config, key, _parse(key, text, _get(config, key)))


def keys(config: ConfigDict, prefix: str = "") -> list[str]:
    """Return every key of a config, groups included: ["model", "model.width", ...]."""
    result = []
    for key, value in config.items():
        result.append(prefix + key)
        if isinstance(value, ConfigDict):
            result.extend(keys(value, f"{prefix}{key}."))
    return result


def check_key(config: ConfigDict, key: str) -> None:
    """Raise ConfigError if a dotted key is not in the config. The message names the nearest one."""
    known = keys(config)
    if key not in known:
        raise ConfigError(f"there is no key {key!r} in this config.{_nearest(key, known)}")


def to_json(config: ConfigDict) -> str:
    """Return a config as JSON, with sorted keys, one per line, and a newline at the end."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True, allow_nan=False) + "\n"


def from_json(text: str) -> Config:
    """Return the config that `to_json` wrote, locked."""
    return from_fields(json.loads(text))


def from_fields(fields: Mapping[str, Any]) -> Config:
    """Return the config whose JSON was parsed into `fields`, locked. Lists become tuples, as configs hold no lists."""

    def tuples(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tuples(item) for key, item in value.items()}
        return tuple(tuples(item) for item in value) if isinstance(value, list) else value

    return ConfigDict(tuples(fields)).lock()


def differences(old: ConfigDict, new: ConfigDict) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys whose values differ: key -> (old, new), `ABSENT` for a config that lacks the key."""
    old_values, new_values = dict(leaves(old)), dict(leaves(new))
    return {
        key: (old_values.get(key, ABSENT), new_values.get(key, ABSENT))
        for key in sorted(old_values.keys() | new_values.keys())
        if key not in old_values or key not in new_values or old_values[key] != new_values[key]
    }


def _split(argument: str) -> list[str]:
    """Split at the commas outside of brackets, so that values can be tuples."""
    items, depth = [""], 0
    for character in argument:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items if item.strip()]


def _parse(key: str, text: str, current: Any) -> Any:
    """Read a value from the command line as the type of the key's current value."""
    if isinstance(current, ConfigDict):
        raise ConfigError(f"{key!r} is a group: set one of its keys: {', '.join(f'{key}.{name}' for name in current)}.")
    if isinstance(current, str):
        return text
    try:
        value = ast.literal_eval(text.capitalize() if isinstance(current, bool) else text)
    except (SyntaxError, ValueError):
        value = text
    if isinstance(current, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(current):
        raise ConfigError(f"{key}={text}: expected {_describe(current)} like {current!r}.")
    return value


def _describe(value: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", tuple: "a tuple"}
    return names.get(type(value), type(value).__name__)


def _get(config: ConfigDict, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value


def assign(config: ConfigDict, key: str, value: Any) -> None:
    """Set a dotted key to a value of its type. In a path, the home folder takes the place of `~`."""
    check_key(config, key)
    group, _, leaf = key.rpartition(".")
    holder = _get(config, group) if group else config
    if type(value) is not type(holder[leaf]):
        raise ConfigError(f"{key}={value!r}: expected {_describe(holder[leaf])} like {holder[leaf]!r}.")
    if _is_path(key):
        try:
            value = paths.given(value)
        except paths.PathError as error:
            raise ConfigError(f"{key}: {error}") from None
    holder[leaf] = value


def _is_path(key: str) -> bool:
    return key.rpartition(".")[2] in paths.KEYS


def leaves(config: ConfigDict) -> Iterator[tuple[str, Any]]:
    """Yield every dotted key that is not a group, with its value."""
    for key in keys(config):
        value = _get(config, key)
        if not isinstance(value, ConfigDict):
            yield key, value


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known word, or all of them if none is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not near:  # `width` for `model.width`
        near = [key for key in known if key.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(known)}."
