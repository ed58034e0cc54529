"""The programs: each stage of the paper is `python -m experiments.<program>`; `python -m experiments` lists them."""

import importlib.util
import pathlib

from san_jax.programs import refuse_modules


def _check_datasets_package() -> None:
    """Makes sure that `import datasets` finds this project's package and not Hugging Face's.

    Installed into one environment, the two overwrite each other's files: the path alone does not tell them apart.

    Raises:
        ImportError: It is another package; the message gives both ways out, as commands.
    """
    root = pathlib.Path(__file__).resolve().parent.parent
    own = root / "datasets" / "__init__.py"
    spec = importlib.util.find_spec("datasets")
    found = pathlib.Path(spec.origin).resolve() if spec and spec.origin else None
    if found == own and "datasets.mirror_map" in own.read_text(encoding="utf-8"):
        return
    is_checkout = (root / "pyproject.toml").is_file()
    checkout = root if is_checkout else "CHECKOUT"
    source = checkout if is_checkout else "CHECKOUT_OR_WHEEL"
    raise ImportError(
        f"`import datasets` finds {found or 'nothing'}, not San-JAX's package {own}. Hugging Face's package has the "
        "same name; it comes first on the path, or was installed over San-JAX's. There are two ways out:\n"
        "- Run from the checkout, whose folder comes first on the path (for a script elsewhere, set PYTHONPATH to "
        "it):\n"
        f"      cd {checkout} && python -m experiments.PROGRAM\n"
        f"      PYTHONPATH={checkout} python SCRIPT.py\n"
        "- Give San-JAX an environment of its own, without that package:\n"
        f"      python3 -m venv san_env && san_env/bin/python -m pip install {source}\n"
        "      san_env/bin/python -m experiments.PROGRAM"
    )


refuse_modules(__name__, __file__)
_check_datasets_package()
