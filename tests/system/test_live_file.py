"""A file that is believed only while the process that wrote it lives."""

from __future__ import annotations

import os
import signal

import pytest

from loguru_stdbridge.system.live_file import LiveFile
from tests.support.processes import start_python


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ready"


def test_the_file_is_there_until_it_is_removed(path):
    """The writer's file appears whole, others may read it, and it is gone at the end."""
    file = LiveFile(path)
    file.write("tcp://127.0.0.1:1\n")
    assert path.read_text() == "tcp://127.0.0.1:1\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["ready"]
    file.remove()
    assert os.listdir(path.parent) == []
    file.remove()


def test_a_file_of_a_living_writer_stays(path):
    """Another process that would begin with the same file does not remove a living one's."""
    file = LiveFile(path)
    file.write("first")
    LiveFile(path).remove_old()
    assert path.read_text() == "first"
    file.remove()


WRITER = """
import signal, sys
from loguru_stdbridge.system.live_file import LiveFile
file = LiveFile(sys.argv[1])
file.write("of a killed one")
print("written", flush=True)
signal.pause()
"""


def test_the_file_of_a_killed_writer_is_removed(path):
    """A file without a lock is from before."""
    writer = start_python(WRITER, path)
    assert writer.stdout.readline() == b"written\n"
    LiveFile(path).remove_old()
    assert path.exists()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert path.read_text() == "of a killed one"
    LiveFile(path).remove_old()
    assert not path.exists()


def test_the_file_of_a_successor_stays(path):
    """A writer that ends leaves alone what another one has put in its place."""
    first, second = LiveFile(path), LiveFile(path)
    first.write("first")
    second.write("second")
    first.remove()
    assert path.read_text() == "second"
    second.remove()


def test_without_a_file_there_is_nothing_to_remove(path):
    """No file, and something that is no file, are passed over."""
    LiveFile(path).remove_old()
    path.mkdir()
    LiveFile(path).remove_old()
    assert path.is_dir()


def test_a_file_that_cannot_be_written_leaves_nothing(path):
    """The error says why, and no part of the file is left."""
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        LiveFile(path).write("text")
    assert os.listdir(path.parent) == ["ready"]
