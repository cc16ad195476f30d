"""Files of our own: written in place, by either call, and never once the descriptor is another's."""

from __future__ import annotations

import gc
import os

import pytest

from loguru_stdbridge.system import own_file
from loguru_stdbridge.system.locks import is_locked
from loguru_stdbridge.system.own_file import OwnFile, freshen, open_to_read, read_at
from tests.support.processes import run_python


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


@pytest.fixture(params=["keeps the lock", "lets it go"])
def file(request, path, monkeypatch):
    """A file, written by the call that keeps the interpreter's lock, or by the other one."""
    made = OwnFile.make(path)
    assert own_file._locking_pwrite is not None
    if request.param == "lets it go":
        monkeypatch.setattr(own_file, "_locking_pwrite", None)
    yield made
    made.close()


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_bytes_are_written_where_they_belong(file, path):
    """Each write goes to its offset, over what is there or behind it, with any byte in it."""
    data = bytes(range(256)) * 10
    assert file.write(data, 0) == len(data)
    assert file.write(b"\0x\0", 100) == 3
    assert file.write(b"end", 5000) == 3
    assert content(path) == (data[:100] + b"\0x\0" + data[103:]).ljust(5000, b"\0") + b"end"
    assert file.read(5, 4999) == b"\0end"
    file.cut(4)
    assert content(path) == data[:4]


def test_a_file_is_made_once_for_its_user_and_locked(file, path):
    """Nobody else opens it by accident, and whoever asks is told that its owner lives."""
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert is_locked(path)
    with pytest.raises(FileExistsError):
        OwnFile.make(path)
    with pytest.raises(OSError, match="has locked it"):
        OwnFile.reopen(path)
    file.close()
    assert not is_locked(path)
    again = OwnFile.reopen(path)
    assert is_locked(path)
    again.close()


def test_a_link_is_not_followed(path, tmp_path):
    """Whoever may put one there has no say in what is written."""
    (tmp_path / "target").write_text("theirs")
    os.symlink("target", path)
    with pytest.raises(OSError, match="link"):
        OwnFile.reopen(path)
    with pytest.raises(OSError, match="link"):
        open_to_read(path)
    with pytest.raises(FileExistsError):
        OwnFile.make(path)


LIMITED = """
import resource, sys
from loguru_stdbridge.system import own_file
from loguru_stdbridge.system.own_file import OwnFile
file = OwnFile.make(sys.argv[1])
if sys.argv[2] == "lets it go":
    own_file._locking_pwrite = None
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print(file.write(b"x" * 600, 0), file.write(b"y" * 600, 600), end=" ")
try:
    file.write(b"z", 1000)
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("call", ["keeps the lock", "lets it go"])
def test_a_file_that_takes_no_more_is_a_short_count_and_then_an_error(path, call):
    """A limit of the system's is told by its own number, whichever call has met it."""
    status, out, err = run_python(LIMITED, path, call)
    assert (status, out) == (0, "600 400 27\n"), err


def test_a_write_at_an_offset_beyond_an_int_of_c_is_right(file, path):
    """The call that keeps the lock takes numbers as ints: beyond them the other one is used."""
    assert file.write(b"far", (1 << 32) + 5) == 3
    assert os.stat(path).st_size == (1 << 32) + 8
    assert file.read(10, (1 << 32) + 4) == b"\0far"


# -- whose the descriptor is


