"""Uncaught exceptions and warnings are printed as before and are in the log once."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import traceback
import warnings

import pytest
from loguru import logger

from loguru_stdbridge import install_bridge, start_receiver, uninstall_bridge
from tests.support.taken import NOWHERE, take_rows

pytestmark = pytest.mark.usefixtures("quiet_loguru")


@pytest.fixture
def taken(monkeypatch):
    """The records that the bridge takes."""
    rows = take_rows(monkeypatch)
    yield rows
    uninstall_bridge()


def raise_and_report(report):
    """Call ``report`` with an exception that was raised here."""
    try:
        raise ValueError("nobody catches this")
    except ValueError:
        report(*sys.exc_info())


def test_an_uncaught_exception_is_sent_with_its_place(taken, capsys):
    """An uncaught exception is sent with the place where it was raised and its traceback."""
    install_bridge(NOWHERE)
    raise_and_report(sys.excepthook)
    (record,) = taken.records
    assert (record.level_name, record.message) == ("CRITICAL", "Uncaught exception")
    assert (record.function, record.file_path) == ("raise_and_report", __file__)
    assert record.exception[:2] == ["ValueError", "nobody catches this"]
    assert capsys.readouterr().err.endswith("ValueError: nobody catches this\n")


def test_an_uncaught_exception_of_a_thread_is_sent(taken, monkeypatch):
    """An uncaught exception of a thread is sent, after the hook that was there has had it."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    install_bridge(NOWHERE)
    thread = threading.Thread(target=int, args=("x",), name="worker-7")
    thread.start()
    thread.join()
    (record,) = taken.records
    assert (record.level_name, record.message) == (
        "ERROR", "Uncaught exception in thread worker-7",
    )  # fmt: skip
    assert record.exception[0] == "ValueError"
    assert [args.thread for args in seen] == [thread]


def test_an_exception_that_python_ignores_is_sent(taken, monkeypatch):
    """An exception that Python ignores in a ``__del__`` is sent with its object."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    install_bridge(NOWHERE)

    class Dying:
        def __del__(self):
            raise OSError("in the end")

    Dying()
    (record,) = taken.records
    assert record.message.startswith("Exception ignored in: <function ")
    assert record.exception[:2] == ["OSError", "in the end"]
    assert len(seen) == 1
    seen.clear()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_leaving_is_no_error_and_an_interrupt_is_one(taken, monkeypatch, kind):
    """SystemExit is not sent and KeyboardInterrupt is, as Python prints them."""
    monkeypatch.setattr(sys, "excepthook", lambda *exc_info: None)
    install_bridge(NOWHERE)
    sys.excepthook(kind, kind(), None)
    assert len(taken.records) == (kind is KeyboardInterrupt)


@pytest.mark.parametrize(
    "log",
    [
        lambda value: logger.opt(exception=value).critical("it ends"),
        lambda value: logging.getLogger("app").critical("it ends", exc_info=value),
        lambda value: logger.critical(f"uncaught: {value!r}"),
    ],
    ids=["loguru", "logging", "text"],
)
def test_a_hook_of_the_applications_that_logs_is_enough(taken, monkeypatch, log):
    """An exception that the application's own hook logs is sent once."""
    monkeypatch.setattr(sys, "excepthook", lambda kind, value, traceback: log(value))
    install_bridge(NOWHERE)
    raise_and_report(sys.excepthook)
    (record,) = taken.records
    assert record.message != "Uncaught exception"


def test_a_hook_that_logs_something_else_is_not_enough(taken, monkeypatch):
    """An exception is sent if the application's hook logs something else."""
    monkeypatch.setattr(sys, "excepthook", lambda *exc_info: logger.info("bye"))
    install_bridge(NOWHERE)
    raise_and_report(sys.excepthook)
    assert taken.messages == ["bye", "Uncaught exception"]


def test_a_hook_that_logs_what_is_printed_piece_by_piece_is_not_enough(taken, monkeypatch):
    """An exception is sent whole if the redirected console logs each piece of it."""

    def print_pieces(kind, value, traceback):
        line = f'raise {kind.__name__}("{value}")'
        for piece in (line, kind.__name__, ": ", str(value)):
            logging.getLogger("redirected").warning(piece)

    monkeypatch.setattr(sys, "excepthook", print_pieces)
    install_bridge(NOWHERE)
    raise_and_report(sys.excepthook)
    assert taken.messages[-1] == "Uncaught exception"


def test_a_hook_that_raises_loses_no_exception(taken, monkeypatch):
    """An exception is sent if the application's hook raises."""

    def broken(*exc_info):
        raise RuntimeError("the hook is broken")

    monkeypatch.setattr(sys, "excepthook", broken)
    install_bridge(NOWHERE)
    with pytest.raises(RuntimeError, match="the hook is broken"):
        raise_and_report(sys.excepthook)
    assert taken.messages == ["Uncaught exception"]


PLACES = {
    "excepthook": (sys, "excepthook"),
    "thread_excepthook": (threading, "excepthook"),
    "process_excepthook": (traceback, "print_exc"),
    "unraisablehook": (sys, "unraisablehook"),
    "capture_warnings": (warnings, "showwarning"),
}


