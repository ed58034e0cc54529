"""What computes embeddings, and which ONNX files are written. Standard library only, so that `--help` can list it."""

JAX, ONNX = "jax", "onnx"
RUNTIMES = (JAX, ONNX)
# The operators that `san_jax.onnx_file` writes are the same in these. docs/export.md names the runtimes that read them.
OPSETS = range(13, 24)
DEFAULT_OPSET = 17  # read since onnxruntime 1.12 (2022)
