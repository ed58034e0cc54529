"""Writes a run's encoder as StableHLO, safetensors and ONNX, and checks each file against the run."""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from experiments.command_line import config_files
from experiments.pages import model_card
from experiments.runs import folder, models, provenance
from experiments.runs.export_formats import DEFAULT_FORMATS, FORMATS, ONNX, SAFETENSORS, STABLEHLO
from experiments.runs.plan import RunPlan
from experiments.scoring import microscope, protocols
from san_jax import calibration, embed, folder_lock, onnx_file, run_folder
from san_jax.data.augment import IMAGENET_MEAN, IMAGENET_STD
from san_jax.files import read_json, write_atomic
from san_jax.inference import CARD
from san_jax.models import SAN, DenseNet, merge_model, split_model
from san_jax.models.functional import flatten
from san_jax.models.weights.exported import GEM_P, load_exported
from san_jax.models.weights.names import exported_names, neck_name, sequential_name
from san_jax.runtimes import DEFAULT_OPSET, OPSETS

PLATFORMS = ("cpu", "cuda", "tpu")
# Largest difference of an embedding's number, relative to the largest number of the embeddings.
TOLERANCES = {
    STABLEHLO: 1e-5,  # the same program, compiled by the same compiler: the same numbers but for a few roundings
    SAFETENSORS: 1e-5,  # the same weights to the bit, in the same program
    ONNX: 1e-4,  # another runtime sums each of some 50 convolutions in another order; ResNet-50 measured 4e-7
}
# How a file gives embeddings of `images`, uint8 RGB [N H W 3]. docs/export.md has whole programs.
RUN_WITH = {
    STABLEHLO: "jax.jit(jax.export.deserialize(bytearray(content)).call)(images)",
    SAFETENSORS: "torch: load_state_dict into torchvision's network, changed as `network` says",
    ONNX: f"onnxruntime.InferenceSession(path).run(['{onnx_file.OUTPUT}'], {{'{onnx_file.INPUT}': images}})[0]",
}
# Measured by `experiments.benchmarks.embedding`; the table stands in docs/export.md.
SPEED = (
    "A full-size ResNet-50 at 256x128 in float32, 16 images at once, on 2 cores of an AMD EPYC, in processor time as "
    "times this project's JAX program: onnxruntime with the ONNX file 0.86, OpenVINO with the same file 0.73, PyTorch eager "
    "1.6 (channels last) to 2.05."
)
BFLOAT16_TOLERANCE = 2e-2  # of bfloat16's StableHLO: where the compiler rounds to 8 bits is its choice
README = "README.md"  # the model card for people
_NOT_IN_THE_CARD = ("trained_on", "started_from", "workdir", "step", "checkpoint")  # of an evaluation: said elsewhere
BATCHES = (1, 5)  # images in the batches of the parity check, for files that take any number


class ExportError(ValueError):
    """A run that cannot be exported as asked for. The message says why, and what to do."""


class _Artifact(NamedTuple):
    """A file's content and what gives embeddings float32 [N D] of images uint8 [N H W 3] by it alone."""

    content: bytes
    embed: Callable[[np.ndarray], np.ndarray]


