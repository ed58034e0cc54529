"""Where and from what a number was made: commit, processor or accelerator, versions."""

import os
import pathlib
import platform
import subprocess

import jax

from san_jax.counts import count


def commit() -> str:
    """The checkout's commit, with a note where tracked files differ from it.

    An installed package has none; where its environment lies inside somebody's own repository, that one does not count.
    """
    root = pathlib.Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return "not a git checkout"
        changed = " with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def processor() -> str:
    """Name of the processor, cores that this process may use, memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor_name()}, {count(len(os.sched_getaffinity(0)), 'core')}, {memory:.0f} GiB of memory"


def accelerator() -> str:
    """JAX's version and the devices that it computes on."""
    device = jax.devices()[0]
    return f"{jax.__version__} on {jax.device_count()} x {device.device_kind} ({device.platform})"


def processor_name() -> str:
    """Name of the processor, or of its architecture where the system does not tell."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
