"""``--console`` prints what is written, and holds up nothing where nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys

from loguru_stdbridge.status.console import Console
from loguru_stdbridge.status.pieces import Piece
from loguru_stdbridge.status.terminal import Colouring
from tests.receiver.test_writer import ONE
from tests.status.test_board import line


def test_what_is_written_is_printed(tmp_path):
    """A receiver prints each record on its stdout, as text, and the file has it as well."""
    sink = tmp_path / "app.log"
    code = "import sys; from loguru import logger; from loguru_stdbridge import install_bridge\nwith install_bridge(): logger.warning('hello \\x07'); logger.info('second')"
    command = [
        sys.executable,
        "-m",
        "loguru_stdbridge.receiver",
        str(sink),
        "--console",
        "--listen",
        "tcp://127.0.0.1:0",
    ]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, second = done.stdout.splitlines()
    assert " WARNING " in first
    assert first.endswith("__main__ hello ␇")
    assert second.endswith("second")
    assert len(sink.read_text().splitlines()) == 2
    wrong = [sys.executable, "-m", "loguru_stdbridge.receiver", "-", "--console"]
    done = subprocess.run(wrong, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 78
    assert "already" in done.stderr


def test_a_console_that_nobody_reads_is_told_what_it_missed(monkeypatch):
    """A console whose reader stands still misses records, and is told how many."""
    reader, writer = os.pipe()
    monkeypatch.setattr("loguru_stdbridge.status.console.STDOUT", writer)
    console = Console("{message}", Colouring(False))
    console.start()
    try:
        for _ in range(200):
            console.board.show([Piece(ONE, [line("x" * 100)] * 100, 10_000)])
        with os.fdopen(reader, "rb", closefd=False) as file:
            text = b""
            while b"last" not in text:
                text = file.readline()
                if b"left out" in text:
                    console.board.show([Piece(ONE, [line("last")], 10)])
                    break
    finally:
        os.close(reader)
        console.close(10)
        os.close(writer)
    assert b"left out: too fast" in text
