"""The reID benchmarks and PIT as TFDS datasets (array_record, written and read without TensorFlow).

Each builder has its own folder, as TFDS expects. Once a dataset is built, any program can read it with
`tfds.data_source(name, split=..., data_dir=...)`, without this repository.

Hugging Face's `datasets` package has the same name: run programs from the checkout, or from an editable install without
that package. `experiments` checks that it imported this one.
"""

from datasets.build import build_dataset, build_own, build_textured
from datasets.errors import DatasetError
from datasets.mirror_map import read_mirror_map
from san_jax.programs import refuse_modules

__all__ = ["DatasetError", "build_dataset", "build_own", "build_textured", "read_mirror_map"]

refuse_modules(__name__, __file__)
