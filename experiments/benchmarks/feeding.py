"""Speed of the input by stage: a record, its pictures, a batch, the way to the device, and workers beside each other.

Images a second of processor time say what one core does. An image here is an example of a batch: a picture with what
the decoder reconstructs from it. Every turn of the streams with workers lasts until these have refilled what they hold
ready, so that it counts all the work of its batches and leaves none to the next program.
"""

import contextlib
import functools
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh
from PIL import Image

from experiments.benchmarks import step_data, timing
from experiments.benchmarks.options import Options
from experiments.command_line.config_files import Config
from experiments.runs import training_data
from experiments.runs.errors import Problems, RunError
from experiments.runs.plan import RunPlan
from experiments.runs.training_data import TrainingData
from san_jax import sharding
from san_jax.counts import count
from san_jax.data import reading
from san_jax.data.augment import augment_images
from san_jax.data.iterator import BatchIterator
from san_jax.data.pipeline import Reader
from san_jax.pictures import resize_image

RECORD, BATCH, TRANSPORT = "read the record", "a whole batch, in one thread", "to the device"
AUGMENT, HOST = "augment on the device", "from host memory, to the device"
_PAUSE = 0.02  # seconds between two looks at what the workers do; the kernel counts their time in hundredths


def measure(config: Config, options: Options) -> dict[str, Any]:
    """Time the stages of the input of a config's training.

    Returns:
        JSON values: `data`; `left_out` (what -> reason); `kinds`: kind of batch -> `dataset`, `batch_size`, `pictures`
        (key of a batch -> `format`, `stored` and `size`, height and width as stored and in the batch) and `programs`
        (see `timing.compare`; the ratios are to a whole batch in one thread).

    Raises:
        RunError: Keys do not go together, or the data is missing.
        ValueError: The batch size does not fit, or an image cannot be decoded.
    """
    batch_size = options.step.batch_sizes[0] if options.step.batch_sizes else 0
    plan = step_data.variants(config, options.step, batch_size)[0].plan
    if not options.step.data_dir:
        step_data.ensure_data([plan])
    mesh, problems, left_out = sharding.make_mesh(), Problems(), {}
    kinds: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        data = training_data.find(plan, mesh, problems, stack)
        problems.check()
        assert data is not None
        in_memory = _keep_on_host(plan, data, mesh, left_out)
        for kind, stream in data.streams.items():
            reader = stream.read_batch
            batch_size = len(_rows(reader))
            with contextlib.ExitStack() as opened:
                programs = _stages(plan, kind, reader, mesh)
                streams = _open(stream, options.input.num_workers) | ({HOST: in_memory[kind]} if in_memory else {})
                for name, made in streams.items():
                    opened.callback(made.close)
                    programs[name] = functools.partial(_feed, made, mesh)
                found = {name: timing.Program(run, batch_size, BATCH) for name, run in programs.items()}
                rows = timing.compare(found, seconds=options.input.seconds)
            kinds[kind] = {
                "dataset": plan.read_as(kind),
                "batch_size": batch_size,
                "pictures": _pictures(reader),
                "programs": rows,
            }
    return {"data": step_data.describe_data(options.step, plan), "left_out": left_out, "kinds": kinds}


def _rows(reader: Reader) -> list[int]:
    """The examples of this process's share of the first batch."""
    return [int(index) for index in reader.feed.rows_of(reader.draw(0))]


def _open(stream: BatchIterator, num_workers: Sequence[int]) -> dict[str, BatchIterator]:
    """The stream decoded by so many workers."""
    names = {0: "decoded in a thread, to the device", 1: "decoded by 1 worker, to the device"}
    return {
        names.get(number, f"decoded by {number} workers, to the device"): BatchIterator(
            stream.read_batch, num_steps=stream.num_steps, num_workers=number
        )
        for number in num_workers
    }


def _keep_on_host(
    plan: RunPlan, data: TrainingData, mesh: Mesh, left_out: dict[str, str]
) -> Mapping[str, BatchIterator]:
    """Streams from the decoded training set in this process's memory; none where it does not fit."""
    try:
        return step_data.keep(plan, data, mesh, "host").streams
    except RunError as error:
        left_out[HOST] = str(error)
        return {}


def _stages(plan: RunPlan, kind: str, reader: Reader, mesh: Mesh) -> dict[str, Callable[[int], None]]:
    """What a batch goes through, stage by stage, each on the same examples."""
    indices = _rows(reader)
    examples = [reading.read_example(reader.source, index) for index in indices]
    batch = reader(0)
    images = sharding.shard_batch({"image": batch["image"]}, mesh)["image"]
    augment = jax.jit(functools.partial(augment_images, settings=plan.augment[kind]))
    key = jax.random.key(0)
    stages: dict[str, Callable[[], Any]] = {RECORD: lambda: [reader.source[index] for index in indices]}
    for name, (feature, size) in reader.features.items():
        encoded = [example[feature] for example in examples]
        decoded = [_decode(content) for content in encoded]
        stages[f"decode the {name}"] = functools.partial(_of_each, _decode, encoded)
        stages[f"resize the {name}"] = functools.partial(_of_each, functools.partial(resize_image, size=size), decoded)
    stages[BATCH] = functools.partial(reader, 0)
    stages[TRANSPORT] = lambda: jax.block_until_ready(sharding.shard_batch(batch, mesh))
    stages[AUGMENT] = lambda: jax.block_until_ready(augment(key, images))
    return {name: functools.partial(_repeat, function) for name, function in stages.items()}


def _decode(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
        image.load()
        return image


def _of_each(function: Callable[[Any], Any], items: list[Any]) -> None:
    for item in items:
        function(item)


def _repeat(function: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        function()


def _feed(stream: BatchIterator, mesh: Mesh, times: int) -> None:
    """Take so many batches to the device, then wait until all that reads ahead has nothing left to do."""
    for _ in range(times):
        jax.block_until_ready(sharding.shard_batch(next(stream), mesh))
    quiet = 0
    while quiet < 2:
        before = timing.processor_seconds()
        time.sleep(_PAUSE)
        quiet = quiet + 1 if timing.processor_seconds() - before < _PAUSE / 10 else 0


def _pictures(reader: Reader) -> dict[str, Any]:
    """Format and sizes of the pictures of the first example of a batch."""
    index = _rows(reader)[0]
    example = reading.read_example(reader.source, index)
    found = {}
    for name, (feature, size) in reader.features.items():
        image = _decode(example[feature])
        found[name] = {"format": image.format, "stored": [image.height, image.width], "size": list(size)}
    return found


def table(result: Mapping[str, Any]) -> str:
    """Return the text of what `measure` returned."""
    lines = [f"data {result['data']}"]
    for kind, found in result["kinds"].items():
        for name, picture in found["pictures"].items():
            stored, size = ("x".join(map(str, picture[what])) for what in ("stored", "size"))
            lines.append(f"{kind}, {found['dataset']}: {name} {picture['format']} of {stored}, {size} in the batch")
        lines += timing.table(f"input of {kind}, {count(found['batch_size'], 'image')}", found["programs"], a_core=True)
    return "\n".join([*lines, *(f"{name}: {reason}" for name, reason in result["left_out"].items())])
