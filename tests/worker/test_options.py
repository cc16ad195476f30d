"""The options of a channel: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
import os

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.worker.options import check_options
from tests.support.processes import start_python

ADDRESS = "tcp://127.0.0.1:1"


@pytest.mark.parametrize(("given", "user"), [(None, None), (1234, 1234), ("root", 0)])
def test_a_receiver_s_user_is_a_name_or_a_number(given, user):
    """The name is looked up once, when the bridge is installed."""
    assert check_options(ADDRESS, receiver_user=given).receiver_user == user


@pytest.mark.parametrize("given", ["nobody at all", 1.5, b"root"])
def test_a_user_that_is_not_known_is_refused(given):
    """The error shows the value and says what is expected."""
    with pytest.raises(ConfigurationError, match="receiver_user=.*the name or the number"):
        check_options(ADDRESS, receiver_user=given)


RECEIVER = """
import os, sys
from loguru_stdbridge import start_receiver
os.setuid(1234)
with start_receiver(
    sys.argv[1], address="tcp://127.0.0.1:0", format="{message}", spool_dir=False
) as receiver:
    print(receiver.address, flush=True)
    sys.stdin.read()
"""
WORKER = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
user = int(sys.argv[2]) if sys.argv[2:] else None
bridge = install_bridge(sys.argv[1], receiver_user=user)
logger.info("record")
print(bridge.flush(1 if user is None else 30))
"""


@pytest.mark.skipif(
    getattr(os, "getuid", lambda: 1)() != 0, reason="only root can start a receiver of another user"
)
def test_a_receiver_of_another_user_gets_records_only_if_it_is_named(memory_path):
    """Unnamed, its port might be anybody's: the records wait, and stderr says what to do."""
    os.chmod(memory_path, 0o777)
    receiver = start_python(RECEIVER, str(memory_path / "app.log"), stdin=True)
    try:
        address = receiver.stdout.readline().decode().strip()
        worker = start_python(WORKER, address)
        out, err = worker.communicate(timeout=60)
        assert out == b"False\n"
        assert b"user 1234 listens there" in err and b"receiver_user=" in err
        assert not (memory_path / "app.log").read_text()
        worker = start_python(WORKER, address, "1234")
        assert worker.communicate(timeout=60)[0] == b"True\n"
        assert "record\n" in (memory_path / "app.log").read_text()
    finally:
        receiver.communicate()


@pytest.mark.parametrize(
    "given",
    [
        {"address": "tcp://127.0.0.1:9020", "spool_dir": False, "spool_limit": 1 << 20},
        {"address": "log:///var/log/app.log", "when_full": "block", "block_timeout": 0.5},
        {"sink": "/var/log/app.log", "rotation": 1000, "serialize": True, "linger": 3},
    ],
)
def test_options_come_out_of_their_arguments_again(given):
    """A child process that gets the arguments as JSON has the options of its parent."""
    options = check_options(given.pop("address", None), **given)
    assert check_options(**json.loads(json.dumps(options.as_arguments()))) == options