def run(
    workdir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    formats: Collection[str] = DEFAULT_FORMATS,
    opset: int | None = None,
    overwrite: bool = False,
    which: str = run_folder.NEWEST,
) -> dict[str, Any]:
    """Export a run's encoder, with its head and neck where it has them.

    Args:
        workdir: Folder of a run.
        output: Folder to write to, made if absent; other files in it stay.
        formats: Of `FORMATS`.
        opset: Operator set of the ONNX file, one of `OPSETS`; `DEFAULT_OPSET` where none is given.
        overwrite: Replace an export in `output`, all files of it.
        which: The checkpoint, see `san_jax.checkpoint.find`.

    Returns:
        What the model card holds: embedding_size, input (dtype, shape, colour, normalization), network, run (workdir,
        method, step, averaged), config, trained_on (see `folder.read_data`), scores (of each dataset that the run was
        evaluated on at this step), calibration (thresholds, None without), microscope (scores by what pictures show,
        see `microscope.run`, None without), commit, versions and files: for each file
        its format, run_with (code or words), bytes, sha256, compute_dtype and parity (batches, difference, relative,
        tolerance; bfloat16 runs in a float32 format: relative_to_bfloat16 too); ONNX also opset and ir_version. And
        speed (words).

    Raises:
        ExportError: Unknown formats, an opset that is not offered or not asked for with ONNX, files that exist, an
            output that is the run's own folder, a run whose encoder does not take images, or a file that gives other embeddings than the run.
        onnx_file.MissingPackagesError: ONNX is asked for and its packages are absent.
        ValueError: The weights hold NaN or infinity.
        san_jax.folder_lock.FolderError: Another process writes `output`, or it cannot be written.
        FileNotFoundError: The folder is no run's.
        san_jax.checkpoint.CheckpointError: The run has no such checkpoint, or it cannot be read.
    """
    if pathlib.Path(output).resolve() == pathlib.Path(workdir).resolve():
        raise ExportError(f"{output} is the run's own folder: give another --output.")
    with folder_lock.hold(output):
        _check_request(formats, opset)
        _check_output(pathlib.Path(output), overwrite)
        return _run(workdir, pathlib.Path(output), formats, opset or DEFAULT_OPSET, which)


def _run(
    workdir: str | os.PathLike[str],
    output: pathlib.Path,
    formats: Collection[str],
    opset: int,
    which: str,
) -> dict[str, Any]:
    with jax.default_device(_cpu()):
        encoder = _load(workdir, which)
        contents: dict[str, bytes] = {}
        files: dict[str, dict[str, Any]] = {}
        for kind in [kind for kind in FORMATS if kind in formats]:
            print(f"{kind} ...", flush=True)
            content, record = _make_file(kind, encoder, opset)
            contents[_file_name(kind)], files[_file_name(kind)] = content, record
    card = _card(workdir, encoder, files)
    contents[CARD] = _card_json(card)
    contents[README] = model_card.to_markdown(card).encode()
    if card["calibration"] is not None:
        contents[calibration.FILE] = (pathlib.Path(workdir) / calibration.FILE).read_bytes()
    _write(output, contents)
    return card


