"""The weights that a run starts from: `config.start`.

- kind "imagenet" (as in the paper): torchvision's file for `model.encoder`, looked for in the folder `weights/` of the
  current directory. Nothing is downloaded: where it is missing, the error says what to fetch and where to put it.
- kind "file": `.pth` (both of torch.save's formats), `.pth.tar` or `.safetensors` at `start.path`, with torchvision's
  network of that name in it, of the model's width and stages. Dictionaries and modules around it ("state_dict",
  "module.", "backbone.") are found; where a file holds several networks that fit, the path continues with `#` and the
  place of one, such as `moco.pth.tar#state_dict.module.encoder_q.`; the error lists them.
- kind "run": encoder and decoder of the run at `start.path`, as far as the model has them, and with `start.classifier`
  its classifier and what lies between.
- kind "random".
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from experiments.runs import folder, models
from experiments.runs.errors import RunError
from experiments.runs.plan import RunPlan
from experiments.runs.settings import Start
from experiments.runs.training_data import TrainingData
from san_jax import checkpoint, run_folder, sharding, train_state
from san_jax.counts import count
from san_jax.models import weights as weight_files
from san_jax.models.san import ENCODERS
from san_jax.settings import ModelSettings

FOLDER = pathlib.Path("weights")
URL = "https://download.pytorch.org/models/"
# The first that is there is taken. torchvision's names end in the beginning of the file's SHA-256.
FILES = {
    "resnet50": ("resnet50-0676ba61.pth", "resnet50-19c8e357.pth", "resnet50-11ad3fa6.pth"),
    "resnet101": ("resnet101-63fe2227.pth", "resnet101-5d3b4d8f.pth"),
    "densenet121": ("densenet121-a639ec97.pth",),
}


_MAX_SHOWN = 8  # names of unused tensors in a log line


class StartError(ValueError):
    """No weights to start from. The message says what to fetch or to change."""


@dataclasses.dataclass(frozen=True)
class FileWeights:
    """An encoder's weights from a file.

    Attributes:
        path: The file.
        sha256: Its digest, hexadecimal.
        params: The encoder's parameters, NumPy arrays.
        batch_stats: Its running statistics.
        place: What stands before the encoder's names in the file, see `san_jax.models.weights.EncoderWeights`.
        unused: The file's tensors that were left out.
    """

    path: pathlib.Path
    sha256: str
    params: train_state.Tree
    batch_stats: train_state.Tree
    place: str
    unused: tuple[str, ...]

    @property
    def record(self) -> dict[str, str]:
        """What data.json says of it."""
        return {"file": str(self.path), "sha256": self.sha256} | ({"place": self.place} if self.place else {})

    @property
    def description(self) -> str:
        """One line for the log: what was taken, and what was not."""
        where = f" at {self.place!r}" if self.place else ""
        shown = ", ".join(ascii(name[:80])[1:-1] for name in self.unused[:_MAX_SHOWN])
        shown += ", ..." if len(self.unused) > _MAX_SHOWN else ""
        number = count(len(self.unused), "tensor beside it is", "tensors beside it are")
        unused = f"; {number} not used: {shown}" if self.unused else ""
        return f"encoder from {self.path}{where} (SHA-256 {self.sha256}){unused}"


@dataclasses.dataclass(frozen=True)
class RunWeights:
    """The weights of an earlier run.

    Attributes:
        step: Step of its checkpoint.
        params: Its parameters.
        batch_stats: Its running statistics.
    """

    step: int
    params: train_state.Tree
    batch_stats: train_state.Tree


def load_file(plan: RunPlan) -> FileWeights | None:
    """Return the encoder's weights from the file that a plan starts from; None where it starts from no file.

    Raises:
        StartError: The file is missing, cannot be read or is another network's.
    """
    start = plan.start
    if start.kind not in ("imagenet", "file"):
        return None
    if start.kind == "imagenet" and not _is_whole(plan.model):
        raise StartError(
            "ImageNet weights are of the whole network: expected model.width=64 and model.stage_sizes=(), found "
            f"{plan.model.width} and {tuple(plan.model.stage_sizes)}. Smaller ones start from random weights: "
            "--config.start.kind=random"
        )
    path, place = find(start, plan.model.encoder), _split_place(start.path)[1]
    encoder = models.skeleton(plan, 0).encoder
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if start.kind == "imagenet" and not sha256.startswith(path.stem.rpartition("-")[2]):
            raise StartError(
                f"{path} is damaged: its SHA-256 begins with {sha256[:8]}, not as its name ends. Fetch it again from "
                f"{URL}{path.name}"
            )
        weights = weight_files.load_encoder_weights(path, encoder, place=place)
    except OSError as error:
        raise StartError(f"{path} cannot be read ({error.strerror}).") from None
    except weight_files.SeveralError as error:
        raise StartError(
            f"{error} Write it after the path: --config.start.path='{path}#{ascii(error.places[0])[1:-1]}'"
        ) from None
    except weight_files.TorchFileError as error:
        raise StartError(f"{error} Random weights: --config.start.kind=random") from None
    except weight_files.WeightsError as error:
        raise StartError(
            f"{error}\nSet model.encoder, model.width and model.stage_sizes as in that "
            "file, or start from random weights: --config.start.kind=random"
        ) from None
    return FileWeights(path, sha256, weights.params, weights.batch_stats, weights.place, weights.unused)


def _is_whole(settings: ModelSettings) -> bool:
    """Whether the encoder is the network of its name, not a narrower or shallower one."""
    return settings.width == 64 and tuple(settings.stage_sizes) in ((), ENCODERS[settings.encoder][1])


def _split_place(path: str) -> tuple[str, str | None]:
    """A path and the place in its file after `#`, None where none is named. A file's name may have a `#` itself."""
    file, mark, place = path.rpartition("#")
    return (file, place) if mark and not pathlib.Path(path).is_file() else (path, None)


