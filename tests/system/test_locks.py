"""A lock dies with its process and with nothing else."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from loguru_stdbridge.system import locks
from loguru_stdbridge.system.locks import is_file_at, let_go, lock_file, take_lock
from tests.support.processes import start_python

HOLD = """
import signal, sys
from loguru_stdbridge.system.locks import take_lock
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background is born without
print(take_lock(sys.argv[1], create=True) is not None, flush=True)
signal.pause()
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def test_a_lock_has_one_holder(path):
    """A second holder is refused even in the same process, until the first one lets go."""
    first = take_lock(path, create=True)
    assert take_lock(path) is None
    let_go(first)
    second = take_lock(path)
    assert second is not None
    let_go(second)


def test_a_lock_that_is_refused_leaves_nothing_open(path):
    """A refused attempt closes its own descriptor and leaves the holder's open."""
    first = take_lock(path, create=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        assert take_lock(path) is None
    assert len(os.listdir("/proc/self/fd")) == before
    assert is_file_at(first, path)
    let_go(first)


def test_a_file_that_is_not_there_is_made_only_on_demand(path):
    """``take_lock`` makes no file unless told to, so an adopter brings no journal back."""
    with pytest.raises(FileNotFoundError):
        take_lock(path)
    assert not os.path.exists(path)


def test_a_lock_on_a_removed_file_is_none(path, monkeypatch):
    """A lock on a file that was removed or replaced meanwhile does not count."""

    def lock_and_lose(descriptor):
        os.unlink(path)
        return lock_file(descriptor)

    monkeypatch.setattr(locks, "lock_file", lock_and_lose)
    assert take_lock(path, create=True) is None

    def lock_and_replace(descriptor):
        os.replace(path + ".other", path)
        return lock_file(descriptor)

    open(path + ".other", "w").close()
    monkeypatch.setattr(locks, "lock_file", lock_and_replace)
    assert take_lock(path, create=True) is None


def test_a_file_system_without_locks_says_so_and_leaves_nothing_open(path, monkeypatch):
    """A file system without locks raises ``OSError``, which differs from a lock that is held."""

    def no_locks(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl_module, "flock", no_locks)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="not supported"):
        take_lock(path, create=True)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_lock_dies_with_its_process(path, end):
    """A lock ends with its process, however that ends and whoever gets its process id."""
    process = start_python(HOLD, path)
    try:
        assert process.stdout.readline() == b"True\n"
        assert take_lock(path) is None
    finally:
        process.send_signal(end)
        process.communicate(timeout=30)
    again = take_lock(path)
    assert again is not None
    let_go(again)


FORKED = """
import os, signal, sys
from loguru_stdbridge.system.locks import let_go, take_lock

path = sys.argv[1]
held = take_lock(path, create=True)
ready = os.pipe()
child = os.fork()
if child == 0:
    let_go(held)  # the parent's: nothing of the child's own may be closed by it
    os.write(ready[1], b"refused" if take_lock(path) is None else b"taken")
    signal.pause()  # lives on
assert os.read(ready[0], 10) == b"refused"
print(child, flush=True)
signal.pause()
"""


def test_a_forked_child_does_not_hold_its_parent_s_lock(path):
    """A forked child neither releases its parent's lock nor keeps it when the parent is killed."""
    parent = start_python(FORKED, path)
    child = int(parent.stdout.readline())
    try:
        assert take_lock(path) is None
        parent.kill()
        parent.wait()
        after = take_lock(path)
        assert after is not None
        let_go(after)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


OPENING = """
import os, signal, sys, threading
from loguru_stdbridge.system import locks

path = sys.argv[1]
locked, go_on = threading.Event(), threading.Event()
lock_file = locks.lock_file

def slowly(descriptor):
    taken = lock_file(descriptor)
    locked.set()
    assert go_on.wait(30)
    return taken

locks.lock_file = slowly
opening = threading.Thread(target=locks.take_lock, args=(path,), kwargs={"create": True})
opening.start()
assert locked.wait(30)
os.register_at_fork(before=go_on.set)  # hooks run last first: after this one comes our own
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    signal.pause()
opening.join()
os.kill(os.getpid(), 9)
"""


def test_a_fork_in_the_middle_of_an_opening_does_not_take_the_lock_along(path):
    """A fork waits while another thread opens a lock file, and the child lets go of it."""
    parent = start_python(OPENING, path)
    child = int(parent.stdout.readline())
    try:
        assert parent.wait(30) == -signal.SIGKILL
        after = take_lock(path)
        assert after is not None
        let_go(after)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


def test_letting_go_twice_is_harmless(path):
    """A second ``let_go`` leaves alone the file that has the descriptor number by then."""
    first = take_lock(path, create=True)
    let_go(first)
    other = os.open(path, os.O_RDONLY)
    assert other == first
    let_go(first)
    assert is_file_at(other, path)
    os.close(other)


def test_a_closed_descriptor_is_at_no_path(path):
    """``is_file_at`` returns False for a closed descriptor."""
    descriptor = take_lock(path, create=True)
    let_go(descriptor)
    assert not is_file_at(descriptor, path)


def test_threads_take_turns(path):
    """Exactly one of many threads that ask at once gets the lock."""
    for _ in range(20):
        start, found = threading.Barrier(8), []

        def ask(start=start, found=found):
            start.wait()
            found.append(take_lock(path, create=True))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (holder,) = [descriptor for descriptor in found if descriptor is not None]
        let_go(holder)
