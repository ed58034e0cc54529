"""What compiling the steps of a config found, as JSON values and as text."""

import dataclasses
import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.compiling import costs, hlo, origins, roofline
from experiments.compiling.compilation import CompiledStep, DoesNotFitError, Memory, StepCompiler
from experiments.compiling.topologies import Topology
from experiments.runs.plan import RunPlan
from san_jax.counts import count

_LONGEST = 10  # operations and source lines that are listed


def compile_plan(
    plan: RunPlan, topology: Topology, *, num_classes: int, kinds: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Compile the steps of a plan one after the other.

    Args:
        plan: What is trained.
        topology: What to compile for.
        num_classes: Training identities.
        kinds: The kinds of batches whose steps to compile; empty takes all of the plan.

    Yields:
        The kind of a step, and JSON values of what it needs: see `measure`; or, where it does not fit, "fits" (False)
        and "memory".

    Raises:
        ValueError: The plan has no such step, or cannot be built; see `StepCompiler`.
    """
    compiler = StepCompiler(plan, topology, num_classes=num_classes)
    unknown = [kind for kind in kinds if kind not in compiler.kinds]
    if unknown:
        raise ValueError(f"--steps={','.join(kinds)}: this config has the steps {', '.join(compiler.kinds)}.")
    for kind in dict.fromkeys(kinds or compiler.kinds):
        try:
            yield kind, measure(compiler.compile(kind), topology)
        except DoesNotFitError as error:
            batch = {"batch": plan.batch_size(kind)}
            yield kind, {**batch, "fits": False, "memory": {"peak": error.needed, "available": error.available}}


def describe(plan: RunPlan, topology: Topology, num_classes: int) -> dict[str, Any]:
    """Return JSON values of what is compiled for what, by what."""
    device = topology.device
    published = None
    if device is not None:
        peaks = {"bandwidth": device.bandwidth, **device.peaks}
        published = {"memory": device.memory, "peaks": peaks, "source": device.source}
    return {
        "topology": topology.name,
        "title": topology.title,
        "devices": len(topology.devices),
        "hosts": topology.hosts,
        "published": published,
        "plan": str(plan).splitlines(),
        "compute_dtype": plan.model.compute_dtype,
        "num_classes": num_classes if plan.reid else 0,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib")},
        "compiler": topology.compiler,
    }


def measure(step: CompiledStep, topology: Topology) -> dict[str, Any]:
    """Count what a compiled step needs.

    Returns:
        JSON values, of one device unless they say otherwise: batch (images of all devices), fits, memory (bytes), bytes
        moved, product_flops and other_flops, intensity (FLOPs a byte), kernels, collectives, bound (None for a CPU),
        and the longest operations and source lines.
    """
    module = hlo.parse(step.hlo)
    launched = costs.kernels(module)
    moved = sum(kernel.times * kernel.bytes for kernel in launched)
    products = sum(kernel.times * kernel.product_flops for kernel in launched)
    others = sum(kernel.times * kernel.other_flops for kernel in launched)
    return {
        "batch": step.batch_size,
        "fits": topology.device is None or step.memory.peak <= topology.device.usable_memory,
        "memory": _memory(step.memory, topology),
        "bytes": moved,
        "product_flops": products,
        "other_flops": others,
        "intensity": round((products + others) / moved, 2),
        "kernels": sum(kernel.times for kernel in launched),
        "collectives": [dataclasses.asdict(collective) for collective in costs.messages(launched)],
        "bound": _bound(launched, step, topology),
        "operations": _longest_operations(module, launched, topology),
        "lines": _longest_lines(module, launched, topology),
    }


def _memory(memory: Memory, topology: Topology) -> dict[str, int | None]:
    available = None if topology.device is None else topology.device.usable_memory
    return {"peak": memory.peak, **dataclasses.asdict(memory), "available": available}


def _bound(launched: Sequence[costs.Kernel], step: CompiledStep, topology: Topology) -> dict[str, float] | None:
    if topology.device is None:
        return None
    bound = roofline.of_kernels(launched, topology.device)
    return {
        "images_per_second": round(step.batch_size / bound.kernels, 1),
        "images_per_second_of_a_device": round(step.batch_size / len(topology.devices) / bound.kernels, 1),
        "milliseconds": round(1e3 * bound.kernels, 3),
        "milliseconds_of_bytes": round(1e3 * bound.bytes, 3),
        "milliseconds_of_products": round(1e3 * bound.products, 3),
    }


def _weight(kernels: Sequence[costs.Kernel], topology: Topology) -> float:
    """Return what kernels are ordered by: their bound, or on a CPU the bytes that they move."""
    if topology.device is None:
        return float(sum(kernel.times * kernel.bytes for kernel in kernels))
    return roofline.of_kernels(kernels, topology.device).kernels


def _longest_operations(
    module: hlo.Module, launched: Sequence[costs.Kernel], topology: Topology
) -> list[dict[str, Any]]:
    total = _weight(launched, topology)
    longest = sorted(launched, key=lambda kernel: -_weight([kernel], topology))[:_LONGEST]
    return [
        {
            "name": kernel.instruction.name,
            "opcode": kernel.instruction.opcode,
            **dataclasses.asdict(origins.find(module, kernel)),
            **_sums([kernel]),
            "share": round(_weight([kernel], topology) / total, 4),
        }
        for kernel in longest
    ]


def _longest_lines(module: hlo.Module, launched: Sequence[costs.Kernel], topology: Topology) -> list[dict[str, Any]]:
    total = _weight(launched, topology)
    by_source: dict[str, list[costs.Kernel]] = {}
    for kernel in launched:
        by_source.setdefault(origins.find(module, kernel).source or "(made by XLA)", []).append(kernel)
    longest = sorted(by_source.items(), key=lambda item: -_weight(item[1], topology))[:_LONGEST]
    return [
        {"source": source, **_sums(kernels), "share": round(_weight(kernels, topology) / total, 4)}
        for source, kernels in longest
    ]


def _sums(kernels: Sequence[costs.Kernel]) -> dict[str, int]:
    return {
        "kernels": sum(kernel.times for kernel in kernels),
        "bytes": sum(kernel.times * kernel.bytes for kernel in kernels),
        "product_flops": sum(kernel.times * kernel.product_flops for kernel in kernels),
    }


def to_text(kind: str, step: Mapping[str, Any]) -> str:
    """Return what a step needs, as lines for the console. `step` is what `compile_plan` yields."""
    return "\n".join(
        [f"{kind} step, {count(step['batch'], 'image')} a batch:", *(f"  {line}" for line in _lines(step))]
    )


def _lines(step: Mapping[str, Any]) -> Iterator[str]:
    memory = step["memory"]
    if not step["fits"]:
        least = "" if "bytes" in step else "at least "  # a compiler that gives up does not say all
        yield f"does not fit: needs {least}{_gib(memory['peak'])} of {_gib(memory['available'])} a device"
    elif memory["available"]:
        share = memory["peak"] / memory["available"]
        yield f"fits: peak memory {_gib(memory['peak'])} a device, {share:.0%} of {_gib(memory['available'])}"
    else:
        yield f"peak memory {_gib(memory['peak'])} a device"
    if "bytes" not in step:
        return
    yield (
        f"  arguments {_gib(memory['arguments'])}, temporary {_gib(memory['temporary'])}, outputs "
        f"{_gib(memory['outputs'])}, of which {_gib(memory['aliased'])} in place of arguments"
    )
    yield f"bytes moved: {_count(step['bytes'])}B a device"
    yield (
        f"FLOPs: {_count(step['product_flops'])} of convolutions and matrix products, "
        f"{_count(step['other_flops'])} of other arithmetic; {step['intensity']:.1f} a byte"
    )
    yield f"kernels: {step['kernels']:,}"
    for collective in step["collectives"]:
        yield f"{collective['kind']}: {collective['count']:,}, {_count(collective['bytes'])}B a device"
    bound = step["bound"]
    if bound:
        yield (
            f"bound (no timing): at most {bound['images_per_second_of_a_device']:,.0f} images/s a device, "
            f"{bound['images_per_second']:,.0f} in all; {bound['milliseconds']:.2f} ms a step, of which bytes alone "
            f"{bound['milliseconds_of_bytes']:.2f} and products alone {bound['milliseconds_of_products']:.2f}"
        )
    yield f"largest shares of the {'bound' if bound else 'bytes'}, by operation:"
    for operation in step["operations"]:
        where = operation["source"] or "(made by XLA)"
        yield f"  {operation['share']:6.1%} {operation['name']}: {operation['op_name']}, {where}"
    yield "by source line:"
    for line in step["lines"]:
        yield (
            f"  {line['share']:6.1%} {line['source']}: {line['kernels']:,} kernels, {_count(line['bytes'])}B, "
            f"{_count(line['product_flops'])}FLOP"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _count(number: float) -> str:
    """Return a number with three digits and a prefix, such as "2.59 T"."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= factor:
            return f"{number / factor:.3g} {prefix}"
    return f"{number / 1e3:.3g} k"
