"""``install_bridge(sink=..., server=False)``: both libraries in one file that each process writes."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys

import pytest
from loguru import logger

from loguru_stdbridge import (
    BridgeHandler,
    ConfigurationError,
    LedgerHeldError,
    install_bridge,
    start_receiver,
)

FORMAT = "{level} {name}:{function} {message} {extra}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.log"


@pytest.mark.parametrize("template", [FORMAT, "{level} {name}:{function} {message}"])
def test_both_libraries_write_one_file_without_a_server(path, template):
    """Records of both libraries are in the file when the log call returns, as a receiver has them."""
    logging.getLogger("shop").setLevel(logging.INFO)
    texts = []
    for server in (False, True):
        with install_bridge(sink=path, server=server, format=template, children=False) as bridge:
            logger.bind(user=7).info("of {}", "loguru")
            logging.getLogger("shop").info("of %s", "logging", extra={"order": 1})
            try:
                raise ValueError("wrong")
            except ValueError:
                logging.getLogger("shop").exception("failed")
            logger.opt(raw=True).warning("raw\n")
            if server:
                assert bridge.flush(30)
            else:
                assert bridge.flush(0) and bridge.stats().accepted == 4
            texts.append(path.read_text())
        path.unlink()
    own = [re.sub("line [0-9]+", "line", text) for text in texts]
    assert own[0] == own[1]
    assert own[0].count("of loguru") == own[0].count("of logging") == 1
    assert "ValueError: wrong" in own[0]


def test_a_spawned_child_writes_the_same_file(path):
    """A child process without a line of its own logs into the parent's file, under the same lock."""
    code = (
        "import subprocess, sys; from loguru import logger; logger.remove()\n"
        "from loguru_stdbridge import install_bridge\n"
        "install_bridge(sink=sys.argv[1], server=False, format='{message}', rotation='1 MB')\n"
        "logger.info('parent')\n"
        "subprocess.run([sys.executable, '-c', 'from loguru import logger; logger.info(\"child\")'])\n"
        "logger.info('parent again')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
    assert path.read_text() == "parent\nchild\nparent again\n"


def test_a_forked_child_goes_on_with_its_own(path):
    """A forked child writes the file under a lock that it has taken itself, and counts anew."""
    with install_bridge(sink=path, server=False, format="{message}", children=False) as bridge:
        logger.info("before")
        child = os.fork()
        if child == 0:
            try:
                logger.info("child")
                os._exit(int(bridge.stats().accepted != 1))
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        logger.info("after")
    assert path.read_text() == "before\nchild\nafter\n"


def test_several_files_get_what_their_levels_let_through(path):
    """With ``handlers=`` each file gets the records of its own level, rotated by its own words."""
    errors = path.with_name("errors.log")
    handlers = [
        {"sink": path, "format": "{message}", "rotation": "1 day"},
        {"sink": errors, "format": "E {message}", "level": "ERROR"},
    ]
    with install_bridge(handlers=handlers, server=False, children=False):
        logger.info("info")
        logger.error("error")
    assert path.read_text() == "info\nerror\n"
    assert errors.read_text() == "E error\n"


def test_a_handler_of_the_bridge_needs_no_server_either(path):
    """``BridgeHandler(sink=..., server=False)`` writes the file itself."""
    handler = BridgeHandler(sink=str(path), server=False, format="{level} {message}")
    handler.handle(logging.makeLogRecord({"msg": "line", "levelno": 30, "levelname": "WARNING"}))
    handler.close()
    assert path.read_text() == "WARNING line\n"


def test_a_receiver_keeps_the_bridge_without_a_server_out(path):
    """Where a receiver writes the file, ``server=False`` raises and names it."""
    with (
        start_receiver(path, address="tcp://127.0.0.1:0"),
        pytest.raises(LedgerHeldError, match="receiver of process"),
    ):
        install_bridge(sink=path, server=False)


@pytest.mark.parametrize("given", [{}, {"address": "tcp://127.0.0.1:1"}])
def test_without_a_server_a_file_has_to_be_named(given):
    """``server=False`` without a file raises, since nobody else writes one."""
    with pytest.raises(ConfigurationError, match="server=False"):
        install_bridge(server=False, **given)
