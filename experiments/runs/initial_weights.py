"""The weights that an encoder starts from where no earlier run gives them: `config.pretrained`.

- "imagenet" (as in the paper): torchvision's file for `model.encoder`, looked for in the folder `weights/` of the current
  directory. Nothing is downloaded: where it is missing, the error says what to fetch and where to put it.
- A path: that file, `.pth` (both of torch.save's formats), `.pth.tar` or `.safetensors`, with torchvision's network of
  that name in it, of the model's width and stages. Dictionaries and modules around it ("state_dict", "module.",
  "backbone.") are found out; where a file holds several networks that fit, the path goes on with `#` and the place of
  one, such as `moco.pth.tar#state_dict.module.encoder_q.`; the error lists them.
- "": random weights.

With `config.init_from` the weights are another run's, and this key is not looked at.
"""

import dataclasses
import hashlib
import pathlib

import jax

from experiments.command_line.config_files import Config
from experiments.runs import restore
from san_jax import train_state
from san_jax.models import weights as weight_files
from san_jax.models.san import ENCODERS

FOLDER = pathlib.Path("weights")
URL = "https://download.pytorch.org/models/"
# The first that is there is taken. torchvision's names end in the beginning of the file's SHA-256.
FILES = {
    "resnet50": ("resnet50-0676ba61.pth", "resnet50-19c8e357.pth", "resnet50-11ad3fa6.pth"),
    "resnet101": ("resnet101-63fe2227.pth", "resnet101-5d3b4d8f.pth"),
    "densenet121": ("densenet121-a639ec97.pth",),
}


_MAX_SHOWN = 8  # names of unused tensors in a log line


class PretrainedError(ValueError):
    """No weights to start from. The message says what to fetch or to change."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
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
        unused = f"; {len(self.unused)} tensors beside it are not used: {shown}" if self.unused else ""
        return f"encoder from {self.path}{where} (SHA-256 {self.sha256}){unused}"


def load(config: Config) -> Pretrained | None:
    """The weights that a config's run starts from; None where they are random or another run's.

    Raises:
        PretrainedError: The file is missing, cannot be read or is another network's.
    """
    if not config.pretrained or config.init_from:
        return None
    model = config.model
    if config.pretrained == "imagenet" and not _is_whole(model):
        raise PretrainedError(
            "ImageNet weights are of the whole network: expected model.width=64 and model.stage_sizes=(), found "
            f"{model.width} and {tuple(model.stage_sizes)}. Smaller ones start from random weights: --config.pretrained="
        )
    path, place = find(config.pretrained, model.encoder), _split_place(config.pretrained)[1]
    skeleton = jax.eval_shape(lambda: restore.build_model(config, 0, decoder=False, seed=0))
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if config.pretrained == "imagenet" and not sha256.startswith(path.stem.rpartition("-")[2]):
            raise PretrainedError(
                f"{path} is damaged: its SHA-256 begins with {sha256[:8]}, not as its name ends. Fetch it again from "
                f"{URL}{path.name}"
            )
        weights = weight_files.load_encoder_weights(path, skeleton.encoder, place=place)
    except OSError as error:
        raise PretrainedError(f"{path} cannot be read ({error.strerror}).") from None
    except weight_files.SeveralError as error:
        raise PretrainedError(
            f"{error} Write it after the path: --config.pretrained='{path}#{ascii(error.places[0])[1:-1]}'"
        ) from None
    except weight_files.TorchFileError as error:
        raise PretrainedError(f"{error} Random weights: --config.pretrained=") from None
    except weight_files.WeightsError as error:
        raise PretrainedError(
            f"{error}\nSet model.encoder, model.width and model.stage_sizes as in that "
            "file, or start from random weights: --config.pretrained="
        ) from None
    return Pretrained(path, sha256, weights.params, weights.batch_stats, weights.place, weights.unused)


def _is_whole(model: Config) -> bool:
    """Whether a config's `model` group is the network of its name, not a narrower or shallower one."""
    return model.width == 64 and tuple(model.stage_sizes) in ((), ENCODERS.get(model.encoder, (None, ()))[1])


def _split_place(pretrained: str) -> tuple[str, str | None]:
    """A path and the place in its file after `#`, None where none is named. A file's name may have a `#` itself."""
    path, mark, place = pretrained.rpartition("#")
    return (path, place) if mark and not pathlib.Path(pretrained).is_file() else (pretrained, None)


def find(pretrained: str, encoder: str, *, flag: str = "--config.pretrained") -> pathlib.Path:
    """The file that `config.pretrained` means.

    Args:
        pretrained: "imagenet" or a path, with `#` and a place after it if it names one.
        encoder: `config.model.encoder`.
        flag: How the program's users give it, for the message.

    Raises:
        PretrainedError: It is not there.
    """
    if pretrained != "imagenet":
        path = pathlib.Path(_split_place(pretrained)[0])
        if not path.is_file():
            raise PretrainedError(
                f"there is no file {path}. Give 'imagenet', the path of a .pth or .safetensors file, or nothing for "
                f"random weights: {flag}="
            )
        return path
    if encoder not in FILES:
        raise PretrainedError(f"no ImageNet file is known for {encoder!r}, only for {', '.join(FILES)}.")
    for name in FILES[encoder]:
        if (FOLDER / name).is_file():
            return FOLDER / name
    wanted, *others = FILES[encoder]
    also = f" ({', '.join(others)} will do as well)" if others else ""
    raise PretrainedError(
        f"the ImageNet weights of {encoder} are not in {FOLDER.resolve()}.\n"
        f"Fetch {URL}{wanted} and put it there{also}:\n"
        f"  mkdir -p {FOLDER} && curl -o {FOLDER / wanted} {URL}{wanted}\n"
        f"Another file of torchvision's network: {flag}=PATH. Random weights: {flag}="
    )
