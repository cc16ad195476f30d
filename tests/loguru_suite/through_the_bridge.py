"""Sends what Loguru's own tests log through a bridge and a receiver; a plugin of pytest.

Loaded beside the tests of a checkout of Loguru, where the package ``tests`` is Loguru's. So it
imports nothing of ours but ``loguru_stdbridge``. ``tests/loguru_suite/__init__.py`` says how it is run.

Each sink that takes text alone (a path, the tests' ``writer``, a stream) becomes a receiver of its
own in this process, and a bridge to it, with the options divided between the two. The text that
arrives in the receiver's file is handed to the sink. The tests look at once, so each log call waits
until its record is written and its file is compressed. The files that only a receiver has are
hidden from the tests.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from typing import Any

import loguru
from loguru import logger

import loguru_stdbridge
from loguru_stdbridge import ConfigurationError
from loguru_stdbridge.sink.archive import Archiver
from loguru_stdbridge.sink.internals import private_loguru
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.direct_handler import stand_before
from loguru_stdbridge.worker.loguru_sink import BridgeSink
from loguru_stdbridge.worker.options import check_options

OUTCOMES = "BRIDGE_SUITE_OUTCOMES"
"""The variable that names the file for the outcomes of the tests."""

BRIDGED = "BRIDGE_SUITE"
"""The variable that has the tests, and the scripts that they run, log through a bridge."""

WAIT = 20.0
"""Seconds for one record to arrive."""

_RENDERED_BY_WORKER = ("backtrace", "diagnose")
_MEANT_FOR_LOCAL_SINKS = ("catch", "enqueue", "context", "loop")
_CROSS_PROCESSES = ("test_pickling.py", "test_multiprocessing.py")
"""Tests that hand a handler to another process, where a receiver does not go."""

_OF_A_RECEIVER = re.compile(r"\..*\.(ledger|lock|compressing|closing|receiver)(\..*)?")
_CALLED_LATER = ("loguru_stdbridge.worker", "loguru_stdbridge.receiver", "loguru_stdbridge.wire",
                 "loguru_stdbridge.spool", "loguru_stdbridge.system")  # fmt: skip

_add, _remove = loguru._logger.Logger.add, loguru._logger.Logger.remove  # type: ignore[attr-defined]
_listing = {name: getattr(pathlib.Path, name) for name in ("iterdir", "glob", "rglob")}
_bridges: dict[int, _Bridge] = {}
_numbers = {"bridged": 0}


class _Bridge:
    """One sink of a test: a receiver, a bridge to it, and what takes the text."""

    def __init__(self, sink: Any, options: dict[str, Any]) -> None:
        self._place = tempfile.mkdtemp(prefix="loguru-suite-")
        atexit.register(shutil.rmtree, self._place, ignore_errors=True)  # a script closes nothing
        self._sink = sink
        is_path = isinstance(sink, (str, os.PathLike))
        self._file = pathlib.Path(os.path.join(self._place, "out.log"))
        given = {name: value for name, value in options.items() if name in _RENDERED_BY_WORKER}
        told = {
            name: value
            for name, value in options.items()
            if name not in given and name not in _MEANT_FOR_LOCAL_SINKS
        }
        told.setdefault("format", loguru._defaults.LOGURU_FORMAT)
        if not is_path:
            told["encoding"] = getattr(sink, "encoding", None) or "utf8"
            if isinstance(sink, _Stream):
                told["encoding"] = sink.encoding
            if not isinstance(told["encoding"], str):
                told["encoding"] = "ascii"
        elif not os.path.exists(sink):
            told.pop("mode", None)  # to a file that is new, all modes do the same
        self._encoding = told.get("encoding", "utf8")
        try:
            self._receiver = loguru_stdbridge.start_receiver(
                sink if is_path else self._file,
                address=f"unix://{self._place}/socket", spool_dir=False, **told,
            )  # fmt: skip
        except ConfigurationError as error:
            shutil.rmtree(self._place, ignore_errors=True)
            raise error.__cause__ or error from None  # loguru's own, where it is loguru's
        except BaseException:
            shutil.rmtree(self._place, ignore_errors=True)
            raise
        try:
            self._channel = Channel(
                check_options(self._receiver.address, spool_dir=f"{self._place}/spool")
            )
            self.bridge = BridgeSink(self._channel)
            self._channel.add_user(self.bridge)
            level = told.get("level", loguru._defaults.LOGURU_LEVEL)  # as once it is told
            self.id = self.bridge.add_to_loguru(level, **given)
        except BaseException:
            self._receiver.stop()
            shutil.rmtree(self._place, ignore_errors=True)
            raise
        core = logger._core  # type: ignore[attr-defined]
        handler = core.handlers[self.id]
        name = getattr(sink, "name", None) or getattr(sink, "__name__", None) or repr(sink)
        handler._name = f"'{sink}'" if is_path else name
        self._inner = stand_before(handler, self.bridge)
        self.bridge.is_first = True
        core.handlers = {**core.handlers, self.id: self}
        self._taken = 0
        self._is_path = is_path

    def emit(self, *arguments: Any) -> None:
        """Stand where loguru has a handler; hand the text on when it has arrived."""
        self._inner.emit(*arguments)
        assert self._channel.flush(WAIT), "a record has not arrived"
        _await_compressions()
        self._hand_on()

    def __repr__(self) -> str:
        return repr(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def _hand_on(self) -> None:
        if self._is_path or not self._file.exists():
            return
        data = self._file.read_bytes()
        text = data[self._taken :].decode(self._encoding)
        self._taken = len(data)
        if text:
            self._sink(text) if callable(self._sink) else self._sink.write(text)
            if hasattr(self._sink, "flush"):
                self._sink.flush()

    def close(self) -> None:
        self._channel.flush(WAIT)
        self._channel.close(WAIT)
        self.bridge.is_detached = True
        self._receiver.stop()
        self._hand_on()
        shutil.rmtree(self._place, ignore_errors=True)


class _Stream:
    """What a stream is for :func:`_takes_text`; for the type checker."""

    encoding: Any = None


def _takes_text(sink: Any) -> bool:
    """Return whether a sink looks at nothing but the text."""
    if isinstance(sink, (str, os.PathLike)):
        return True
    if inspect.isfunction(sink):
        return hasattr(sink, "written")  # the tests' own fixture
    return sink is sys.__stderr__ or sink is sys.__stdout__


def _bridging_add(self: Any, sink: Any, **options: Any) -> int:
    """Stand in for ``logger.add``."""
    ours = self._core is logger._core  # type: ignore[attr-defined]
    if not ours or isinstance(sink, logging.Handler) or not _takes_text(sink):
        return _add(self, sink, **options)
    caller = os.path.basename(sys._getframe(1).f_code.co_filename)
    if options.get("enqueue") or "loop" in options or caller in _CROSS_PROCESSES:
        return _add(self, sink, **options)
    made = _Bridge(sink, options)
    _bridges[made.id] = made
    _numbers["bridged"] += 1
    return made.id


def _bridging_remove(self: Any, handler_id: int | None = None) -> None:
    """Stand in for ``logger.remove``."""
    gone = list(_bridges) if handler_id is None else [handler_id]
    _remove(self, handler_id)
    for each in gone:
        made = _bridges.pop(each, None) if isinstance(each, int) else None
        if made is not None:
            made.close()


def _visible(name: str) -> Any:
    """Return a method of a path that lists what would be there without a receiver."""

    def visible(self: pathlib.Path, *arguments: Any, **options: Any) -> Any:
        found = _listing[name](self, *arguments, **options)
        return iter([path for path in found if not _OF_A_RECEIVER.fullmatch(path.name)])

    return visible


def _share_times_of_creation() -> None:
    """Have the receiver's loguru ask the functions that the tests put into the other one."""
    private_loguru()
    own = sys.modules["_loguru_of_stdbridge._file_sink"]
    theirs = sys.modules["loguru._file_sink"]
    created: dict[tuple[int, int], float] = {}

    def get_ctime(path: str) -> Any:
        status = os.stat(path)
        try:
            return theirs.get_ctime(path)
        except KeyError:  # the tests' table has another name of the file
            return created.get((status.st_dev, status.st_ino), status.st_mtime)

    def set_ctime(path: str, when: float) -> None:
        status = os.stat(path)
        created[status.st_dev, status.st_ino] = when
        theirs.set_ctime(path, when)

    own.get_ctime, own.set_ctime = get_ctime, set_ctime  # type: ignore[attr-defined]


