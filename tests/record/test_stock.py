"""Stock records: what a ``LogRecord`` of the stdlib becomes, and what a stock receiver gets."""

from __future__ import annotations

import logging
import pickle

import pytest

from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.record.bounded_json import decode_json
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.row import read_row
from loguru_stdbridge.record.stock import logrecord_fields, row_of_stock_fields

STACK = 'Stack (most recent call last):\n  File "shop.py", line 5, in pay\n    charge()'


def by_bridge(record):
    """Return the row of a record that the bridge took in its own process."""
    return read_row(decode_json(encode_logrecord(record, lambda name: (" ", None))))


def by_stock_client(record):
    """Return the row of a record whose client pickled it as it is, arguments and all."""
    return row_of_stock_fields(load_record(pickle.dumps(vars(record), 1)), 1.7e9)


def raised():
    """Return the ``exc_info`` of an exception that was raised."""
    try:
        raise ValueError("no money")
    except ValueError as error:
        return type(error), error, error.__traceback__


@pytest.mark.parametrize("way", [by_bridge, by_stock_client])
def test_arguments_are_in_the_message(way):
    """A record's arguments are put into its message, and stand nowhere else."""
    record = logging.makeLogRecord({"msg": "user %s bought %d for %.2f", "args": ("ann", 2, 3.5)})
    row = way(record)
    assert (row.message, row.extra) == ("user ann bought 2 for 3.50", {})


def test_arguments_that_do_not_fit_are_in_extra():
    """A stock client's message stays as it is if its arguments do not fit, and ``extra`` has them."""
    for message, arguments in (("50% off", ("x",)), ("%s %s", ("x",)), ("%999999999d", (1,))):
        row = by_stock_client(logging.makeLogRecord({"msg": message, "args": arguments}))
        assert (row.message, row.extra) == (message, {"args": arguments})


@pytest.mark.parametrize("way", [by_bridge, by_stock_client])
def test_a_stack_is_in_the_text_and_in_extra(way):
    """A record of ``stack_info=True`` shows its stack below its message, as logging does."""
    record = logging.makeLogRecord({"msg": "slow", "stack_info": STACK})
    row = way(record)
    assert row.message == logging.Formatter("%(message)s").format(record) == f"slow\n{STACK}"
    assert row.extra == {"stack_info": STACK}


@pytest.mark.parametrize("wrong", [{"levelno": "x"}, {"created": None}, {"thread": object()}])
def test_a_stack_is_in_the_text_of_an_odd_record(wrong):
    """A record with an impossible attribute shows its stack, too."""
    row = by_bridge(logging.makeLogRecord({"msg": "slow", "stack_info": STACK, **wrong}))
    assert row.message == f"slow\n{STACK}"


@pytest.mark.parametrize("exc_info", [None, raised()], ids=["no exception", "exception"])
def test_a_stock_receiver_shows_what_logging_shows(exc_info):
    """A stock receiver's formatter makes of a record what the sender's own would have made."""
    record = logging.makeLogRecord(
        {"msg": "slow %s", "args": ("as ever",), "stack_info": STACK, "exc_info": exc_info}
    )
    arrived = logging.makeLogRecord(logrecord_fields(by_bridge(record), {}))
    formatter = logging.Formatter("%(levelname)s %(message)s")
    assert formatter.format(arrived) == formatter.format(record)


def test_a_stack_that_is_no_text_is_shown_in_extra():
    """A stock client's ``stack_info`` of another type is no part of the message."""
    row = row_of_stock_fields({"msg": "m", "stack_info": 5}, 1.7e9)
    assert (row.message, row.extra) == ("m", {"stack_info": 5})