@pytest.mark.parametrize("option", PLACES)
def test_each_place_can_be_left_alone(taken, option):
    """The option that names a place switches it off; ``stats()`` tells what is attached."""
    module, name = PLACES[option]
    before = getattr(module, name)
    with install_bridge(NOWHERE, **{option: False}) as bridge:
        assert getattr(module, name) is before
        assert set(PLACES) - set(bridge.stats().attached) == {option}
    with install_bridge(NOWHERE) as bridge:
        assert getattr(module, name) is not before
        assert sorted(bridge.stats().attached) == sorted(["loguru", "stdlib", *PLACES])
    assert getattr(module, name) is before


@pytest.mark.parametrize("option", PLACES)
def test_a_function_that_was_put_over_ours_stays(taken, monkeypatch, option):
    """A function that was put over a hook of the bridge stays there after the uninstall."""
    module, name = PLACES[option]
    monkeypatch.setattr(module, name, getattr(module, name))  # put back at the end
    calls = []
    monkeypatch.setattr(module, name, lambda *args, **kwargs: calls.append("was there"))
    bridge = install_bridge(NOWHERE)
    ours = getattr(module, name)

    def over(*args, **kwargs):
        calls.append("over")
        ours(*args, **kwargs)

    setattr(module, name, over)
    assert option not in bridge.stats().attached
    uninstall_bridge()
    assert getattr(module, name) is over
    over(None, None, None, None)
    assert calls == ["over", "was there"]
    assert taken.messages == []
    install_bridge(NOWHERE)
    again = getattr(module, name)
    install_bridge(NOWHERE)
    assert getattr(module, name) is again is not over
    uninstall_bridge()


@pytest.mark.parametrize(
    "arguments", [(1, "1", 1), (ValueError, ValueError("odd"), 7), (None,) * 3]
)
def test_a_hook_that_is_called_with_anything_fails_no_one(taken, monkeypatch, arguments):
    """``sys.excepthook`` called with odd arguments raises nothing of the bridge's."""
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *given: seen.append(given))
    install_bridge(NOWHERE)
    sys.excepthook(*arguments)
    assert seen == [arguments]
    assert len(taken.messages) == isinstance(arguments[1], Exception)


def test_the_functions_in_place_have_the_names_of_those_that_were_there(taken, monkeypatch):
    """A function that stands in a place of Python's has the name and the module of the other."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    places = [(sys, "excepthook"), (traceback, "print_exc"), (warnings, "showwarning")]

    def names():
        found = [getattr(module, name) for module, name in places]
        return [(each.__module__, each.__name__, each.__doc__) for each in found]

    before = names()
    install_bridge(NOWHERE)
    assert names() == before


def test_a_printed_exception_that_was_caught_is_not_sent(taken):
    """An exception that the application prints with ``traceback.print_exc`` is not sent."""
    install_bridge(NOWHERE)
    raise_and_report(lambda *exc_info: traceback.print_exc())
    assert taken.messages == []


# -- warnings -----------------------------------------------------------------------------------


@pytest.fixture
def shown_warnings():
    """The warnings that Python's own ``showwarning`` gets to show."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        yield shown


def test_a_warning_is_sent_and_shown(taken, shown_warnings):
    """A warning is sent, from its place, and is shown as before."""
    install_bridge(NOWHERE)
    warnings.warn("this is old", DeprecationWarning, stacklevel=1)
    uninstall_bridge()
    assert [str(shown.message) for shown in shown_warnings] == ["this is old"]
    (record,) = taken.records
    assert (record.name, record.level_name) == ("py.warnings", "WARNING")
    assert "DeprecationWarning: this is old" in record.message
    assert record.file_path == __file__


FORKING = """
import os, sys, threading
from loguru_stdbridge import install_bridge
import logging

install_bridge("tcp://127.0.0.1:1")
logging.getLogger("std").warning("so that there is a thread")
if sys.argv[1] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def warn():  # as Python warns in the parent, from 3.12 on
    import warnings
    text = f"This process (pid={os.getpid()}) is multi-threaded, use of fork() may lead to"
    warnings.warn(f"{text} deadlocks in the child.", DeprecationWarning, stacklevel=2)

pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
if sys.version_info < (3, 12):
    warn()
"""


@pytest.mark.parametrize("threads", ["threads", "none"])
def test_a_fork_of_a_program_without_threads_is_not_warned_of(tmp_path, threads):
    """Python's warning of a fork beside threads is shown where the application has threads."""
    script = tmp_path / "script.py"
    script.write_text(FORKING)
    done = subprocess.run(
        [sys.executable, str(script), threads], capture_output=True, text=True, check=True
    )
    shown = [line for line in done.stderr.splitlines() if "is multi-threaded" in line]
    assert len(shown) == (threads == "threads"), done.stderr