_submit, _try = Archiver._submit, Archiver._try
_compressions = threading.Condition()
_under_way = {"jobs": 0}


def _counting_submit(self: Archiver, job: Any) -> None:
    with _compressions:
        _under_way["jobs"] += 1
    _submit(self, job)


def _counting_try(self: Archiver, job: Any) -> bool:
    try:
        return _try(self, job)
    finally:
        with _compressions:
            _under_way["jobs"] -= 1
            _compressions.notify_all()


def _await_compressions() -> None:
    with _compressions:
        done = _compressions.wait_for(lambda: _under_way["jobs"] <= 0, WAIT)
    assert done, "a compression goes on"


_start_process = subprocess.Popen.__init__


def _start_with_our_path(self: Any, *arguments: Any, **options: Any) -> None:
    """Let a script find ``sitecustomize.py``, which has it log through a bridge."""
    env = options.get("env")
    if env and "PYTHONPATH" in env:
        path = os.pathsep.join([env["PYTHONPATH"], os.environ["PYTHONPATH"]])
        options["env"] = {**env, "PYTHONPATH": path}
    _start_process(self, *arguments, **options)


def install(*, in_pytest: bool) -> None:
    """Put it all in place, in this process."""
    kind: Any = loguru._logger.Logger  # type: ignore[attr-defined]
    if kind.add is _bridging_add:
        return
    for replaced, ours in ((_add, _bridging_add), (_remove, _bridging_remove)):
        ours.__name__, ours.__qualname__ = replaced.__name__, replaced.__qualname__
        setattr(kind, replaced.__name__, ours)
    for name in _listing:
        setattr(pathlib.Path, name, _visible(name))
    Archiver._submit, Archiver._try = _counting_submit, _counting_try  # type: ignore[method-assign]
    subprocess.Popen.__init__ = _start_with_our_path  # type: ignore[method-assign]
    if in_pytest:  # loguru asks for these paths with each sink, and a receiver has several
        sysconfig.get_path = functools.lru_cache(sysconfig.get_path)
    _share_times_of_creation()
    with contextlib.suppress(ImportError):
        import freezegun

        freezegun.configure(extend_ignore_list=list(_CALLED_LATER))


_outcomes: dict[str, str] = {}


def pytest_configure(config: Any) -> None:
    """Called by pytest."""
    if os.environ.get(BRIDGED):
        install(in_pytest=True)


def pytest_runtest_logreport(report: Any) -> None:
    """Note what became of a test. Called by pytest."""
    worse = {"failed": 2, "passed": 1, "skipped": 0}
    before = _outcomes.get(report.nodeid)
    if before is None or worse[report.outcome] > worse[before]:
        _outcomes[report.nodeid] = report.outcome


def pytest_runtest_teardown(item: Any) -> None:
    """Count the sinks of a test. Called by pytest."""
    _counted[item.nodeid] = _numbers["bridged"]
    _numbers["bridged"] = 0


_counted: dict[str, int] = {}


def pytest_sessionfinish() -> None:
    """Write what became of each test. Called by pytest."""
    with open(os.environ[OUTCOMES], "w", encoding="utf-8") as file:
        json.dump({"outcomes": _outcomes, "bridged": _counted}, file)
