"""Every fork is noticed, also one of which Python's hooks know nothing."""

from __future__ import annotations

import ctypes
import os
import sys
import types

import pytest

from loguru_stdbridge.system import forks as module
from loguru_stdbridge.system.forks import (
    drop_in_children,
    is_fork_ahead,
    notice_fork,
    process_mark,
)


class Holder:
    """Counts how often it was told to drop what is the parent's."""

    def __init__(self):
        self.drops = 0
        drop_in_children(self)

    def after_fork_in_child(self):
        self.drops += 1


def in_child(fork, check):
    """Return the exit status of a child, made by ``fork``, that calls ``check``."""
    child = fork()
    if child == 0:
        status = 255
        try:
            status = check()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] >> 8


def plain_fork():
    """Fork as C programs do."""
    return ctypes.PyDLL(None).fork()


@pytest.fixture(params=["page", "process id"])
def mark(request, monkeypatch):
    """Use the mark of a page, where the system has it, or of the process id."""
    if request.param == "process id":
        mark = module._ProcessIdMark()
        mark[0] = 1
        monkeypatch.setattr(module, "process_mark", mark)
    return module.process_mark


def test_a_fork_with_hooks_drops_once(mark):
    """``os.fork`` has each holder drop once, and the mark is set again."""
    holder = Holder()
    assert in_child(os.fork, lambda: 10 * mark[0] + holder.drops) == 11
    assert (mark[0], holder.drops) == (1, 0)


def test_a_fork_without_hooks_shows_in_the_mark(mark):
    """A child of a plain ``fork`` finds the mark unset, and sets it when all was dropped."""
    holder = Holder()

    def check():
        unset = not mark[0] and not holder.drops
        notice_fork()
        return 100 * unset + 10 * mark[0] + holder.drops

    assert in_child(plain_fork, check) == 111
    assert (mark[0], holder.drops) == (1, 0)


def test_a_child_of_a_child_notices_its_own_fork(mark):
    """The mark of a child that has noticed its fork is unset in that child's children."""

    def check():
        notice_fork()
        return in_child(plain_fork, lambda: 7 + mark[0])

    assert in_child(plain_fork, check) == 7


def test_a_log_call_in_the_middle_of_the_dropping_drops_all(mark):
    """A signal handler that logs meanwhile gets it done, and nothing is dropped again after it."""
    first, second, interruptions = Holder(), Holder(), []
    for holder in (first, second):
        original = holder.after_fork_in_child

        def interrupted(original=original):
            original()
            if not interruptions:
                interruptions.append(original)
                notice_fork()

        holder.after_fork_in_child = interrupted
    mark[0] = 0 if not isinstance(mark, module._ProcessIdMark) else 1
    if isinstance(mark, module._ProcessIdMark):
        mark._process = -1
    notice_fork()
    assert mark[0] == 1
    assert interruptions and sorted([first.drops, second.drops]) in ([1, 1], [1, 2])


def test_the_mark_is_a_wiped_page_on_linux():
    """Linux has the page, which costs a log call less than the process id."""
    assert isinstance(process_mark, module._ProcessIdMark) == (sys.platform != "linux")


@pytest.mark.parametrize(
    ("worker", "mule", "master", "ahead"),
    [
        (0, 0, os.getpid(), True),  # the master, while it imports the application
        (0, 0, 0, True),  # without a master: what becomes the first worker
        (1, 0, os.getpid() + 1, False),
        (1, 0, 0, False),
        (0, 1, os.getpid() + 1, False),
        (0, 0, os.getpid() + 1, False),  # a spooler
    ],
    ids=["master", "no master", "worker", "worker without master", "mule", "spooler"],
)
def test_the_fork_of_uwsgi_is_ahead_in_its_master(monkeypatch, worker, mule, master, ahead):
    """uWSGI's master forks after the import of the application; its children do not."""
    uwsgi = types.SimpleNamespace(
        worker_id=lambda: worker, mule_id=lambda: mule, masterpid=lambda: master
    )
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    assert is_fork_ahead() == ahead


def test_no_fork_is_ahead_elsewhere(monkeypatch):
    """Programs that are not uWSGI are taken for what they are."""
    monkeypatch.delitem(sys.modules, "uwsgi", raising=False)
    assert not is_fork_ahead()
    monkeypatch.setitem(sys.modules, "uwsgi", types.ModuleType("uwsgi"))
    assert not is_fork_ahead()
