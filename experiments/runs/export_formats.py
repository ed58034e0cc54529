"""What a run can be exported as. Standard library only, so that `--help` can list it."""

STABLEHLO, SAFETENSORS, ONNX = "stablehlo", "safetensors", "onnx"
FORMATS = (STABLEHLO, SAFETENSORS, ONNX)
DEFAULT_FORMATS = (STABLEHLO, SAFETENSORS)  # these need no further package
