"""Allows one writer per folder, by a lock that ends with the process that holds it.

The lock is a file in the folder, `.lock`, locked with flock(2) and removed at the end. The kernel releases it when the
process dies, so there is nothing to clean up after `kill -9`. The file says who holds the lock.

On a network file system flock may be missing, or be known only to the host that took the lock. So the holder touches
its file every `BEAT` seconds. A process that finds the record of another host watches the file for more than two beats,
and takes the folder over only if nothing changes. No clocks are compared.

If processes share a folder by agreement, each holds a part of it (a dataset), and the file is `.lock.<part>`.
Nobody can hold the whole folder while a part is held, nor a part while the whole folder is held.

Imports only the standard library, because `datasets` imports this module.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

BEAT = 10.0  # seconds between two signs of life, the same for all processes that use a folder
PATIENCE = 2.0  # seconds to wait for a process that was just killed
_NAME = ".lock"
_CLAIM = ".claim"  # suffix of the file that decides which of several processes takes a lock over
_WATCHED_BEATS = 2.5
_MAX_RECORD = 1 << 16  # bytes
# EBADF: NFS does not lock a file that is open only for reading, such as another user's.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EBADF}


class FolderError(ValueError):
    """A folder that cannot be written to. The message names it and says what to do."""


class FolderInUseError(FolderError):
    """A folder that another process is writing. The message names that process and its host on one line.

    Attributes:
        holder: The other process, its host, and since when it holds the folder.
        part: The part that it holds; "" for the whole folder.
    """

    def __init__(self, message: str, *, holder: str = "", part: str = ""):
        super().__init__(message)
        self.holder, self.part = holder, part


class _Changed(Exception):
    """The lock file changed since it was examined: start again."""


_held: dict[str, tuple[int, int]] = {}  # path of a lock file of this process -> (file descriptor, thread)


def _forget() -> None:
    """Close a forked child's copies of the locks, which would otherwise outlive the parent."""
    for descriptor, _ in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def hold(folder: str | os.PathLike[str], part: str = "") -> Iterator[None]:
    """Hold the only right to write a folder, or a part of it, while the body runs.

    The folder is made if absent, and removed at the end if it was made here and is still empty. A thread may enter a
    lock that it already holds.

    Args:
        folder: The folder.
        part: Name of the part; "" for the whole folder.

    Raises:
        FolderInUseError: Another process holds the folder or this part of it.
        FolderError: The folder cannot be made, or no file can be made in it.
    """
    folder = pathlib.Path(folder).absolute()
    made: list[pathlib.Path] = []
    try:
        with contextlib.ExitStack() as stack:
            try:
                _make_folder(folder, made)
                folder = folder.resolve()
                stack.enter_context(_taken(_file(folder, part)))
                for other in _excluded(folder, part):
                    with _taken(other):
                        pass
            except OSError as error:
                raise FolderError(
                    f"{folder} cannot be written to ({error.strerror or error}): choose another folder, or make "
                    "this one writable."
                ) from None
            yield
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # something is in it
                path.rmdir()


@contextlib.contextmanager
def hold_in_turn(folder: str | os.PathLike[str], part: str) -> Iterator[None]:
    """Hold a part of a folder as `hold` does, but wait while another process holds the same part.

    Who is waited for is printed once to stderr.

    Raises:
        FolderInUseError: Another process holds the whole folder.
        FolderError: As in `hold`.
    """
    said = False
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(hold(folder, part))
            except FolderInUseError as error:
                if error.part != part:
                    raise
                if not said:
                    print(f"Waiting for {error.holder}, which writes {part} in {folder}.", file=sys.stderr, flush=True)
                    said = True
            else:
                yield
                return
        time.sleep(PATIENCE)


