"""The configs whose training steps are timed, and the data that they read: a few rendered pictures, or the user's."""

import copy
import dataclasses
import pathlib

from jax.sharding import Mesh

from experiments.benchmarks.options import StepOptions
from experiments.benchmarks.sizes import TRAINING_IDENTITIES
from experiments.command_line import config_files
from experiments.command_line.config_files import Config
from experiments.runs import ensure, feeding
from experiments.runs.feeding import Feeding
from experiments.runs.plan import RunPlan, resolve
from experiments.runs.training_data import TrainingData

RENDERED = pathlib.Path("data/benchmark")  # pictures that are rendered for the benchmark, kept for the next time
NUM_CLASSES = TRAINING_IDENTITIES["market1501"]  # identities of a classifier where the data is rendered
OWN_KEYS = ("method", "start", "prepare", "num_steps")  # not shared by configs of different methods


@dataclasses.dataclass(frozen=True)
class Variant:
    """A training that is timed.

    Attributes:
        name: Such as "SAN float32".
        first: Name of the variant that has all but the compute dtype in common; its own where it is the first of them.
        plan: What is trained.
        num_classes: Identities of the classifier; None for those of the data.
    """

    name: str
    first: str
    plan: RunPlan
    num_classes: int | None


def variants(config: Config, options: StepOptions, batch_size: int) -> list[Variant]:
    """Return what is timed at a batch size: the config's method, the baseline beside SAN, in each compute dtype.

    Args:
        config: A config of `experiments.train`.
        options: Dtypes, and where the data is.
        batch_size: Images in a batch of each kind; 0 for the config's.

    Raises:
        RunError: The config's keys do not go together.
        ValueError: The batch size is no multiple of the images of an identity.
    """
    is_san = resolve(config).method == "san"
    configs = [config, *([baseline(config)] if is_san else [])]
    found = []
    for one in configs:
        title = {"san": "SAN", "san_pg": "SAN-PG", "baseline": "baseline"}[one.method]
        for dtype in options.dtypes:
            plan = resolve(_changed(one, options, batch_size, dtype))
            classes = None if options.data_dir else NUM_CLASSES if plan.reid else 0
            found.append(Variant(f"{title} {dtype}", f"{title} {options.dtypes[0]}", plan, classes))
    return found


def keep(plan: RunPlan, data: TrainingData, mesh: Mesh, place: str) -> Feeding:
    """Decode the training set into the memory of the "host" or the "device", for a training of the plan's length.

    Raises:
        RunError: It does not fit there.
    """
    kept = dataclasses.replace(plan, data_cache=place)
    choice = feeding.choose(kept, data, mesh, steps_left=plan.length.in_steps(data.epoch.steps).total)
    return feeding.prepare(kept, data, mesh, choice)


def baseline(config: Config) -> Config:
    """Return the baseline's config with all keys that it shares with a config of SAN."""
    made = config_files.load("baseline.py")
    for key in config_files.keys(made):
        is_own = key.partition(".")[0] in OWN_KEYS
        if not is_own and key in config_files.keys(config) and not hasattr(_get(config, key), "items"):
            config_files.assign(made, key, _get(config, key))
    return made


def describe_data(options: StepOptions, plan: RunPlan) -> str:
    """Return where the data is that a plan reads."""
    return options.data_dir or f"rendered for the benchmark ({plan.data_dir})"


def ensure_data(plans: list[RunPlan]) -> None:
    """Render the pictures that the plans read, unless they are there.

    Raises:
        rendering.RenderError: Rendering failed.
    """
    for plan in plans:
        folder = pathlib.Path(plan.data_dir)
        if plan.reid:
            smoke = f"pit_reid.py:smoke,num_train_identities={plan.reid.num_identities}"
            ensure.ensure_rendered(config_files.load(smoke), folder)
        if plan.pit:
            ensure.ensure_rendered(config_files.load("pit.py:smoke"), folder)


def _changed(config: Config, options: StepOptions, batch_size: int, dtype: str) -> Config:
    """The config with the benchmark's changes: batch size, dtype, and rendered data unless the user gives some."""
    changed = copy.deepcopy(config)
    changed.model.compute_dtype = dtype
    changed.prepare, changed.num_steps = "", 10**6  # more than are ever measured
    if batch_size and "num_identities" in changed.batch:
        images_each = changed.batch.images_per_identity
        if batch_size % images_each:
            raise ValueError(
                f"A batch holds whole identities of {images_each} images: expected a multiple of {images_each}, found "
                f"{batch_size}. Change --batch_sizes."
            )
        changed.batch.num_identities = batch_size // images_each
    if batch_size and "pit_size" in changed.batch:
        changed.batch.pit_size = batch_size
    if options.data_dir:
        changed.data_dir = options.data_dir
        return changed
    identities = changed.batch.num_identities if "num_identities" in changed.batch else 0
    changed.data_dir = str(RENDERED / f"{identities}_identities")
    if "dataset" in changed:
        changed.dataset = "pit_reid"
    if "pit_dataset" in changed:
        changed.pit_dataset = "pit"
    if changed.method == "san" and changed.target.kind == "texture":
        changed.target.kind = "true_texture"  # the same arrays, without a trained SAN-PG
    return changed


def _get(config: Config, key: str) -> object:
    for name in key.split("."):
        config = config[name]
    return config
