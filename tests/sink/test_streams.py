"""A stream gets each line once, whatever its reader does, and any number of receivers have streams."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import socket
import threading
import time
import tty
from collections import Counter

import pytest

from loguru_stdbridge.exceptions import ConfigurationError, SinkError
from loguru_stdbridge.sink import streams
from loguru_stdbridge.sink.blocks import Block
from loguru_stdbridge.sink.streams import (
    PIECE,
    Stream,
    StreamSink,
    find_stream,
    open_stream_ledger,
)
from tests.support.parameters import name_of
from tests.support.stepwise import kills

A, B = "a" * 32, "b" * 32
F_SETPIPE_SZ = 1031  # the fcntl module has it from Python 3.10 on


class Pipe:
    """A pipe with a sink at its end, and what was read of it so far."""

    def __init__(self, directory, *, size=None):
        self.directory = directory
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        if size is not None:
            fcntl.fcntl(self.writer, F_SETPIPE_SZ, size)
        self.told = []
        self.open()

    def open(self):
        self.stream = Stream("/dev/stdout", self.writer, "/dev/stdout")
        self.ledger = open_stream_ledger(self.directory, self.stream, "", self.told.append)
        self.sink = StreamSink(self.stream, self.ledger)

    def read(self):
        """Return what is in the pipe."""
        chunks = []
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.reader, 1 << 16):
                chunks.append(chunk)
        return b"".join(chunks)

    def close(self):
        self.sink.close()
        self.ledger.close()
        for descriptor in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe(tmp_path):
    made = Pipe(tmp_path)
    yield made
    made.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(streams, "READER_TIMEOUT", 0.02)


def test_lines_go_to_the_pipe_in_order(pipe):
    """A pipe gets the lines of all blocks in order, and the ledger knows the last of each sender."""
    blocks = [
        Block(A, 1, ["one\n", "", "tw\u00f6\n"], []),
        Block(None, 0, ["stranger\n"], []),
        Block(B, 7, ["seven\n"], []),
    ]
    assert pipe.sink.write(blocks) == 5
    assert pipe.read().decode() == "one\ntw\u00f6\nstranger\nseven\n"
    assert (pipe.ledger.last(A), pipe.ledger.last(B)) == (3, 7)
    assert pipe.sink.path == "/dev/stdout"


def test_a_piece_has_whole_lines_of_what_a_pipe_takes_at_once(pipe, monkeypatch):
    """Each write has whole lines and at most a pipe's atomic size, but for a longer line."""
    written, real = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(bytes(data)) or real(fd, data))
    texts = [f"{number} " + "x" * (number * 37 % 900) + "\n" for number in range(60)]
    texts.insert(30, "long" * 2000 + "\n")
    assert pipe.sink.write([Block(A, 1, texts[:40], []), Block(B, 1, texts[40:], [])]) == 61
    assert b"".join(written).decode() == "".join(texts)
    assert max(map(len, written)) <= PIECE
    assert sum(not data.endswith(b"\n") for data in written) == 1
    assert (pipe.ledger.last(A), pipe.ledger.last(B)) == (40, 21)


def test_a_reader_that_stops_for_a_while_gets_each_line_once(tmp_path, impatient):
    """A full pipe is an error that says so; later writes go on in the middle of the line."""
    pipe = Pipe(tmp_path, size=PIECE)
    texts = [f"{number:03} " + "x" * 6000 + "\n" for number in range(20)]
    block, got, errors = Block(A, 1, texts, []), b"", 0
    while block.texts:
        try:
            block = block.rest(pipe.sink.write([block]))
        except SinkError as error:
            errors += 1
            assert "nobody has read it" in str(error)
            block = block.rest(error.written)
            assert pipe.ledger.last(A) == 20 - len(block.texts)
            got += pipe.read()
    pipe.sink.close()
    got += pipe.read()
    assert got.decode() == "".join(texts)
    assert errors > 10
    pipe.close()


