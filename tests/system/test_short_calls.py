"""Calls on files that keep the interpreter's lock: they do what Python's own functions do."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from loguru_stdbridge.system import short_calls
from loguru_stdbridge.system.locks import LET_GO, TAKE_NOW
from loguru_stdbridge.system.short_calls import CALM, NOWHERE, ShortCalls


@pytest.fixture(params=["short", "python's own"])
def calls(request, monkeypatch):
    made = ShortCalls()
    if request.param != "short":
        monkeypatch.setattr(sys, "platform", "another")
    made.find()
    return made


@pytest.fixture
def file(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


def test_a_look_tells_what_is_at_the_path(calls, file, tmp_path):
    """A look at a path gives the state of the open file until another one is there."""
    look = calls.make_look(str(tmp_path / "file"))
    assert look() == calls.state_of(os.fstat(file))
    assert calls.write(file, b"12345", 5) == 5
    assert look() == calls.state_of(os.fstat(file))
    assert look()[1] == 5
    os.rename(tmp_path / "file", tmp_path / "other")
    assert look() == NOWHERE
    (tmp_path / "file").touch()
    assert look() not in (NOWHERE, calls.state_of(os.fstat(file)))


def test_a_name_that_is_no_text_is_looked_at(calls, tmp_path):
    """A path with bytes that are no UTF-8 is the path that Python opens."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    with open(path, "wb") as file:
        file.write(b"123")
    assert calls.make_look(path)() == calls.state_of(os.stat(path))


def test_a_lock_is_refused_while_another_has_it(calls, file, tmp_path):
    """A lock that another open file has is refused at once, and free when it is let go."""
    other = os.open(tmp_path / "file", os.O_RDWR)
    assert calls.change_lock(file, TAKE_NOW) == 0
    assert calls.change_lock(other, TAKE_NOW) == -1
    assert calls.change_lock(file, LET_GO) == 0
    assert calls.change_lock(other, TAKE_NOW) == 0
    os.close(other)
    assert calls.change_lock(other, TAKE_NOW) == -1


def test_after_a_slow_line_the_interpreter_s_lock_is_let_go_for_a_while(calls):
    """A line that took long has the next ones written by Python's own function."""
    quick = calls.write
    calls.note_slow(100.0)
    assert calls.write is short_calls._write
    calls.look_up(100.0 + CALM - 1)
    assert calls.write is short_calls._write
    calls.look_up(100.0 + CALM)
    assert calls.write is quick


@pytest.mark.skipif(sys.platform != "linux", reason="Python's own functions are used elsewhere")
def test_linux_has_the_short_calls():
    """The C library of this system has the functions, and they work."""
    made = ShortCalls()
    made.find()
    assert made.write is not short_calls._write


def test_a_look_at_a_descriptor_tells_when_its_number_is_another_s(calls, tmp_path):
    """A look at an open file or socket sees that it was closed, and that another has its number."""
    ends = socket.socketpair()
    number = ends[0].detach()
    look = calls.make_look(number)
    first = look()
    assert first == calls.state_of(os.fstat(number))
    os.close(number)
    assert look() == NOWHERE
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.dup2(other, number)
    assert look() not in (NOWHERE, first)
    for descriptor in {other, number}:
        os.close(descriptor)
    ends[1].close()
