"""Processes that fork while they log: nothing waits for ever, and nothing is lost on either side."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter

import pytest

from tests.support.processes import (
    Account,
    ReceiverProcess,
    free_address,
    log_lines,
    run_python,
    start_python,
)

PRELUDE = """
import json, logging, multiprocessing, os, sys, threading, warnings
from loguru import logger
from loguru_stdbridge import install_bridge

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from 3.12 on
address, more = sys.argv[1], sys.argv[2:]
logger.remove()
stdlib = logging.getLogger("std")

def install():
    return install_bridge(address, level="INFO")

def log(name, first, last):
    for number in range(first, last):
        if number % 2:
            stdlib.info("worker %s number %d end", name, number)
        else:
            logger.info("worker {} number {} end", name, number)

def fork(child):  # the child ends as a program ends, with what atexit does, or at once
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
        of_main = threading.current_thread().name == "MainThread"
        ending = sys.exit if of_main and os.getpid() % 2 else os._exit
    except Exception:
        import traceback
        traceback.print_exc()
        os._exit(1)
    ending(0)

def wait(pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
"""


def run(tmp_path, code, *arguments, style="{message}"):
    """Run the code beside a receiver; return the account of the file, and what the code says it has
    logged."""
    with ReceiverProcess(tmp_path / "app.log", "--format", style, "--grace", "30") as receiver:
        status, out, err = run_python(PRELUDE + code, receiver.address, *arguments, timeout=300)
        assert status == 0, err[-3000:]
        assert receiver.stop() == 0
    assert "ogging error" not in err, err[-3000:]
    return Account(tmp_path / "app.log"), json.loads(out)


UNDER_LOAD = """
when, count, by_thread = more[0], int(more[1]), "thread" in more
if when != "in the child":
    bridge = install()
stop, counts = threading.Event(), {}

def work(name):
    number = 0
    while not stop.is_set():
        log(name, number, number + 1)
        number += 1
    counts[name] = number

def child(number):
    if when != "before":
        install()
    log(f"c{number}", 0, 5)

def fork_all():
    wait([fork(lambda: child(number)) for number in range(count)])

threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
for thread in threads:
    thread.start()
if by_thread:
    forking = threading.Thread(target=fork_all)
    forking.start()
    forking.join()
else:
    fork_all()
stop.set()
for thread in threads:
    thread.join()
if when == "in the child":
    counts = {}
else:
    assert bridge.close(60)
print(json.dumps({**counts, **{f"c{number}": 5 for number in range(count)}}))
"""


@pytest.mark.parametrize("how", ["main", "thread"])
@pytest.mark.parametrize("when", ["before", "in the child", "both"])
def test_forks_while_threads_log(tmp_path, scale, when, how):
    """Forks lose nothing while four threads log through both libraries, wherever the bridge is
    installed."""
    account, logged = run(tmp_path, UNDER_LOAD, when, str(scale(20, 500)), how)
    account.check(logged)


FIRST_RECORD = """
def attempt(number):
    install()
    start = threading.Barrier(2)
    def first():
        start.wait()
        log(f"a{number}", 0, 4)
    thread = threading.Thread(target=first)
    thread.start()
    start.wait()
    threading.Event().wait(number % 40 / 20_000)  # a little later each time
    wait([fork(lambda: log(f"b{number}", 0, 4))])
    thread.join()

count = int(more[0])
for number in range(count):
    wait([fork(lambda: attempt(number))])
print(json.dumps({f"{side}{number}": 4 for number in range(count) for side in "ab"}))
"""


def test_a_fork_at_the_instant_of_the_first_record(tmp_path, scale):
    """A fork loses nothing while another thread opens the journal inside its first log call."""
    account, logged = run(tmp_path, FIRST_RECORD, str(scale(40, 400)))
    account.check(logged)


GENERATIONS = """
install()

def generation(depth):
    log(f"g{depth}", 0, 10)
    if depth < 3:
        wait([fork(lambda: generation(depth + 1))])
    log(f"g{depth}", 10, 20)

generation(0)
print(json.dumps({f"g{depth}": 20 for depth in range(4)}))
"""

POOL = """
install()
log("parent", 0, 10)

def task(number):
    log(f"p{number}", 0, 10)
    return number

with multiprocessing.get_context("fork").Pool(3, maxtasksperchild=5) as pool:
    assert sorted(pool.imap_unordered(task, range(30))) == list(range(30))
log("parent", 10, 20)
print(json.dumps({"parent": 20, **{f"p{number}": 10 for number in range(30)}}))
"""


@pytest.mark.parametrize("code", [GENERATIONS, POOL], ids=["generations", "pool"])
def test_children_of_children_and_of_a_pool(tmp_path, code):
    """Each child, of a child or of a pool that is ended by SIGTERM, has a journal of its own."""
    account, logged = run(tmp_path, code)
    account.check(logged)


INSIDE = """
where, library = more
install()
parent, children = os.getpid(), []

class Forks:
    def __repr__(self):
        if os.getpid() == parent and not children:
            pid = os.fork()
            if pid:
                children.append(pid)
        return "forks"

def patch(record):
    if where == "patcher":
        repr(Forks())

logger.configure(patcher=patch)
if where == "patcher":
    logger.info("before")
elif library == "loguru":
    logger.bind(value=Forks()).info("before")
else:
    stdlib.info("before", extra={"value": Forks()})
mine = "child" if os.getpid() != parent else "parent"
log(mine, 0, 10)
if os.getpid() == parent:
    assert len(children) == 1
    wait(children)
    print("null")
"""


@pytest.mark.parametrize("place", ["patcher loguru", "extra loguru", "extra stdlib"])
def test_a_fork_inside_a_log_call(tmp_path, place):
    """Parent and child both come out of a log call in which a ``repr`` or a patcher forks."""
    run(tmp_path, INSIDE, *place.split(), style="{message} {extra}")  # so that values are shown
    shown = "{}" if place.startswith("patcher") else "{'value': forks}"
    wanted = Counter({f"before {shown}\n": 2})
    wanted.update(
        f"worker {w} number {n} end {{}}\n" for w in ("parent", "child") for n in range(10)
    )
    assert Counter(log_lines(tmp_path / "app.log")) == wanted


IN_A_THREAD = """
import signal

install()


def fork_and_return():
    child = os.fork()
    if not child:
        signal.alarm(60)  # what stays is ended, and the test fails
        log("child", 0, 10)
        sys.exit(3)  # ends this thread, which is the child's last
    log("parent", 0, 10)
    statuses.append(os.waitpid(child, 0)[1])


statuses = []
forking = threading.Thread(target=fork_and_return)
forking.start()
forking.join()
assert statuses == [0], statuses
print("null")
"""


def test_a_child_of_a_thread_ends_with_that_thread(tmp_path):
    """A child that a thread has forked ends when the thread returns, and its records arrive."""
    run(tmp_path, IN_A_THREAD)
    wanted = {f"worker {w} number {n} end\n" for w in ("parent", "child") for n in range(10)}
    assert Counter(log_lines(tmp_path / "app.log")) == Counter(wanted)


EMBEDDED = """
from loguru_stdbridge import start_receiver

receiver = start_receiver(more[0], address=address, format="{message}")
install()
log("a", 0, 10)
assert install_bridge(address, level="INFO").flush(30)
survivor = os.fork()
if not survivor:
    sys.stdin.readline()
    os._exit(0)
print(survivor, flush=True)
sys.stdin.readline()
"""

OUTSIDE = """
bridge = install()
log("b", 0, 10)
assert bridge.flush(30)
print(flush=True)
sys.stdin.readline()
log("b", 10, 20)
print(json.dumps(bridge.flush(60)), flush=True)
"""


def test_a_child_holds_nothing_of_an_embedded_receiver(tmp_path):
    """Another receiver takes over from a killed one whose forked child lives on."""
    sink, address = tmp_path / "app.log", free_address()
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(
            start_python(PRELUDE + EMBEDDED, address, str(sink), stdin=True)
        )
        stack.callback(owner.kill)
        survivor = int(owner.stdout.readline())
        worker = stack.enter_context(start_python(PRELUDE + OUTSIDE, address, stdin=True))
        stack.callback(worker.kill)
        assert worker.stdout.readline() == b"\n"
        owner.kill()
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            worker.stdin.write(b"\n")
            worker.stdin.flush()
            assert json.loads(worker.stdout.readline())
            assert receiver.stop() == 0
        os.kill(survivor, 0)
    Account(sink).check({"a": 10, "b": 20})
