"""The reID benchmarks and PIT as TFDS datasets (array_record, written and read without TensorFlow).

Builders follow the TFDS folder convention, one folder each. Once built, `tfds.data_source(name, split=...,
data_dir=...)` reads a dataset in a program that has never heard of this repository.

This folder shares its name with Hugging Face's `datasets` package: run programs from the checkout (or from an editable
install with that package absent); `experiments` checks that it got this one.
"""

from datasets.build import build_dataset, build_textured
from datasets.errors import DatasetError
from datasets.mirror_map import read_mirror_map
from san_jax.programs import refuse_modules

__all__ = ["DatasetError", "build_dataset", "build_textured", "read_mirror_map"]

refuse_modules(__name__, __file__)
