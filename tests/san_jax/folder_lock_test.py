"""san_jax/folder_lock.py between real processes, and where a file system knows no locks or keeps them to one host."""

import concurrent.futures
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from san_jax import folder_lock

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Holds a folder and says so; ends when its input does. `fork` leaves a child that lives on.
HOLDER = """
import os, sys, time
from san_jax import folder_lock
folder, part, fork = sys.argv[1:]
folder_lock.BEAT = 0.2
with folder_lock.hold(folder, part):
    if fork == "fork" and (child := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    print(child if fork == "fork" else 0, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(folder, part="", fork=""):
    """A process that holds the folder, and the number of its forked child."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLDER, str(folder), part, fork],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = int(process.stdout.readline())
    try:
        yield process, child
    finally:
        process.kill()
        if child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.communicate(timeout=600)  # the child has its ends of the pipes


def assert_free(folder, part=""):
    with folder_lock.hold(folder, part):
        pass


def assert_in_use(folder, part="", *, by):
    with pytest.raises(folder_lock.FolderInUseError) as error, folder_lock.hold(folder, part):
        pass
    message = str(error.value)
    assert "\n" not in message
    for word in (str(folder), f"process {by}", "choose another folder"):
        assert word in message
    return message


def record_of(folder):
    """What the holder of a folder wrote of itself."""
    return json.loads((folder / ".lock").read_text())


def foreign_record(folder, **changes):
    """The record that a process on another host left, or holds."""
    record = {
        "token": "t", "host": "node7", "boot": "another", "pid_space": "pid:[1]", "pid": 5, "start": "1",
        "since": "2026-01-02", "command": "python -m experiments.train",
    }  # fmt: skip
    path = folder / ".lock"
    path.write_text(json.dumps(record | changes))
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT", 0.2)
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.1)


@pytest.fixture
def no_flock(monkeypatch, request):
    number = getattr(request, "param", errno.ENOLCK)

    def flock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_the_second_process_is_refused_and_told_who_the_first_is(tmp_path):
    with holder(tmp_path / "run") as (process, _):
        message = assert_in_use(tmp_path / "run", by=process.pid)
        assert os.uname().nodename in message
        assert f"{sys.executable} -W ignore -c" in message  # the first one's command line
        process.communicate("", timeout=600)
        assert process.returncode == 0
    assert_free(tmp_path / "run")


