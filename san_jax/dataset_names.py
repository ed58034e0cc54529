"""Names of the datasets that this project builds. Standard library only, so that `--help` can list them."""

RENDERED = ("pit", "pit_reid")  # drawn by `render`
# The benchmarks that users bring. NAME/CONFIG is one configuration of a builder.
BENCHMARKS = (
    "market1501",
    "dukemtmc_reid",
    "cuhk03/labeled",
    "cuhk03/detected",
    "msmt17",
    "partial_reid",
    "partial_ilids",
)
DATASETS = (*RENDERED, *BENCHMARKS)