def test_a_slow_reader_is_waited_for(tmp_path):
    """A pipe that is read slowly takes everything without an error."""
    pipe = Pipe(tmp_path, size=PIECE)
    os.set_blocking(pipe.reader, True)
    got = []

    def read():
        while sum(map(len, got)) < 200_000:
            got.append(os.read(pipe.reader, 1000))

    reader = threading.Thread(target=read)
    reader.start()
    assert pipe.sink.write([Block(A, 1, ["x" * 99 + "\n"] * 2000, [])]) == 2000
    reader.join()
    pipe.close()


def test_a_reader_that_is_gone_is_an_error(pipe):
    """A closed pipe is told, and nothing counts as written."""
    os.close(pipe.reader)
    with pytest.raises(SinkError, match=r"/dev/stdout.*Broken pipe") as caught:
        pipe.sink.write([Block(A, 1, ["one\n"], [])])
    assert caught.value.written == 0
    assert pipe.ledger.last(A) == 0


def test_a_named_pipe_may_get_its_reader_later_and_another_one(tmp_path, impatient):
    """A named pipe is written as soon as it has a reader, and again when it has the next one."""
    os.mkfifo(tmp_path / "fifo")
    stream = find_stream(tmp_path / "fifo")
    ledger = open_stream_ledger(tmp_path, stream)
    sink = StreamSink(stream, ledger)
    block = Block(A, 1, ["one\n", "two\n"], [])
    for number in (1, 2):
        with pytest.raises(SinkError):
            sink.write([block])
        reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        assert sink.write([block]) == 2
        assert os.read(reader, 100) == b"one\ntwo\n"
        assert ledger.last(A) == 2
        if number == 1:
            sink.reopen()
            assert sink.write([block]) == 2
        os.close(reader)
    sink.close()
    ledger.close()


def test_a_terminal_and_a_socket_are_streams(tmp_path):
    """Lines go to a terminal, and to a socket as service managers give it for standard output."""
    leader, follower = pty.openpty()
    tty.setraw(follower)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for descriptor, reader in ((follower, leader), (ours.fileno(), theirs.fileno())):
            stream = Stream("-", descriptor, "-")
            ledger = open_stream_ledger(tmp_path, stream, str(descriptor))
            sink = StreamSink(stream, ledger)
            sink.write([Block(A, 1, ["line\n"], [])])
            assert os.read(reader, 100) == b"line\n"
            sink.close()
            ledger.close()
    os.close(leader)
    os.close(follower)


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": "1 MB"},
        {"retention": 3},
        {"compression": "gz"},
        {"fsync": True},
        {"delay": True},
    ],
    ids=name_of,
)
def test_words_for_files_are_refused(pipe, options):
    """A rotation and the like are refused with the stream's name and the way out."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"{name}=.*/dev/stdout is a stream.*name a file"):
        StreamSink(pipe.stream, pipe.ledger, **options)


# -- what is a stream


def test_streams_are_known_by_name_and_by_what_they_are(tmp_path):
    """Standard output is a stream by each of its names; so is what is no file, through links too."""
    for name, descriptor in (("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/7", 7)):
        assert find_stream(name) == Stream(name, descriptor, name)
    assert find_stream("-") == Stream("standard output", 1, "-")
    assert find_stream("/proc/self/fd/12").descriptor == 12
    (tmp_path / "app.log").symlink_to("/dev/stdout")
    (tmp_path / "link.log").symlink_to("app.log")
    found = find_stream(tmp_path / "link.log")
    assert (found.name, found.descriptor) == (str(tmp_path / "link.log"), 1)
    os.mkfifo(tmp_path / "fifo")
    assert find_stream(tmp_path / "fifo").descriptor is None
    assert find_stream(os.devnull).path == os.devnull


def test_files_are_no_streams(tmp_path):
    """A file, a directory, a broken link, a circle of links and what is not there are no streams."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for name in ("file", "link", "broken", "one", ".", "absent", "absent/{time}.log"):
        assert find_stream(tmp_path / name) is None, name