def is_lock(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a lock, by its name, and so not part of its folder's content."""
    name = pathlib.Path(path).name
    return name == _NAME or name.startswith(f"{_NAME}.")


def _file(folder: pathlib.Path, part: str) -> pathlib.Path:
    return folder / (f"{_NAME}.{part}" if part else _NAME)


def _excluded(folder: pathlib.Path, part: str) -> list[pathlib.Path]:
    """Return the existing lock files that exclude this one."""
    if part:
        whole = _file(folder, "")
        return [whole] if whole.exists() else []
    parts = [path for path in folder.iterdir() if is_lock(path) and path.name != _NAME]
    return [path for path in parts if path.suffix != _CLAIM]


def _make_folder(folder: pathlib.Path, made: list[pathlib.Path]) -> None:
    """Make a folder and its parents; add those that were missing to `made`, the deepest first."""
    if not folder.parent.exists():
        _make_folder(folder.parent, made)
    try:
        folder.mkdir()
        made.insert(0, folder)
    except FileExistsError:
        if not folder.is_dir():
            raise


@contextlib.contextmanager
def _taken(path: pathlib.Path) -> Iterator[None]:
    """Hold one lock file."""
    key, owner, thread = str(path), os.getpid(), threading.get_ident()
    if key in _held and _held[key][1] == thread:
        yield
        return
    descriptor, stop = _acquire(path), threading.Event()
    _held[key] = (descriptor, thread)
    life = threading.Thread(target=_show_life, args=(descriptor, stop), name=f"lock {path}", daemon=True)
    life.start()
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked child may leave the body too, but the lock is its parent's
            stop.set()
            life.join()
            with contextlib.suppress(OSError):
                if _is_file(descriptor, path):
                    path.unlink()  # before it is released, so that whoever gets the old file sees that it is gone
            del _held[key]
            os.close(descriptor)


def _show_life(descriptor: int, stop: threading.Event) -> None:
    while not stop.wait(BEAT):
        with contextlib.suppress(OSError):  # the file server may be away for a moment
            os.utime(descriptor)


def _acquire(path: pathlib.Path) -> int:
    """Lock the file, write this process's record into it and return its descriptor.

    Raises:
        FolderInUseError: Another process holds it.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        descriptor, is_new = _open(path)
        try:
            supported = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                    if time.monotonic() > deadline:
                        raise _in_use(path, _read(descriptor)) from None
                    time.sleep(PATIENCE / 50)
                    raise _Changed from None
                supported = False
            if not _is_file(descriptor, path):
                raise _Changed
            if is_new:
                _write(descriptor, path)
            else:
                _take_over(descriptor, path, supported)
        except _Changed:
            os.close(descriptor)
            continue
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _open(path: pathlib.Path) -> tuple[int, bool]:
    """Open a lock file for writing; return the descriptor and whether the file is new."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileNotFoundError:  # the process that made the folder has removed it again
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        except FileExistsError:
            pass
        try:
            return os.open(path, os.O_RDWR), False
        except FileNotFoundError:  # its holder ended since the first attempt
            pass
        except PermissionError:  # another user's
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, os.O_RDONLY), False


def _take_over(descriptor: int, path: pathlib.Path, supported: bool) -> None:
    """Take over a lock file that its holder did not remove, unless the holder is alive.

    Args:
        descriptor: Descriptor of the file, locked if that is supported.
        path: Path of the file.
        supported: Whether its file system supports flock.

    Raises:
        FolderInUseError: The holder is alive.
        _Changed: The file has changed meanwhile.
    """
    record = _read(descriptor)
    if record is None and supported:
        # Made this moment: its maker waits for this lock or, where hosts do not share locks, writes its record next.
        _wait_for(lambda: os.fstat(descriptor).st_size > 0, PATIENCE / 2)
        record = _read(descriptor)
    is_empty = supported and os.fstat(descriptor).st_size == 0
    same_kernel = record is not None and record.get("boot") == _boot()
    if same_kernel and supported:  # the kernel knows all locks of its processes, so the holder is dead
        _write(descriptor, path)
        return
    if record is not None and same_kernel and record.get("pid_space") == _pid_space():
        start = record.get("start")
        if start is not None and _start_of(record.get("pid")) == start:
            raise _in_use(path, record)
    elif not is_empty:
        _watch(path, record)
    claim = path.with_name(path.name + _CLAIM)
    try:
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        # Another process is taking the lock over right now, or died while doing so.
        if not _wait_for(lambda: not claim.exists(), BEAT):
            claim.unlink(missing_ok=True)
        raise _Changed from None
    try:
        if not _is_file(descriptor, path) or _read(descriptor) != record:
            raise _Changed
        _write(descriptor, path)
    finally:
        claim.unlink(missing_ok=True)