def _check_request(formats: Collection[str], opset: int | None) -> None:
    """Raise an ExportError unless the formats are known, and an opset is one of ONNX's and asked for with it."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise ExportError(f"formats must be some of {', '.join(FORMATS)}, found {', '.join(unknown) or 'none'}.")
    if opset is not None and ONNX not in formats:
        raise ExportError(f"opset={opset} is for ONNX, which is not among the formats: add {ONNX} to them.")
    if opset is not None and opset not in OPSETS:
        raise ExportError(
            f"opset must be one of {OPSETS[0]} to {OPSETS[-1]}, found {opset}: give the newest one "
            f"that your runtime's documentation names, or leave it out for {DEFAULT_OPSET}."
        )
    if ONNX in formats:
        onnx_file.check_packages()


class _Encoder(NamedTuple):
    """A run's encoder, and what its files are held against.

    Attributes:
        model: The encoder as it was trained.
        single: The same with float32 arithmetic.
        plan: What the run's config means.
        step: The checkpoint's step.
        images: Images of the parity check, uint8 [N H W 3].
        references: Their embeddings by compute dtype.
    """

    model: SAN
    single: SAN
    plan: RunPlan
    step: int
    images: np.ndarray
    references: dict[str, np.ndarray]


def _load(workdir: str | os.PathLike[str], which: str) -> _Encoder:
    model, plan, step = models.load_run(workdir, encoder_only=True, which=which)
    if plan.textures_from:
        raise ExportError(
            f"The encoder of {workdir} does not take images but the textures that {plan.textures_from} regresses from "
            "them: an encoder alone would embed nothing a user has. Runs with input.kind=image can be exported."
        )
    model = _on_cpu(model)
    images = _images(*plan.image_size)
    references = {plan.model.compute_dtype: _embed(model, images)}
    single = model
    if plan.model.compute_dtype != "float32":
        single = _in_float32(model, plan)
        references["float32"] = _embed(single, images)
    return _Encoder(model, single, plan, step, images, references)


def _make_file(kind: str, encoder: _Encoder, opset: int) -> tuple[bytes, dict[str, Any]]:
    """Make the file of a format and hold it against the run; return its content and what the card says of it."""
    trained_dtype = encoder.plan.model.compute_dtype
    artifact = {
        STABLEHLO: lambda: _stablehlo(encoder.model, encoder.plan),
        SAFETENSORS: lambda: _safetensors(encoder.single, encoder.plan),
        ONNX: lambda: _onnx(encoder.single, encoder.plan, opset),
    }[kind]()
    compute_dtype = trained_dtype if kind == STABLEHLO else "float32"
    tolerance = TOLERANCES[kind] if compute_dtype == "float32" else BFLOAT16_TOLERANCE
    batches = [len(encoder.images)] if kind == SAFETENSORS else list(BATCHES)
    parts = np.split(encoder.images, np.cumsum(batches)[:-1])
    found = np.concatenate([artifact.embed(batch) for batch in parts])
    parity = {
        "batches": batches,
        **_compare(kind, found, encoder.references[compute_dtype], tolerance),
        "tolerance": tolerance,
    }
    if compute_dtype != trained_dtype:
        parity[f"relative_to_{trained_dtype}"] = _difference(found, encoder.references[trained_dtype])[1]
    record = {
        "format": kind,
        "run_with": RUN_WITH[kind],
        "bytes": len(artifact.content),
        "sha256": hashlib.sha256(artifact.content).hexdigest(),
        "compute_dtype": compute_dtype,
        "parity": parity,
    }
    return artifact.content, record | (onnx_file.format_versions(artifact.content) if kind == ONNX else {})


def _file_name(kind: str) -> str:
    return f"encoder.{kind}"


def _cpu() -> Any:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise ExportError(
            "JAX has no CPU here, on which files are checked before they are written: leave JAX_PLATFORMS unset, or "
            f"set JAX_PLATFORMS=cuda,cpu. ({error})"
        ) from error


def _on_cpu(model: SAN) -> SAN:
    graphdef, *state = split_model(model)
    return merge_model(graphdef, *jax.device_put(state, _cpu()))


def _in_float32(model: SAN, plan: RunPlan) -> SAN:
    """The same weights (float32 always) in a network that computes in float32."""
    single = dataclasses.replace(plan, model=dataclasses.replace(plan.model, compute_dtype="float32"), target=None)
    return merge_model(split_model(models.skeleton(single, 0))[0], *split_model(model)[1:])


def _images(height: int, width: int) -> np.ndarray:
    """uint8 [N H W 3] for the parity check: coarse colours as in photographs, under noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (sum(BATCHES), 8, 4, 3))
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 4 // width
    images = coarse[:, rows][:, :, columns] + rng.integers(-40, 41, (sum(BATCHES), height, width, 3))
    return np.clip(images, 0, 255).astype(np.uint8)


def _embed(model: SAN, images: np.ndarray) -> np.ndarray:
    return embed.embed_images(model, images, batch_size=len(images))