def find(start: Start, encoder: str) -> pathlib.Path:
    """Return the file of weights that `start` names.

    Args:
        start: Of kind "imagenet" or "file".
        encoder: Name of the encoder, `model.encoder`.

    Raises:
        StartError: It is not there.
    """
    if start.kind != "imagenet":
        path = pathlib.Path(_split_place(start.path)[0])
        if not path.is_file():
            raise StartError(
                f"there is no file {path}. Give the path of a .pth or .safetensors file, start.kind=imagenet, or "
                "start.kind=random for random weights."
            )
        return path
    if encoder not in FILES:
        raise StartError(f"no ImageNet file is known for {encoder!r}, only for {', '.join(FILES)}.")
    for name in FILES[encoder]:
        if (FOLDER / name).is_file():
            return FOLDER / name
    wanted, *others = FILES[encoder]
    also = f" ({', '.join(others)} will do as well)" if others else ""
    raise StartError(
        f"the ImageNet weights of {encoder} are not in {FOLDER.resolve()}.\n"
        f"Fetch {URL}{wanted} and put it there{also}:\n"
        f"  mkdir -p {FOLDER} && curl -o {FOLDER / wanted} {URL}{wanted}\n"
        "Another file of torchvision's network: start.kind=file and start.path=FILE. Random weights: start.kind=random."
    )


def load_run(plan: RunPlan, mesh: jax.sharding.Mesh) -> RunWeights | None:
    """Return the weights of the run that a plan starts from; None where it starts from no run.

    Raises:
        RunError: There is no such run, or it has no checkpoint that can be read.
    """
    if plan.start.kind != "run":
        return None
    path = plan.start.path
    is_here = folder.newest_step(path) is not None
    # Processes load together: those that have the checkpoint would wait for one that has not.
    if sharding.on_any_process(not is_here) and is_here:
        raise RunError(f"start.path={path}: there is no checkpoint where another of the processes looks.")
    try:
        checkpoints = pathlib.Path(path) / run_folder.CHECKPOINT_FOLDER
        return RunWeights(*checkpoint.load_weights(checkpoints, sharding=sharding.replicated(mesh)))
    except checkpoint.CheckpointError as error:
        raise RunError(f"start.path={path}: {error}") from error


def take_file(
    state: train_state.TrainState, weights: FileWeights, mesh: jax.sharding.Mesh
) -> tuple[train_state.TrainState, str]:
    """Put an encoder's weights from a file into a fresh state; return it, and a line for the log."""
    params, batch_stats = sharding.replicate((weights.params, weights.batch_stats), mesh)
    state, _ = train_state.take_weights(state, {"encoder": params}, {"encoder": batch_stats}, modules=("encoder",))
    return state, weights.description


def take_run(
    state: train_state.TrainState, weights: RunWeights, start: Start, data: TrainingData
) -> tuple[train_state.TrainState, str]:
    """Put an earlier run's weights into a fresh state, as far as the model has its modules.

    With `start.classifier` the classifier as well, which must know the identities of this run's data, and what lies
    between encoder and classifier.

    Args:
        state: The fresh state.
        weights: The earlier run's.
        start: Where they come from.
        data: What this run is trained on.

    Returns:
        The state, and a line for the log that says what was taken.

    Raises:
        RunError: The weights do not fit.
    """
    modules = ("encoder", "decoder")
    try:
        if start.classifier:
            modules = (*modules, "pooling", "head", "neck", "classifier")
            _check_classifier(weights.params, folder.read_data(start.path), data)
        state, transfer = train_state.take_weights(state, weights.params, weights.batch_stats, modules=modules)
    except ValueError as error:
        raise RunError(f"start.path={start.path}: {error}") from error
    words = {name: ", ".join(modules) or "nothing" for name, modules in dataclasses.asdict(transfer).items()}
    return state, (
        f"starts from {start.path}, step {weights.step}: taken {words['taken']} (parameters and running statistics); "
        f"fresh {words['fresh']}; not used {words['unused']}"
    )


def _check_classifier(params: train_state.Tree, there: Mapping[str, Any] | None, data: TrainingData) -> None:
    """Raise a ValueError unless the other run's classifier knows the identities that are trained on here."""
    advice = "Train on the data of that run, or set start.classifier=false for a fresh classifier."
    if "classifier" not in params:
        raise ValueError(f"that run has no classifier to take (start.classifier). {advice}")
    known, here = params["classifier"]["kernel"].shape[-1], data.record
    if known != data.num_classes:
        of = f" of {there['dataset']}" if there else ""
        raise ValueError(
            f"its classifier knows {count(known, 'identity', 'identities')}{of}, {here['dataset']} has "
            f"{data.num_classes:,} here. {advice}"
        )
    if there and (there["dataset"], there["splits"]) != (here["dataset"], here["splits"]):
        raise ValueError(
            f"its classifier knows the identities of {there['dataset']}, {' + '.join(there['splits'])}, not those of "
            f"{here['dataset']}, {' + '.join(here['splits'])}. {advice}"
        )