def test_nothing_is_left_of_a_lock_and_of_a_folder_that_stayed_empty(tmp_path):
    with folder_lock.hold(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".lock").exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    assert_free(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with folder_lock.hold(tmp_path / "filled"):
        (tmp_path / "filled" / "file").touch()
    assert [path.name for path in (tmp_path / "filled").iterdir()] == ["file"]


def test_a_folder_that_another_process_removes_meanwhile_is_made_again(tmp_path, monkeypatch):
    """That one made it, held it and left it empty, after we saw that it is there."""
    make, times = pathlib.Path.mkdir, []

    def make_and_lose(folder, *arguments, **options):
        make(folder, *arguments, **options)
        times.append(folder)
        if len(times) == 1:
            folder.rmdir()

    monkeypatch.setattr(pathlib.Path, "mkdir", make_and_lose)
    with folder_lock.hold(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").exists()
    assert times == [tmp_path / "run"] * 2


def test_links_to_a_folder_and_relative_paths_are_that_folder(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with holder(tmp_path / "run") as (process, _):
        monkeypatch.chdir(tmp_path)
        for path in ("link", "run", "link/../run"):
            with pytest.raises(folder_lock.FolderInUseError, match=f"process {process.pid} "), folder_lock.hold(path):
                pass
    with folder_lock.hold("link"), folder_lock.hold("run"):
        pass


def test_a_refused_process_removes_nothing_of_the_first(tmp_path):
    with holder(tmp_path / "run") as (process, _):
        before = (tmp_path / "run" / ".lock").read_bytes()
        assert_in_use(tmp_path / "run", by=process.pid)
        assert (tmp_path / "run" / ".lock").read_bytes() == before


def test_a_killed_process_leaves_no_lock_behind(tmp_path, capfd, monkeypatch):
    monkeypatch.undo()
    with holder(tmp_path) as (process, _):
        process.kill()  # at once, while it ends
        assert_free(tmp_path)
    assert capfd.readouterr().err == ""  # nobody had to wait


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    with holder(tmp_path, fork="fork") as (process, child):
        assert_in_use(tmp_path, by=process.pid)
        process.kill()
        process.wait(timeout=600)
        os.kill(child, 0)  # it lives
        assert_free(tmp_path)


def test_another_thread_is_refused_like_another_process(tmp_path):
    with folder_lock.hold(tmp_path), concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(assert_in_use, tmp_path, by=os.getpid()).result()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(assert_free, tmp_path).result()


def test_a_thread_may_enter_its_own_lock_again(tmp_path):
    with folder_lock.hold(tmp_path), folder_lock.hold(tmp_path / "." / "below"):
        with folder_lock.hold(tmp_path), folder_lock.hold(tmp_path, "part"):
            pass
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


def test_parts_go_together_and_never_with_the_whole(tmp_path):
    with holder(tmp_path, "shard-0-of-2") as (process, _):
        assert "(shard-0-of-2)" in assert_in_use(tmp_path, "shard-0-of-2", by=process.pid)
        assert_free(tmp_path, "shard-1-of-2")
        assert_in_use(tmp_path, by=process.pid)
        process.kill()
        process.wait(timeout=600)
        assert_free(tmp_path)
    with holder(tmp_path) as (process, _):
        assert_in_use(tmp_path, "shard-1-of-2", by=process.pid)
    assert [path.name for path in tmp_path.iterdir() if not folder_lock.is_lock(path)] == []


def test_a_part_is_held_in_turn_and_the_holder_is_named_once(tmp_path, capfd):
    with holder(tmp_path, "table") as (process, _):
        threading.Timer(1.0, process.kill).start()  # after several looks
        with folder_lock.hold_in_turn(tmp_path, "table"):
            assert process.wait(timeout=60) != 0
        assert capfd.readouterr().err.count(f"process {process.pid} on ") == 1
    assert list(tmp_path.iterdir()) == []
    with holder(tmp_path) as (process, _):  # the whole folder
        with pytest.raises(folder_lock.FolderInUseError) as error, folder_lock.hold_in_turn(tmp_path, "table"):
            pass
        again = pickle.loads(pickle.dumps(error.value))  # as from another process
        assert (str(again), again.holder, again.part) == (str(error.value), error.value.holder, "")
        assert f"process {process.pid} on " in again.holder
    with pytest.raises(ZeroDivisionError), folder_lock.hold_in_turn(tmp_path, "table"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_many_start_at_once_and_one_wins(tmp_path):
    command = [sys.executable, "-c", HOLDER.replace("0.2", "1.0"), str(tmp_path / "run"), "", ""]
    processes = [
        subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    try:
        lost = set()
        while len(lost) < 3:
            lost |= {process for process in processes if process.poll() is not None}
            time.sleep(0.05)
        (winner,) = set(processes) - lost
        for process in lost:
            assert f"process {winner.pid}" in process.communicate(timeout=600)[1]
        winner.communicate("", timeout=600)
        assert winner.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=600)


# Another host, and file systems without locks


def test_a_silent_holder_on_another_host_is_waited_for_and_then_followed(tmp_path, capfd):
    foreign_record(tmp_path)
    with folder_lock.hold(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    words = capfd.readouterr().err
    assert f"{tmp_path}: python -m experiments.train (process 5 on node7, since 2026-01-02)" in words
    assert "sign of life" in words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locks", [True, False])
def test_a_holder_on_another_host_that_shows_life_is_left_alone(tmp_path, monkeypatch, locks, request):
    """Its lock is not known here: NFS with local locks, Lustre without `flock`."""
    if not locks:
        request.getfixturevalue("no_flock")
    path = foreign_record(tmp_path)
    look, times = folder_lock._look, []

    def looked_at(looked):  # the other host touches the file after a while; its clock is wrong
        times.append(looked)
        if len(times) == 5:
            os.utime(path, (1, 1))
        return look(looked)

    monkeypatch.setattr(folder_lock, "_look", looked_at)
    before = path.read_bytes()
    assert "node7" in assert_in_use(tmp_path, by=5)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_holder_shows_life(tmp_path):
    with folder_lock.hold(tmp_path):
        path = tmp_path / ".lock"
        os.utime(path, (1, 1))
        while path.stat().st_mtime == 1:
            time.sleep(0.01)


# EBADF: NFS, of another user's file, which can be opened for reading alone.
@pytest.mark.parametrize("no_flock", [errno.ENOLCK, errno.EBADF], indirect=True)
@pytest.mark.usefixtures("no_flock")
def test_without_locks_a_living_process_of_this_host_is_left_alone_and_a_dead_one_followed(tmp_path, capfd):
    with holder(tmp_path) as (process, _):
        assert_in_use(tmp_path, by=process.pid)
        process.kill()
        process.wait(timeout=600)
        assert (tmp_path / ".lock").exists()
        assert_free(tmp_path)
    assert capfd.readouterr().err == ""
    # The number went to another process meanwhile.
    with folder_lock.hold(tmp_path / "other"):
        own = record_of(tmp_path / "other")
    foreign_record(tmp_path, **own | {"start": "0"})
    assert_free(tmp_path)


@pytest.mark.usefixtures("no_flock")
def test_of_two_that_follow_a_dead_process_one_wins(tmp_path, monkeypatch):
    """The other one took the lock over, and ended its claim, between our look and our own claim."""
    watch = folder_lock._watch
    with holder(tmp_path / "other") as (process, _):
        other = record_of(tmp_path / "other")

        def watch_and_lose(*arguments):
            watch(*arguments)
            foreign_record(tmp_path / "run", **other)

        monkeypatch.setattr(folder_lock, "_watch", watch_and_lose)
        (tmp_path / "run").mkdir()
        foreign_record(tmp_path / "run")
        assert_in_use(tmp_path / "run", by=process.pid)
        assert record_of(tmp_path / "run") == other


def test_a_file_that_its_maker_has_not_locked_yet_is_taken_at_once(tmp_path, monkeypatch, capfd):
    """Both begin together: the maker finds the lock taken, and nobody is looked for on other hosts."""
    (tmp_path / ".lock").touch()
    monkeypatch.setattr(folder_lock, "BEAT", 600.0)
    with folder_lock.hold(tmp_path):
        assert record_of(tmp_path)["pid"] == os.getpid()
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_a_maker_on_another_host_that_writes_its_record_late_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "PATIENCE", 2.0)
    (tmp_path / ".lock").touch()

    def live():
        path = foreign_record(tmp_path)
        for _ in range(50):
            time.sleep(0.1)
            os.utime(path)

    threading.Timer(0.2, live).start()
    assert_in_use(tmp_path, by=5)


@pytest.mark.parametrize("content", ["", "[" * 9000, "[]", '{"pid": "\\u001b[2J"}'])
def test_a_record_that_is_none_is_no_reason_to_fail(tmp_path, content, capfd):
    (tmp_path / ".lock").write_text(content)
    (tmp_path / ".lock.claim").touch()  # of one who died while taking it over
    assert_free(tmp_path)
    assert "\x1b" not in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(folder_lock.FolderError, match=r"file/run cannot be written to \(Not a directory\)"):
        assert_free(tmp_path / "file" / "run")
    with pytest.raises(folder_lock.FolderError, match=r"file cannot be written to \(File exists\)"):
        assert_free(tmp_path / "file")