def _watch(path: pathlib.Path, record: dict[str, Any] | None) -> None:
    """Watch a lock file whose holder may be on another host; return if nothing changes for long enough.

    Raises:
        FolderInUseError: The holder gave a sign of life.
        _Changed: The file is gone, or belongs to another process by now.
    """
    seconds = _WATCHED_BEATS * BEAT
    print(
        f"{path.parent}: {_describe(record, path)} has not said that it ended, and whether it still runs cannot be "
        f"seen from here. Waiting {seconds:.0f} s for a sign of life.",
        file=sys.stderr,
        flush=True,
    )
    before = _look(path)
    if not _wait_for(lambda: _look(path) != before, seconds):
        return
    now = _look(path)
    if now is not None and before is not None and now[1] == before[1]:
        raise _in_use(path, record)
    raise _Changed


def _look(path: pathlib.Path) -> tuple[int, dict[str, Any] | None] | None:
    """Return a lock file's time and record, or None if it is gone.

    The file is opened anew, so that NFS asks its server.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.fstat(descriptor).st_mtime_ns, _read(descriptor)
    finally:
        os.close(descriptor)


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition comes true within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(seconds / 50)
    return True


def _is_file(descriptor: int, path: pathlib.Path) -> bool:
    """Return whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, path: pathlib.Path) -> None:
    """Write this process's record.

    Raises:
        _Changed: The file was another user's and could only be removed.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        path.unlink()
        raise _Changed
    record = {
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid_space": _pid_space(),
        "pid": os.getpid(),
        "start": _start_of(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "command": " ".join(sys.orig_argv)[:1000],
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(record).encode(), 0)
    os.fsync(descriptor)  # so that other hosts see it now


def _read(descriptor: int) -> dict[str, Any] | None:
    """Return the record in a lock file, or None if there is none or only half of one."""
    try:
        record = json.loads(os.pread(descriptor, _MAX_RECORD, 0))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _in_use(path: pathlib.Path, record: dict[str, Any] | None) -> FolderInUseError:
    part, holder = path.name.removeprefix(_NAME).removeprefix("."), _describe(record, path)
    message = (
        f"{path.parent}{f' ({part})' if part else ''} is being written by another process: {holder}. "
        "Wait until it ends, stop it, or choose another folder."
    )
    return FolderInUseError(message, holder=holder, part=part)


def _describe(record: dict[str, Any] | None, path: pathlib.Path) -> str:
    """Return who holds a lock, on one line of printable characters: the record may come from outside."""
    if record is None:
        return f"one whose record in {path} cannot be read"
    host, pid, since, command = (str(record.get(key)) for key in ("host", "pid", "since", "command"))
    text = f"{command[:200]} (process {pid} on {host}, since {since})"
    return "".join(character if character.isprintable() else " " for character in text)


def _boot() -> str:
    """Return a name of the running kernel: the same in all containers of a machine, until it restarts."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _pid_space() -> str:
    """Return the name of the namespace of process numbers. Each container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid: Any) -> str | None:
    """Return when a process of this machine started, as far as is known, or None if it has ended."""
    if not isinstance(pid, int) or pid <= 0:
        return None
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        pass
    if pathlib.Path("/proc/self/stat").exists():
        return None
    try:  # no /proc, as on macOS
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"
