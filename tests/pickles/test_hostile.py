"""Hostile pickles: each harms a receiver that trusts it, and none harms this package."""

from __future__ import annotations

import datetime
import decimal
import faulthandler
import io
import logging
import os
import pickle
import signal
import sys
import tracemalloc
import uuid
from collections import OrderedDict

import pytest

from loguru_stdbridge.exceptions import PayloadError
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.record.decode import RemoteValue
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.sink.replay import Replay
from tests.support.hostile import corpus

ENTRIES = {entry.name: entry for entry in corpus()}
INERT = (
    type(None), bool, int, float, str, bytes, bytearray, complex, datetime.datetime, datetime.date,
    datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal, uuid.UUID, RemoteValue,
)  # fmt: skip

ALLOWED = {
    ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "bytearray"), ("builtins", "complex"),
    ("builtins", "object"), ("datetime", "datetime"), ("datetime", "date"), ("datetime", "time"),
    ("datetime", "timedelta"), ("datetime", "timezone"), ("decimal", "Decimal"), ("uuid", "UUID"),
    ("collections", "OrderedDict"), ("copyreg", "_reconstructor"), ("_codecs", "encode"),
}  # fmt: skip


class AllowList(pickle.Unpickler):
    """The restricted unpickler of pickle's documentation."""

    def find_class(self, module, name):
        if (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is forbidden")


def naive_receiver(load, payload):
    """Do with a payload what the logging cookbook's receiver and its handlers do."""
    record = logging.makeLogRecord(load(payload))
    record.getMessage()
    for value in list(record.__dict__.values()):
        str(value)


LOADERS = {"loads": pickle.loads, "allowlist": lambda data: AllowList(io.BytesIO(data)).load()}


def fate(loader, payload):
    """Return how a naive receiver in a limited process is harmed; ``None`` if it is not."""
    import resource

    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            devnull = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(devnull, descriptor)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 600_000_000,) * 2)
            faulthandler.disable()
            signal.setitimer(signal.ITIMER_PROF, 0.3)  # seconds of processor time: 0.2 are admitted
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            naive_receiver(LOADERS[loader], payload)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            patched = hasattr(uuid.UUID, "patched")
            status = (
                71 if grown * 1024 > max(60_000_000, 40 * len(payload)) else 72 if patched else 0
            )
        except MemoryError:
            status = 73
        except RecursionError:
            status = 74
        except BaseException:
            # The cookbook's receiver ends the connection with it, and what came after is lost.
            status = 75
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return {0: None, 71: "memory", 72: "patched", 73: "MemoryError", 74: "RecursionError",
            75: "exception", 77: "code"}[os.WEXITSTATUS(status)]  # fmt: skip


def test_the_corpus_is_large():
    """The corpus has at least 80 entries; at least 40 do harm, some to an exact allow-list."""
    assert len(ENTRIES) >= 80
    assert sum(bool(entry.harms) for entry in ENTRIES.values()) >= 40
    assert sum("allowlist" in entry.harms for entry in ENTRIES.values()) >= 17


HARMFUL = [(name, loader) for name, entry in ENTRIES.items() for loader in entry.harms]


@pytest.mark.parametrize(("name", "loader"), HARMFUL, ids=str)
def test_it_harms_a_naive_receiver(name, loader):
    """A hostile payload runs code, takes memory or time, crashes, patches a class, or drops the peer."""
    assert fate(loader, ENTRIES[name].payload) is not None


def check_inert(value, depth=0):
    assert depth < 120
    if type(value) in (list, tuple, set, frozenset):
        for item in value:
            check_inert(item, depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            check_inert(key, depth + 1)
            check_inert(item, depth + 1)
    else:
        assert type(value) in INERT


@pytest.fixture(scope="module")
def replays():
    """Return both kinds of sink that a receiver may have."""
    both = [
        Replay(level=0, serialize=True),
        Replay(level=0, format="{message} {extra} {exception}"),
    ]
    for replay in both:  # what they import, they import now
        replay.render(row_of_stock_fields({"msg": "first", "exc_text": "E: v"}, 1.7e9))
    return both


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_it_does_not_harm_us(name, replays):
    """A hostile payload ends in inert values or a PayloadError, patches nothing, renders in 40 MB."""
    payload = ENTRIES[name].payload
    "".encode("utf-16-le")  # its codec is imported at the first use
    modules = set(sys.modules)
    limit = 40_000_000 + 30 * max(len(payload) - 1_000_000, 0)
    tracemalloc.start()
    try:
        fields = load_record(payload)
        row = row_of_stock_fields(fields, 1.7e9, len(payload))
        for replay in replays:
            text = replay.render_text(row)
            assert len(text) < 5_000_000 + 8 * len(payload)
    except PayloadError as error:
        assert error.reason
        fields = {}
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < limit
    check_inert(fields)
    assert set(sys.modules) - modules == set()
    assert not hasattr(uuid.UUID, "patched")


SURVIVORS = [
    "lone surrogates", "escapes of protocol 0", "unicode of protocol 0", "not a number", "infinity",
    "a megabyte of text", "ten thousand numbers", "values of every admitted type", "os._exit",
    "a class by reference", "loguru's own class", "a cycle through a dict", "nested tuples",
    "a huge bytearray", "a Decimal with a huge exponent", "a datetime of bad bytes",
    *(f"a stock record of protocol {p}" for p in range(5)),
]  # fmt: skip


@pytest.mark.parametrize("name", SURVIVORS)
def test_the_record_survives(name):
    """A hostile payload whose stream is whole keeps its record, with strange classes shown by name."""
    assert load_record(ENTRIES[name].payload)


def test_an_ordered_dict_still_is_one():
    """Names that are admitted are decoded by this package, not fetched."""
    loaded = load_record(pickle.dumps({"msg": OrderedDict(b=1, a=2)}, 1))
    assert list(loaded["msg"]) == ["b", "a"]