# -- the ledger


def test_the_next_receiver_has_the_ledger_of_the_last(tmp_path):
    """The same stream and command have the same ledger again; others have ones of their own."""
    pipe = Pipe(tmp_path)
    pipe.sink.write([Block(A, 1, ["one\n"], [])])
    identity = pipe.ledger.log_id
    beside = open_stream_ledger(tmp_path, pipe.stream)
    other = open_stream_ledger(tmp_path, pipe.stream, "another command")
    assert len({identity, beside.log_id, other.log_id}) == 3
    pipe.ledger.close()
    again = open_stream_ledger(tmp_path, pipe.stream)
    assert (again.log_id, again.last(A)) == (identity, 1)
    for ledger in (beside, other, again):
        ledger.close()
    pipe.close()
    assert {path.suffix for path in tmp_path.iterdir()} == {".ledger", ".lock"}
    assert len(list(tmp_path.iterdir())) == 6


def test_ledgers_that_nobody_needs_any_more_are_removed(tmp_path):
    """A ledger that was not used for long goes at the next start; one in use stays."""
    pipe = Pipe(tmp_path)
    gone = open_stream_ledger(tmp_path, pipe.stream, "gone")
    gone.close()
    old = time.time() - streams.MAX_SILENCE - 1
    for path in tmp_path.glob(".*.ledger"):
        os.utime(path, (old, old))
    other = open_stream_ledger(tmp_path, pipe.stream, "other")
    left = {path.name for path in tmp_path.glob(".*.ledger")}
    assert left == {pipe.ledger.path.name, other.path.name}
    other.close()
    pipe.close()


# -- killed

ROWS = [f"line {number:02} " + "x" * 600 + "\n" for number in range(14)]


def test_whatever_step_a_kill_stops_at_no_line_is_there_twice(memory_path):
    """A kill at any step doubles nothing, and loses no more than the piece in hand, which is told."""
    (memory_path / "runs").mkdir()

    def scenario(directory):
        os.set_inheritable(pipe.writer, True)
        ledger = open_stream_ledger(directory, pipe.stream)
        sink = StreamSink(pipe.stream, ledger)
        for start in range(0, len(ROWS), 7):
            sink.write([Block(A, start + 1, ROWS[start : start + 7], [])])
        sink.close()
        ledger.close()

    pipe = Pipe(memory_path)
    in_doubt = 0
    for place in kills(scenario, memory_path / "runs"):
        got, told = pipe.read(), []
        ledger = open_stream_ledger(place, pipe.stream, "", told.append)
        sink = StreamSink(pipe.stream, ledger)
        last = ledger.last(A)
        sink.write([Block(A, last + 1, ROWS[last:], [])])
        got += pipe.read()
        counts = Counter(got.decode().splitlines(keepends=True))
        assert max(counts.values()) == 1
        lost = [row for row in ROWS if row not in counts]
        assert len(lost) <= (PIECE // len(ROWS[0]) if told else 0), place
        in_doubt += bool(told)
        assert all("it is not known" in text and "/dev/stdout" in text for text in told)
        sink.close()
        ledger.close()
    assert in_doubt > 5
    pipe.close()


def test_a_stream_that_was_idle_leaves_no_doubt(pipe):
    """A kill between two writes is not told: everything was taken."""
    pipe.sink.write([Block(A, 1, ["one\n"], [])])
    pipe.ledger._only_writer.release()
    pipe.ledger.after_fork_in_child()
    pipe.sink.close()
    pipe.open()
    assert pipe.ledger.last(A) == 1
    assert pipe.told == []


def test_a_ledger_on_a_full_disk_stops_the_stream(pipe, monkeypatch):
    """A piece whose intent cannot be noted is not sent."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SinkError, match="No space"):
        pipe.sink.write([Block(A, 1, ["one\n"], [])])
    monkeypatch.undo()
    assert pipe.read() == b""
    assert pipe.sink.write([Block(A, 1, ["one\n"], [])]) == 1
