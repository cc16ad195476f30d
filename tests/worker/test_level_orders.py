"""A worker sends records of lower levels while an operator wants that, and of no logger else."""

from __future__ import annotations

import contextlib
import json
import logging

import pytest

from loguru_stdbridge.__main__ import main
from loguru_stdbridge.record.level_order import LevelOrder, dump_orders, load_orders
from loguru_stdbridge.worker.far_sinks import FarSinks
from loguru_stdbridge.worker.root_level import OpenedLevel, RootLevel
from tests.support.processes import ReceiverProcess, log_lines
from tests.support.waiting import wait_until
from tests.support.workers import Worker

TALK = """
logging.getLogger("shop").setLevel("ERROR")
console = logging.getLogger("shop.cart")
seen = []
console.addHandler(type("Seen", (logging.Handler,), {"emit": lambda self, r: seen.append(r)})())
to = {name: logger.patch(lambda record, name=name: record.update(name=name)) for name in ("shop.cart", "other")}
for round in sys.stdin:
    round = round.strip()
    for name, own in to.items():
        own.debug("{} loguru {}", round, name)
        logging.getLogger(name).debug("%s logging %s", round, name)
    try:
        1 / 0
    except ZeroDivisionError:
        to["shop.cart"].opt(exception=True).debug("{} failed", round)
    logger.info("{} end", round)
    assert bridge.flush(60)
    tell(seen=len(seen))
"""


@contextlib.contextmanager
def playing(tmp_path, **options):
    """A receiver, and a worker that logs a round at each level when it is told."""
    sink = tmp_path / "app.log"
    with ReceiverProcess(sink, "--format", "{level} {message}") as receiver:
        with Worker(TALK, f"log://{sink}", **options) as worker:

            def play(name):
                """Return what a round has written, and how many records its handler got."""
                before = len(list(log_lines(sink)))
                worker.go_on(name)
                seen = worker.stands()["seen"]
                lines = [line.strip() for line in list(log_lines(sink))[before:]]
                return [line for line in lines if name in line], seen

            yield receiver, worker, play


QUIET = "INFO {} end"


def talkative(name, *loggers):
    """Return the lines of the loggers that talk, in a round."""
    return [f"DEBUG {name} {kind} {logger}" for logger in loggers for kind in ("loguru", "logging")]


def test_a_logger_is_made_to_talk_and_goes_back(tmp_path, capsys):
    """An order lets DEBUG records of a logger of both libraries through, until its end."""
    with playing(tmp_path) as (receiver, _, play):
        assert play("one") == ([QUIET.format("one")], 0)
        assert main(["level", str(receiver.sink), "shop=DEBUG", "--for", "1h"]) == 0
        assert (
            "1 workers were told to send DEBUG and above of shop for 1h" in capsys.readouterr().out
        )
        wait_until(lambda: len(play("try")[0]) > 1, what="the worker was told")
        lines, seen = play("two")
        assert [line for line in lines if line.startswith("DEBUG two l")] == talkative(
            "two", "shop.cart"
        )
        assert "DEBUG two failed" in lines
        assert seen == 0
        assert main(["level", str(receiver.sink), "shop=DEBUG", "--end"]) == 0
        wait_until(lambda: len(play("again")[0]) == 1, what="the worker was told")
        assert play("three") == ([QUIET.format("three")], 0)


def test_orders_are_for_some_processes(tmp_path):
    """An order for another process or program is told to nobody; one for its own is."""
    with playing(tmp_path) as (receiver, worker, play):
        play("one")
        sink = str(receiver.sink)
        assert main(["level", sink, "DEBUG", "--pid", "1"]) == 1
        assert main(["level", sink, "DEBUG", "--program", "none"]) == 1
        assert len(play("two")[0]) == 1
        assert main(["level", sink, "DEBUG", "--pid", str(worker.process.pid)]) == 0
        wait_until(lambda: len(play("try")[0]) > 1, what="the worker was told")
        assert len(play("three")[0]) == 5  # the logger "shop" has a level of its own and keeps it


def test_a_worker_goes_back_when_the_receiver_goes(tmp_path):
    """An order ends with the connection; the next receiver knows nothing of it."""
    with playing(tmp_path) as (receiver, _, play):
        play("one")
        assert main(["level", str(receiver.sink), "shop=DEBUG"]) == 0
        wait_until(lambda: len(play("try")[0]) > 1, what="the worker was told")
        receiver.kill()
        receiver.start()
        receiver.wait_ready()
        wait_until(lambda: len(play("again")[0]) == 1, what="it has gone back")


def test_an_order_expires_by_itself(monkeypatch):
    """What has expired is dropped at the next look, and only that is told."""
    moments = [100.0]
    monkeypatch.setattr("loguru_stdbridge.worker.far_sinks.time.monotonic", lambda: moments[0])
    far, told = FarSinks(), []
    talker = type("Talker", (), {"talk": lambda self, orders: told.append(orders)})()
    far.add_talker(talker)
    brief, long = LevelOrder("a", 10, 5.0), LevelOrder("b", 10, 50.0)
    assert far.obey((brief, long)) == 5.0
    assert far.obey(None) == 5.0
    moments[0] += 6
    assert far.obey(None) == 44.0
    moments[0] += 45
    assert far.obey(None) == float("inf")
    assert told == [(brief, long), (long,), ()]


def test_a_level_of_logging_is_lowered_for_the_bridge_alone():
    """A logger's own level looks as before, lets more through, and is given back."""
    root_level, shop = RootLevel(), logging.getLogger("level_orders.shop")
    shop.setLevel(logging.ERROR)
    try:
        root_level.talk(
            (LevelOrder("level_orders", 10, 9.0), LevelOrder("level_orders.shop", 5, 9.0))
        )
        assert shop.level == logging.ERROR
        assert shop.isEnabledFor(5)
        assert not shop.isEnabledFor(4)
        assert logging.getLogger("level_orders.other").isEnabledFor(10)
        assert root_level.own == logging.ERROR
        root_level.talk(())
        assert not isinstance(shop.level, OpenedLevel)
        assert not shop.isEnabledFor(39)
        assert root_level.own == 0
    finally:
        shop.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "given",
    [None, {}, [[]], [["a", 10]], [[1, 10, 1.0]], [["a", -1, 1.0]], [["a", True, 1.0]],
     [["a", 10, 0]], [["a", 10, float("nan")]], [["a" * 2000, 10, 1.0]], [["a", 1 << 40, 1.0]]],
)  # fmt: skip
def test_what_is_no_order_is_left_out(given):
    """An order of a wrong form, level, name or time is none."""
    assert load_orders(given) == ()


def test_orders_are_read_as_they_were_written():
    """Orders go through JSON, and none holds for longer than a day."""
    orders = [LevelOrder("a.b", 10, 60.0), LevelOrder("", 5, 1e9)]
    read = load_orders(json.loads(json.dumps(dump_orders(orders))))
    assert read == (orders[0], LevelOrder("", 5, 86400.0))
    assert read[0].is_for("a.b.c")
    assert not read[0].is_for("a.bc")
    assert read[1].is_for(None)


@pytest.mark.parametrize(
    "arguments",
    [["shop=LOUD"], ["DEBUG", "--for", "3"], ["DEBUG", "--for", "25h"], ["a", "b", "DEBUG"]],
)
def test_wrong_usage_is_told(arguments, capsys):
    """A level, a time or a number of words that makes no sense is wrong usage."""
    with pytest.raises(SystemExit) as ended:
        main(["level", *arguments])
    assert ended.value.code == 2
    assert "--help" in capsys.readouterr().err