def test_a_closed_descriptor_is_an_error(file):
    """Nothing is written, nothing is cut, and closing it again closes nobody else's."""
    os.close(file.descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write(b"x", 0)
    assert not file.is_ours()
    assert not file.is_intact()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.duplicate()
    file.close()


def test_a_descriptor_that_is_another_file_s_is_left_alone(file, path, tmp_path):
    """It is neither written to, nor cut, nor closed."""
    other = tmp_path / "other"
    other.write_bytes(b"theirs")
    number = file.descriptor
    with open(other, "r+b") as theirs:
        os.dup2(theirs.fileno(), number)
        with pytest.raises(OSError, match="another file's now"):
            file.write(b"x" * 100, 0)
        file.cut(1)
        assert not file.is_ours()
        file.close()
        os.close(number)
    assert other.read_bytes() == b"theirs"
    assert content(path) == b""


def test_two_files_of_our_own_are_told_apart(tmp_path):
    """The number of one that somebody closed goes to the next one that is made."""
    first = OwnFile.make(str(tmp_path / "first"))
    os.close(first.descriptor)
    second = OwnFile.make(str(tmp_path / "second"))
    assert second.descriptor == first.descriptor
    with pytest.raises(OSError, match="another file's now"):
        first.write(b"x", 0)
    first.close()
    assert second.write(b"mine", 0) == 4
    second.close()


def test_what_has_become_of_a_file_is_seen(file, path):
    """Cut, removed, or replaced by another: the descriptor alone would not tell."""
    file.write(b"x" * 100, 0)
    assert file.is_intact(100)
    assert not file.is_intact(101)
    os.truncate(path, 50)
    assert not file.is_intact(100)
    os.rename(path, f"{path}.other")
    assert not file.is_intact()
    assert file.is_linked()
    open(path, "w").close()
    assert not file.is_intact()
    os.unlink(f"{path}.other")
    assert not file.is_linked()
    assert file.is_ours()
    descriptor = file.duplicate()
    assert file.has(descriptor)
    assert read_at(descriptor, 100, 0) == b"x" * 50
    os.close(descriptor)


def test_a_file_that_is_kept_nowhere_is_closed_by_the_next_one(tmp_path):
    """An exception came between its making and its place."""
    number = OwnFile.make(str(tmp_path / "lost")).descriptor
    gc.collect()
    OwnFile.make(str(tmp_path / "next")).close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


def test_a_file_that_cannot_be_locked_leaves_nothing(path, monkeypatch):
    """Neither a descriptor nor a file."""

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(own_file, "lock_file", fail)
    with pytest.raises(OSError, match="Input/output"):
        OwnFile.make(path)
    assert not os.path.exists(path)


def test_a_file_system_without_locks_is_used_all_the_same(path, monkeypatch):
    """The journal's lock file is what decides there."""

    def unsupported(descriptor):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(own_file, "lock_file", unsupported)
    file = OwnFile.make(path)
    assert file.write(b"x", 0) == 1
    file.close()


# -- which call


def test_without_ctypes_the_system_s_call_is_used(path, monkeypatch):
    """Some builds of Python have none, and some systems do not let it work."""
    monkeypatch.setattr(own_file, "_looked_for", False)
    monkeypatch.setattr(own_file, "_locking_pwrite", None)
    monkeypatch.setitem(__import__("sys").modules, "ctypes", None)
    file = OwnFile.make(path)
    assert own_file._locking_pwrite is None
    assert file.write(b"row", 0) == 3
    file.close()
    assert content(path) == b"row"


def test_a_call_that_does_not_do_what_it_should_is_not_used(path, monkeypatch):
    """It is tried once, with the first file: a platform that takes numbers in another way is seen."""
    import ctypes

    class Library:
        def __init__(self, name):
            self.pwrite = lambda descriptor, data, size, offset: os.pwrite(descriptor, data, 0)
            self.pwrite = Call(self.pwrite)

    class Call:
        def __init__(self, function):
            self.function = function

        def __call__(self, *arguments):
            return self.function(*arguments)

    monkeypatch.setattr(own_file, "_looked_for", False)
    monkeypatch.setattr(own_file, "_locking_pwrite", None)
    monkeypatch.setattr(ctypes, "PyDLL", Library)
    file = OwnFile.make(path)
    assert own_file._locking_pwrite is None
    assert content(path) == b""
    file.close()


def test_after_a_slow_write_the_interpreter_s_lock_is_let_go(path, monkeypatch):
    """A disk that makes writers wait holds up the log call, and no other thread."""
    file = OwnFile.make(path)
    clock, calls = [0.0], []

    def locking(descriptor, data, size, offset):
        calls.append("keeps the lock")
        clock[0] += 0.001 if offset else 0.2
        return os.pwrite(descriptor, data, offset)

    def letting_go(descriptor, data, offset):
        calls.append("lets it go")
        return os.pwrite(descriptor, data, offset)

    monkeypatch.setattr(own_file, "_monotonic", lambda: clock[0])
    monkeypatch.setattr(own_file, "_lock_free_until", 0.0)
    monkeypatch.setattr(own_file, "_locking_pwrite", locking)
    monkeypatch.setattr(own_file, "_pwrite", letting_go)
    for offset in (8, 0, 8, 16):
        assert file.write(b"12345678", offset) == 8
    clock[0] += own_file.CALM
    file.write(b"12345678", 24)
    assert calls == [
        "keeps the lock",
        "keeps the lock",
        "lets it go",
        "lets it go",
        "keeps the lock",
    ]
    file.close()


def test_no_descriptor_is_left_in_a_child(path):
    """A child closes its copy, and the parent's file is as it was."""
    file = OwnFile.make(path)
    child = os.fork()
    if child == 0:
        file.close()
        os._exit(0 if is_locked(path) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert file.write(b"x", 0) == 1
    file.close()


def test_times_are_set_only_where_they_are_old(path, tmp_path):
    """What was changed lately needs no second change, and what is not there is no error."""
    (tmp_path / "file").write_text("")
    for age, changes in ((10.0, False), (100.0, True), (-100.0, True)):
        at = os.stat(path).st_ctime - age
        os.utime(path, (at, at))
        freshen(path, 30.0)
        assert (os.stat(path).st_mtime != at) == changes
    freshen(str(tmp_path / "absent"), 30.0)


def test_a_file_that_gets_the_number_of_one_being_closed_stays_ours(tmp_path, monkeypatch):
    """A file that another thread opens while one is closed keeps the number that it got."""
    first, made = OwnFile.make(str(tmp_path / "first")), []
    close = os.close

    def close_and_open(descriptor):
        close(descriptor)
        monkeypatch.setattr(os, "close", close)
        made.append(OwnFile.make(str(tmp_path / "second")))

    monkeypatch.setattr(os, "close", close_and_open)
    number = first.descriptor
    first.close()
    (second,) = made
    assert second.descriptor == number
    assert second.write(b"row", 0) == 3
    second.close()
    assert not is_locked(str(tmp_path / "second"))
