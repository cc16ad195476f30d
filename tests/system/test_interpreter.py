"""A child that C code has forked beside threads of Python's goes on, once it is revived."""

from __future__ import annotations

import sys

import pytest

from tests.support.processes import run_python

FORKS = """
import ctypes, os, signal, sys, threading, time
from loguru_stdbridge.system.interpreter import revive_interpreter

sys.setswitchinterval(1000)  # no thread asks for the interpreter's lock in the instant of the fork
reports = []
sys.unraisablehook = reports.append
told = []
os.register_at_fork(before=lambda: None, after_in_child=lambda: told.append(1 / 0))

def wait_often():  # for the interpreter's lock, which the other thread has
    while True:
        time.sleep(0)

threading.Thread(target=wait_often, daemon=True).start()
fork = ctypes.PyDLL(None).fork

def in_child():
    signal.alarm(20)  # where it hangs, it ends
    revive_interpreter()
    sys.setswitchinterval(0.005)
    done = []
    thread = threading.Thread(target=lambda: done.append(1))
    thread.start()
    thread.join()
    return 0 if done and not reports and sys.unraisablehook == reports.append else 1

for _ in range(30):
    pid = fork()
    if pid == 0:
        os._exit(in_child())
    assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
"""


def test_a_revived_child_lets_the_interpreters_lock_go():
    """Children forked beside a busy thread start threads, and no complaint of a hook is told."""
    status, _, err = run_python(FORKS, timeout=60)
    assert status == 0, err


IMPORTING = """
import ctypes, os, signal, sys, threading
from loguru_stdbridge.system.interpreter import revive_interpreter

class Slow:
    def find_spec(self, name, path=None, target=None):
        import _imp
        _imp.acquire_lock()
        inside.set()
        threading.Event().wait()

def work():
    import loguru_stdbridge_that_is_not_there

inside = threading.Event()
sys.meta_path.insert(0, Slow())
threading.Thread(target=work, daemon=True).start()
inside.wait()
sys.setswitchinterval(1000)
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    signal.alarm(20)
    revive_interpreter()
    sys.meta_path.pop(0)
    import colorsys
    os._exit(0 if threading.active_count() == 1 else 2)
assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
"""


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="CPython 3.13 cannot let that lock go")
def test_a_lost_threads_import_keeps_no_child_from_being_revived():
    """A child whose parent's other thread holds the lock of imports is revived, and imports."""
    status, _, err = run_python(IMPORTING, timeout=60)
    assert status == 0, err


UNTOUCHED = """
import sys, threading
if sys.argv[1] == "with ctypes":
    import ctypes
from loguru_stdbridge.system.interpreter import revive_interpreter

stop = threading.Event()
if sys.argv[2] == "threads":
    threading.Thread(target=stop.wait).start()
alive = threading.active_count()
revive_interpreter()
assert threading.active_count() == alive and threading.main_thread().is_alive()
stop.set()
"""


@pytest.mark.parametrize("loaded", ["with ctypes", "without"])
@pytest.mark.parametrize("threads", ["threads", "alone"])
def test_a_process_that_has_its_threads_is_left_alone(loaded, threads):
    """Nothing is done where the threads that Python knows of are there, or where there is one."""
    status, _, err = run_python(UNTOUCHED, loaded, threads, timeout=60)
    assert status == 0, err


GUARDED = """
import ctypes, logging, os, sys, threading
from loguru import logger
from loguru_stdbridge.system.interpreter import revive_interpreter

case = sys.argv[1]
told = []
os.register_at_fork(after_in_child=lambda: told.append(1))
sys.setswitchinterval(1000)
stop = threading.Event()

class Handler(logging.Handler):
    def emit(self, record):
        revive_interpreter()

logger.remove()
logger.add(lambda message: revive_interpreter())
logging.getLogger("std").addHandler(Handler())

def call():
    if case == "interpreters":
        revive_interpreter()
    elif case == "logging":
        logging.getLogger("std").warning("one")
    elif case == "loguru":
        logger.info("one")
    else:
        class Imported:
            def find_spec(self, name, path=None, target=None):
                import _imp
                _imp.acquire_lock()
                try:
                    revive_interpreter()
                finally:
                    _imp.release_lock()
        sys.meta_path.insert(0, Imported())
        try:
            import loguru_stdbridge_that_is_not_there
        except ImportError:
            pass

if case == "interpreters":
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    other = interpreters.create()

threading.Thread(target=stop.wait, daemon=True).start()
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    call()
    if told:
        os._exit(2)
    if case != "interpreters":
        revive_interpreter()  # here it is due
        if told != [1] or threading.active_count() != 1:
            os._exit(3)
    os._exit(0)
status = os.waitpid(pid, 0)[1]
os._exit(0 if not status else 1)
"""


@pytest.mark.parametrize("case", ["interpreters", "logging", "loguru", "import"])
def test_an_interpreter_is_left_alone_where_it_would_be_harmed(case):
    """Nothing is done beside other interpreters, in a handler that holds its lock, in an import."""
    status, _, err = run_python(GUARDED, case, timeout=60)
    assert status == 0, err


LOGGING_HOOK = """
import os, sys, threading
told = []

def log():  # before threading's own function for children has run
    from loguru_stdbridge.system.forks import notice_fork
    told.append(1)
    notice_fork()

os.register_at_fork(after_in_child=log)
import ctypes, importlib
from loguru_stdbridge.system import forks
fork = {"python": os.fork, "c": ctypes.PyDLL(None).fork}[sys.argv[1]]
sys.setswitchinterval(1000)
threading.Thread(target=threading.Event().wait, daemon=True).start()
pid = fork()
if pid == 0:
    forks.notice_fork()
    os._exit(0 if told == [1] and forks.process_mark[0] else 2)
assert os.waitpid(pid, 0)[1] == 0
pid = os.fork()  # the parent's own forks are told as before
if pid == 0:
    os._exit(0 if told == [1] and forks.process_mark[0] else 2)
assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
"""


@pytest.mark.parametrize("fork", ["python", "c"])
def test_a_program_that_logs_in_its_function_for_children_is_told_once(fork):
    """A fork is told once to a program whose function for children logs, whoever has forked."""
    status, _, err = run_python(LOGGING_HOOK, fork, timeout=60)
    assert status == 0, err
