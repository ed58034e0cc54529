"""Keeps `python -m` from running a module that is not a program.

Without this, Python would print nothing and exit with 0. Each package of this project calls `refuse_modules` when it is
imported, so this file imports only the standard library.

A program is a module with the line `if __name__ == "__main__":`.
"""

import pathlib
import re
import sys

_FOR_USERS = "experiments"  # the package that holds the programs for users
_MAIN = re.compile(r"^if __name__ == .__main__.:", re.MULTILINE)


def refuse_modules(package: str, init_file: str) -> None:
    """Exit with status 1 if Python is about to run a module of this package that is not a program.

    `python -m package.module` imports the package before it runs the module, so the package's `__init__` calls this.

    Args:
        package: `__name__` of the package.
        init_file: `__file__` of the package.
    """
    name = _about_to_run()
    if name is None or name.partition(".")[0] != package:
        return
    folder = pathlib.Path(init_file).parent
    path = folder.joinpath(*name.split(".")[1:])
    if path.is_dir():
        problem = f"{name} is a package, not a program."
    elif not path.with_suffix(".py").is_file():
        problem = f"There is no {name}."
    elif not _is_program(path.with_suffix(".py")):
        problem = f"{name} is a module, not a program."
    else:
        return
    if package != _FOR_USERS:
        sys.exit(f"{problem} `python -m {_FOR_USERS}` lists the programs.")
    programs = {file.stem: _summary(file) for file in sorted(folder.glob("*.py")) if _is_program(file)}
    width = max(map(len, programs))
    lines = "".join(f"\n  python -m {package}.{program:<{width}}  {text}" for program, text in programs.items())
    sys.exit(f"{problem} The programs are:{lines}")


def _about_to_run() -> str | None:
    """Return the module that `python -m` is about to run.

    Returns:
        None once the module runs, or if Python was started in another way.
    """
    if sys.argv[:1] != ["-m"]:  # argv begins with "-m" only while Python looks for the module
        return None
    word = sys.orig_argv[-len(sys.argv)]  # the program's own arguments follow it
    attached = re.match(r"-[a-zA-Z]*?m(.+)", word)  # as in `-mexperiments.train`
    return attached[1] if attached else word


def _is_program(path: pathlib.Path) -> bool:
    return _MAIN.search(path.read_text(encoding="utf-8")) is not None


def _summary(path: pathlib.Path) -> str:
    """Return the first line of a file's docstring."""
    docstring = re.match(r'"""(.*)', path.read_text(encoding="utf-8"))
    return docstring[1].removesuffix('"""') if docstring else ""
