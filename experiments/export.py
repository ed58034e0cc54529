"""Writes the encoder of a trained run for JAX (StableHLO), PyTorch (safetensors) and ONNX runtimes.

    python -m experiments.export --workdir=runs/san --output=exported
    python -m experiments.export --workdir=runs/san --output=exported --formats=stablehlo,onnx

    encoder.stablehlo     program of jax.export with its weights, for CPU, CUDA and TPU
    encoder.onnx          the same program as ONNX, float32
    encoder.safetensors   float32 weights under torchvision's names
    model_card.json       sizes, normalisation, config, training data, commit, digests, parity

The two programs take uint8 RGB [batch H W 3] and hold everything from pixels to embedding,
normalisation included; H and W are those of the run. The network of the safetensors takes
normalised floats [batch 3 H W]. The embedding is the one by which experiments.evaluate compares
images. docs/export.md shows how to load each file.

Before anything is written, images go through every file and through san_jax.embed, on the CPU, as
accelerators may round float32 coarsely. If a difference exceeds the tolerance of the format,
nothing is written.
"""

import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import compilation_cache, paths
from experiments.runs.export_formats import DEFAULT_FORMATS, FORMATS
from san_jax.runtimes import DEFAULT_OPSET, OPSETS


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.export", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a run")
    command_line.add_checkpoint(parser)
    parser.add_argument("--output", type=paths.given, required=True, help="folder to write to")
    parser.add_argument(
        "--formats",
        type=command_line.comma_list,
        default=",".join(DEFAULT_FORMATS),
        help=f"comma list of formats, among {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--opset",
        type=int,
        help=f"operator set of the ONNX file, {OPSETS[0]} to {OPSETS[-1]}; runtimes since 2022 read the default one "
        f"(default: {DEFAULT_OPSET})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export in the folder")
    arguments = parser.parse_args(argv)
    compilation_cache.enable()

    from experiments.runs import exporting  # not before: --help needs no JAX

    try:
        card = exporting.run(
            arguments.workdir,
            arguments.output,
            formats=arguments.formats,
            opset=arguments.opset,
            overwrite=arguments.overwrite,
            which=arguments.checkpoint,
        )
    except (ValueError, OSError, RuntimeError) as error:  # their messages say what to do
        sys.exit(f"export: {error}")
    print(exporting.describe(card, pathlib.Path(arguments.output)))


if __name__ == "__main__":
    command_line.run(main)
