"""What a run can be exported as. Standard library only, so that `--help` can list it."""

STABLEHLO, SAFETENSORS, ONNX = "stablehlo", "safetensors", "onnx"
FORMATS = (STABLEHLO, SAFETENSORS, ONNX)
DEFAULT_FORMATS = (STABLEHLO, SAFETENSORS)  # these need no further package
# jax2onnx writes Squeeze and others as in opset 13. docs/export.md names the runtimes in which these were tried.
OPSETS = range(13, 24)
DEFAULT_OPSET = 17  # read since onnxruntime 1.12 (2022)