def _difference(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Largest difference, absolute and relative to the largest number expected."""
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    return difference, difference / float(np.abs(expected).max())


def _compare(kind: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> dict[str, float]:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ExportError(
            f"The {kind} file gives {found.dtype} {found.shape}, the run {expected.dtype} "
            f"{expected.shape}: it is not written."
        )
    if not np.ptp(expected, axis=0).any():
        raise ExportError(
            "The run gives the same embedding for all images: there is nothing to compare, and nothing to export."
        )
    difference, relative = _difference(found, expected)
    if not relative <= tolerance:  # NaN too
        raise ExportError(
            f"The {kind} file gives embeddings that differ from the run's by {difference:.3g}, {relative:.3g} of the "
            f"largest number where {tolerance:.0e} is allowed: nothing is written. Is a library of another version?"
        )
    return {"difference": difference, "relative": relative}


def _stablehlo(model: SAN, plan: RunPlan) -> _Artifact:
    (batch,) = jax.export.symbolic_shape("batch", constraints=["batch >= 1"])
    images = jax.ShapeDtypeStruct((batch, *plan.image_size, 3), np.uint8)
    exported = jax.export.export(jax.jit(embed.encoder_function(model)), platforms=PLATFORMS)(images)
    content = bytes(exported.serialize())
    program = jax.export.deserialize(bytearray(content))
    return _Artifact(content, lambda batch: np.asarray(program.call(batch)))


def _onnx(model: SAN, plan: RunPlan, opset: int) -> _Artifact:
    content = onnx_file.convert(model, plan.image_size, opset)
    return _Artifact(content, onnx_file.load(content))


def _safetensors(model: SAN, plan: RunPlan) -> _Artifact:
    names = exported_names(model)
    tensors: dict[str, np.ndarray] = {}
    for leaf, array in _leaves(model).items():
        if leaf == "pooling.p":
            continue  # a number in the metadata, see `load_exported`
        if leaf not in names:
            raise ExportError(f"The model's {leaf} has no name in PyTorch: export it as {STABLEHLO}.")
        tensors[names[leaf].name] = np.ascontiguousarray(names[leaf].transform.to_torch(array))
    if model.neck is not None:
        tensors[f"{neck_name(model)}.bias"] = np.zeros(model.embedding_size, np.float32)
    content = safetensors.numpy.save(tensors, _torch_metadata(model, plan))
    written = _read_safetensors(content, model)
    return _Artifact(content, lambda images: _embed(written, images))


def _read_safetensors(content: bytes, like: SAN) -> SAN:
    """The model of a file that was exported."""
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / _file_name(SAFETENSORS)
        path.write_bytes(content)
        return merge_model(split_model(like)[0], *load_exported(path, like))


def _leaves(model: SAN) -> dict[str, np.ndarray]:
    """Parameters and running statistics by dotted names."""
    _, params, batch_stats = split_model(model)
    return {name: np.asarray(leaf) for name, leaf in (flatten(params) | flatten(batch_stats)).items()}


def _torch_metadata(model: SAN, plan: RunPlan) -> dict[str, str]:
    """What a PyTorch user has to know beside the tensors; safetensors allows text only."""
    is_densenet = isinstance(model.encoder, DenseNet)
    layers: list[str] = []
    if model.head is not None:
        size = model.embedding_size
        layers += [f"Linear({model.encoder.out_features}, {size})", f"BatchNorm1d({size})", "ReLU()"]
    if model.neck is not None:
        layers.append(f"BatchNorm1d({model.embedding_size})")
    metadata = {
        "format": "pt",
        "network": plan.model.encoder,
        "width": str(plan.model.width),
        "stage_sizes": json.dumps(_stage_sizes(model)),
        "changes": "features.transition3.pool = Identity()"
        if is_densenet
        else "layer4.0.conv2 and layer4.0.downsample.0 have stride 1",
        "pooling": plan.model.pooling if model.pooling is not None else "average",
        sequential_name(model): f"Sequential({', '.join(layers)})",
        "embedding_size": str(model.embedding_size),
        "image_size": json.dumps(list(plan.image_size)),
        "input": "RGB [batch, 3, height, width]: (pixels / 255 - mean) / std",
        "mean": json.dumps(IMAGENET_MEAN),
        "std": json.dumps(IMAGENET_STD),
    }
    if model.pooling is not None:
        p = np.float32(model.pooling.p[...])
        metadata["pooling"] = "gem: mean(max(x, 1e-6) ** p) ** (1 / p) over height and width"
        metadata[GEM_P] = repr(float(p))
    return metadata


def _stage_sizes(model: SAN) -> list[int]:
    encoder = model.encoder
    if isinstance(encoder, DenseNet):
        return [getattr(encoder, f"block{number}").num_layers for number in range(1, 5)]
    return [getattr(encoder, f"stage{number}").num_blocks for number in range(1, 5)]


def _card(workdir: str | os.PathLike[str], encoder: _Encoder, files: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What the model card says, see `run`."""
    model, plan, step = encoder.model, encoder.plan, encoder.step
    return {
        "embedding_size": model.embedding_size,
        "input": {
            "name": onnx_file.INPUT,
            "dtype": "uint8",
            "shape": ["batch", *plan.image_size, 3],
            "colour": "RGB",
            "normalization": {
                "formula": "(pixels / 255 - mean) / std",
                "mean": IMAGENET_MEAN,
                "std": IMAGENET_STD,
                "where": (
                    f"within {STABLEHLO} and {ONNX}; before the network of {SAFETENSORS}, which takes [batch 3 H W]"
                ),
            },
        },
        "network": _torch_metadata(model, plan),
        "run": {
            "workdir": str(workdir),
            "method": plan.method,
            "step": step,
            "averaged": plan.ema_decay > 0.0,
        },
        "config": json.loads(config_files.to_json(folder.read_config(workdir))),
        "trained_on": folder.read_data(workdir, step=step),
        "scores": _scores(pathlib.Path(workdir), step),
        "calibration": _calibration(pathlib.Path(workdir), step),
        "microscope": _microscope(pathlib.Path(workdir), step),
        "commit": provenance.commit(),
        "versions": {"jax": jax.__version__, "safetensors": safetensors.__version__} | onnx_file.versions(),
        "speed": SPEED,
        "files": dict(files),
    }


def _scores(workdir: pathlib.Path, step: int) -> list[dict[str, Any]]:
    """Return what `experiments.evaluate` found of the exported weights, without re-ranking and the like, by dataset."""
    options = [protocols.Options(checkpoint=which) for which in (run_folder.NEWEST, run_folder.BEST, str(step))]
    scores: dict[str, dict[str, Any]] = {}
    for path in sorted((workdir / "report").glob(protocols.Options().file_name("*"))):
        found = read_json(path)
        dataset = str(found.get("dataset"))
        names = [each.file_name(dataset) for each in options]
        if path.name in names and found.get("step") == step:  # one checkpoint may be scored under several names
            scores[dataset] = {key: value for key, value in found.items() if key not in _NOT_IN_THE_CARD}
    return list(scores.values())


def _calibration(workdir: pathlib.Path, step: int | None) -> dict[str, Any] | None:
    """Return the thresholds that `experiments.calibrate` found for the exported weights; None without any."""
    path = workdir / calibration.FILE
    found = read_json(path) if path.is_file() else None
    if found is None or found["made_by"]["step"] != step:
        return None
    return {key: found[key] for key in ("pictures", "equal_error", "points", "limits")}


def write_calibration_into_card(output: pathlib.Path) -> None:
    """Bring the model card of an export up to date, in both its files, where the export was calibrated itself."""
    card = read_json(output / CARD)
    card["calibration"] = _calibration(output, None)
    write_atomic(output / CARD, _card_json(card))
    write_atomic(output / README, model_card.to_markdown(card).encode())


def _card_json(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=2, allow_nan=False) + "\n").encode()