@pytest.mark.usefixtures("shown_warnings")
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("way", ["logging", "recipe"])
def test_a_warning_that_the_application_captures_is_sent_once(taken, monkeypatch, order, way):
    """A warning that the application captures and logs is sent once."""

    def capture():
        if way == "logging":
            logging.captureWarnings(True)
        else:
            monkeypatch.setattr(
                warnings, "showwarning", lambda message, *rest, **more: logger.warning(message)
            )

    try:
        if order == "before":
            capture()
        install_bridge(NOWHERE)
        if order == "after":
            capture()
        warnings.warn("this is old and long enough", stacklevel=1)
        assert len(taken.messages) == 1
    finally:
        logging.captureWarnings(False)
        uninstall_bridge()


def test_a_warning_that_is_recorded_or_written_elsewhere_is_not_sent(taken, shown_warnings):
    """A warning that is recorded or written to a file is not sent."""
    install_bridge(NOWHERE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("caught", stacklevel=1)
    warnings.showwarning("elsewhere", UserWarning, __file__, 1, io.StringIO())
    uninstall_bridge()
    assert len(caught) == len(shown_warnings) == 1
    assert taken.messages == []


# -- whole programs -----------------------------------------------------------------------------


def run(tmp_path, program, *arguments, **variables):
    """Run a program; return its stdout, stderr and status."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *arguments, str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )
    return done.stdout, re.sub("0x[0-9a-f]+", "0x", done.stderr), done.returncode


INSTALL = """
if __import__("os").environ.get("LOGURU_STDBRIDGE_ADDRESS"):
    from loguru_stdbridge import install_bridge
    install_bridge()
"""

ENDS = {
    "main": ("Uncaught exception", "raise ValueError('of main')"),
    "thread": (
        "Uncaught exception in thread t",
        """
        import threading
        thread = threading.Thread(target=int, args=("of thread",), name="t")
        thread.start()
        thread.join()
        """,
    ),
    "fork": (
        "Uncaught exception in process p",
        """
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(
            target=int, args=("of process",), name="p")
        process.start()
        process.join()
        """,
    ),
    "spawn": (
        "Uncaught exception in process p",
        """
        import multiprocessing
        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(
                target=int, args=("of process",), name="p")
            process.start()
            process.join()
        """,
    ),
    "del": (
        "Exception ignored in",
        """
        class Dying:
            def __del__(self):
                raise ValueError("of del")
        Dying()
        """,
    ),
    "exit": (None, "raise SystemExit('leaving')"),
    "warning": ("UserWarning: look out", "import warnings; warnings.warn('look out')"),
    "resource": ("ResourceWarning: unclosed file", "open(__file__); import gc; gc.collect()"),
    "captured": (
        "UserWarning: look out",
        """
        import logging, warnings
        logging.basicConfig(format="%(levelname)s %(message)s")
        logging.captureWarnings(True)
        warnings.warn("look out")
        """,
    ),
    "interrupt": ("Uncaught exception", "raise KeyboardInterrupt"),
    "no last resort": (
        "nobody shows this",
        """
        import logging
        logging.lastResort = None
        logging.getLogger("a.b").warning("nobody shows this")
        """,
    ),
    "bad arguments": (
        "%d apples",
        """
        import logging
        logging.basicConfig()
        def buy():
            logging.getLogger("a").warning("%d apples", "many")
        buy()
        """,
    ),
    "broken handler": (
        "the handler is broken",
        """
        import logging
        class Broken(logging.StreamHandler):
            def format(self, record):
                raise RuntimeError("broken")
        class Raising(Broken):
            def handleError(self, record):
                raise
        logging.getLogger().addHandler(Broken())
        logging.getLogger("a").addHandler(Raising())
        logging.getLogger("b").warning("on stderr")
        logging.getLogger("a").warning("%s handler is broken", "the")
        """,
    ),
    "last resort": (
        "the last resort",
        "import logging; logging.getLogger('a').warning('the last resort')",
    ),
    "configured later": (
        "configured later",
        """
        import logging
        logging.getLogger("a").info("not on the console")
        logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
        logging.getLogger("a").warning("configured later")
        logging.info("nor this")
        """,
    ),
    "flask": (
        "in flask",
        """
        import logging
        root = logging.getLogger()
        app = logging.getLogger("app")
        level = app.getEffectiveLevel()
        if not any(handler.level <= level for handler in root.handlers):
            app.addHandler(logging.StreamHandler())
        app.error("in flask")
        app.info("below")
        """,
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_console_shows_what_it_shows_without_the_bridge(tmp_path, eventually, case):
    """A program shows the same output and status with the bridge as without."""
    message, program = ENDS[case]
    program = INSTALL + textwrap.dedent(program)
    plain = run(tmp_path, program, "-Walways")
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}", level=0
    ) as receiver:
        bridged = run(tmp_path, program, "-Walways", LOGURU_STDBRIDGE_ADDRESS=str(receiver.address))

        def written():
            return (tmp_path / "app.log").read_text(encoding="utf-8")

        if message is not None:  # a child's journal is adopted once the child is gone
            eventually(lambda: message in written(), 30, f"{message!r} is written")
    assert bridged == plain
    found = [line for line in written().splitlines() if message and message in line]
    assert len(found) == (message is not None), written()
