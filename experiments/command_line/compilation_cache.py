"""Compiled steps that outlast the process: the folder in which JAX keeps them from one start of a program to the next.

    arguments = parser.parse_args(argv)
    compilation_cache.enable()

    from experiments.runs import training  # JAX reads the setting when it is imported

What is compiled is the same with and without the folder, so results do not depend on it. JAX finds an entry by the
program, the versions of JAX and XLA, their flags and the accelerator. For CPUs it does not look at the instructions
that the processor has, so each kind of processor has a folder of its own: a home folder may be shared by a cluster.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import sys

SWITCH = "SAN_JAX_COMPILATION_CACHE"  # environment variable
MAX_BYTES = 4 * 2**30  # beyond it the oldest entries are removed; SAN's two steps take some 20 MB
_FOLDER, _MIN_SECONDS = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def enable() -> pathlib.Path | None:
    """Let JAX keep what it compiles in the user's cache folder; call it before JAX is imported.

    Processes that run at the same time may share the folder, and those that this one starts do.
    `SAN_JAX_COMPILATION_CACHE=off` in the environment leaves JAX without the folder; a folder in JAX's own
    `JAX_COMPILATION_CACHE_DIR` is used as it is. Where the folder cannot be written, a warning says so and the program
    goes on without it.

    Returns:
        The folder; None where nothing was set.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no") or _FOLDER in os.environ:
        return None
    try:
        folder = user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} is not writable")
        _remove_oldest(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home folder
        print(
            f"warning: compiled steps are not kept for the next start: {str(error).rstrip('.')}. Set XDG_CACHE_HOME to a folder that "
            f"can be written, or {SWITCH}=off.",
            file=sys.stderr,
        )
        return None
    os.environ[_FOLDER] = str(folder)
    os.environ.setdefault(_MIN_SECONDS, "0.2")  # reading an entry takes a few hundredths
    return folder


def user_folder() -> pathlib.Path:
    """Return this user's folder for this kind of processor, whether it exists or not."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = pathlib.Path(given) if os.path.isabs(given) else pathlib.Path.home() / ".cache"
    return base / "san_jax" / "xla" / f"{platform.machine() or 'unknown'}-{_processor_digest()}"


def _processor_digest() -> str:
    """Return a short digest of the processor's name and instruction sets."""
    words = {platform.processor()}
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        names = ("model name", "flags", "Features", "CPU part")  # of x86, and of ARM
        words |= {line for line in lines if line.split(":")[0].strip() in names}
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:12]


def _remove_oldest(folder: pathlib.Path) -> None:
    """Remove the oldest entries of a folder that has grown beyond `MAX_BYTES`."""
    entries = []
    for path in folder.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):  # another process removes entries too
            status = path.stat()
            entries.append((status.st_mtime, status.st_size, path))
    size = sum(size for _, size, _ in entries)
    for _, entry_size, path in sorted(entries):
        if size <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        size -= entry_size
