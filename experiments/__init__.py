"""The programs: each stage of the paper is `python -m experiments.<program>`."""

import importlib.util
import pathlib


def _check_datasets_package() -> None:
    """Makes sure that `import datasets` finds this repository's folder and not Hugging Face's package."""
    own = pathlib.Path(__file__).resolve().parent.parent / "datasets" / "__init__.py"
    spec = importlib.util.find_spec("datasets")
    found = spec.origin if spec else None
    if found is None or pathlib.Path(found).resolve() != own:
        raise ImportError(
            f"`import datasets` finds {found or 'nothing'}, expected {own}. Hugging Face's package of the same name comes "
            f"first on the path: run from the checkout ({own.parent.parent}), or uninstall that package here."
        )


_check_datasets_package()