def _microscope(workdir: pathlib.Path, step: int | None) -> dict[str, Any] | None:
    """Return what `experiments.microscope` found of the exported weights, without flips; None without any."""
    path = workdir / microscope.FILE
    found = read_json(path) if path.is_file() else None
    if found is None or found["step"] != step or found["flip"]:
        return None
    return {key: value for key, value in found.items() if key not in _NOT_IN_THE_CARD}


def _check_output(output: pathlib.Path, overwrite: bool) -> None:
    names = [*map(_file_name, FORMATS), CARD, README, calibration.FILE]
    present = [name for name in names if (output / name).exists()]
    if present and not overwrite:
        raise ExportError(
            f"{output} holds {', '.join(present)} already: give another --output, or --overwrite to replace them."
        )


def _write(output: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Each file whole or not at all; the card, which holds the others' digests, goes first and comes last."""
    for name in [CARD, README, calibration.FILE, *map(_file_name, FORMATS)]:
        if name == CARD or name not in contents:
            (output / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomic(output / name, content)


def describe(card: Mapping[str, Any], output: pathlib.Path) -> str:
    """What was exported, for people: a line for each file.

    Args:
        card: What `run` returned.
        output: The folder that was written to.
    """
    lines = []
    for name, file in card["files"].items():
        parity = file["parity"]
        versions = f"opset {file['opset']}, IR version {file['ir_version']}, " if file["format"] == ONNX else ""
        lines.append(
            f"{output / name}: {file['bytes'] / 1e6:.1f} MB, {versions}embeddings differ from the run's by "
            f"{parity['relative']:.1e} of the largest number at most ({parity['tolerance']:.0e} allowed)"
        )
    lines.append(f"{output / CARD}, {README}: step {card['run']['step']}, {card['embedding_size']} numbers an image")
    return "\n".join(lines)
