"""A child that C code has forked beside threads of Python's goes on, once it is revived."""

from __future__ import annotations

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
