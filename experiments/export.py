"""Writes the encoder of a trained run for inference elsewhere: for JAX (StableHLO), PyTorch (safetensors) and ONNX runtimes.

    python -m experiments.export --workdir=runs/san --output=exported
    python -m experiments.export --workdir=runs/san --output=exported --formats=stablehlo,safetensors,onnx

| file | is | takes |
|---|---|---|
| `encoder.stablehlo` | a program of `jax.export`, weights within, for CPU, CUDA and TPU; needs JAX alone | uint8 RGB [batch H W 3] |
| `encoder.onnx` | the same as ONNX, float32 | uint8 RGB [batch H W 3] |
| `encoder.safetensors` | float32 weights under torchvision's names | its network takes normalised floats [batch 3 H W] |
| `model_card.json` | what these are: sizes, normalisation, config, training data, commit, digests, parity | |

ONNX is written for opset 17, which runtimes since 2022 read; `--opset=N` takes another one.

The first two hold everything from pixels to embedding, so that nobody can normalise wrongly; H and W are those of the run.
The embedding is what `experiments.evaluate` compares images by. `docs/export.md` shows how each file is loaded.

Before anything is written, images go through every file and through `san_jax.embed`; a difference beyond the format's
tolerance ends the program, and nothing is written. That is computed on the CPU: accelerators may round float32 coarsely.
"""

import pathlib
import sys
from collections.abc import Sequence

from experiments import command_line
from experiments.command_line import paths

# Of `runs.exporting`, which imports JAX; a test compares them.
FORMATS = ("stablehlo", "safetensors", "onnx")
DEFAULT_FORMATS = FORMATS[:2]
OPSETS = range(13, 24)
DEFAULT_OPSET = 17


def main(argv: Sequence[str] | None = None) -> None:
    parser = command_line.make_parser("experiments.export", __doc__)
    parser.add_argument("--workdir", type=paths.given, required=True, help="folder of a run")
    parser.add_argument("--output", type=paths.given, required=True, help="folder to write to")
    parser.add_argument("--formats", default=",".join(DEFAULT_FORMATS), help=f"some of {','.join(FORMATS)}")
    parser.add_argument(
        "--opset",
        type=int,
        help=f"operator set of the ONNX file, {OPSETS[0]} to {OPSETS[-1]} (default: {DEFAULT_OPSET})",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    arguments = parser.parse_args(argv)

    from experiments.runs import exporting  # not before: --help needs no JAX

    try:
        card = exporting.run(
            arguments.workdir,
            arguments.output,
            formats=command_line.comma_list(arguments.formats),
            opset=arguments.opset,
            overwrite=arguments.overwrite,
        )
    except (ValueError, OSError, RuntimeError) as error:  # their messages say what to do
        sys.exit(f"export: {error}")
    print(exporting.describe(card, pathlib.Path(arguments.output)))


if __name__ == "__main__":
    command_line.run(main)
