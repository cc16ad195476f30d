"""SIGHUP has a running receiver follow its configuration, and no connection ends for it."""

from __future__ import annotations

import json
import logging
import random
import re
import signal

import pytest

from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from loguru_stdbridge.worker.rendering import row_of_logrecord
from tests.support.processes import ReceiverProcess
from tests.support.reloads import reloads
from tests.support.scripted import a_row

SEED = random.SystemRandom().randrange(10**6)


class Configured:
    """A receiver with a configuration file, and a worker of it."""

    def __init__(self, directory, **options):
        self.sink = directory / "app.log"
        self.config = directory / "receiver.json"
        self.options = {"sink": str(self.sink), "format": "{message}", **options}
        self.write()
        self.receiver = ReceiverProcess(self.sink, LOGURU_STDBRIDGE_CONFIG=str(self.config))

    def write(self, **options):
        self.options.update(options)
        self.config.write_text(json.dumps(self.options))

    def reload(self, eventually):
        """Send SIGHUP, and wait until it was followed: SIGUSR2 is answered after it."""
        before = self.told().count("state of process")
        self.receiver.process.send_signal(signal.SIGHUP)
        self.receiver.process.send_signal(signal.SIGUSR2)
        eventually(lambda: self.told().count("state of process") > before, 30, "it has followed")

    def told(self):
        return self.receiver.stderr.read_text()


@pytest.fixture
def configured(tmp_path):
    made = Configured(tmp_path)
    with made.receiver:
        yield made


@pytest.fixture
def channel(configured):
    made = Channel(check_options(configured.receiver.address))
    yield made
    made.close(0.0, patient=False)


def log(channel, text):
    """Log a record as a loguru sink does: rendered by the worker, where it may."""
    row = a_row(text)
    if channel.far_sinks.renderer is not None:
        record = logging.makeLogRecord({"msg": text, "levelno": 20, "levelname": "INFO"})
        row = row_of_logrecord(channel.far_sinks.renderer, record)
    channel.emit(row)
    assert channel.flush(30)


def test_a_new_format_reaches_connected_workers(configured, channel, eventually):
    """After a reload, a worker that stays connected renders lines in the new format."""
    log(channel, "one")
    assert channel.far_sinks.renderer is not None
    configured.write(format="<{message}>")
    before = channel.far_sinks.renderer
    configured.reload(eventually)
    eventually(lambda: channel.far_sinks.renderer is not before, 30, "the worker is told")
    log(channel, "two")
    configured.write(format="{message} {extra}")
    configured.reload(eventually)
    eventually(
        lambda: channel.far_sinks.renderer is None, 30, "the worker is told that it renders none"
    )
    log(channel, "three")
    assert channel.totals().reconnects == 0
    assert configured.sink.read_text().splitlines() == ["one", "<two>", "three {}"]


def test_rotation_and_compression_are_followed(configured, channel, eventually, tmp_path):
    """After a reload, the open file is rotated and compressed by the new options."""
    log(channel, "one")
    configured.write(rotation="10 B", compression="gz", retention=5)
    configured.reload(eventually)
    log(channel, "a longer one")
    log(channel, "two")
    eventually(lambda: list(tmp_path.glob("app.*.log.gz")), 30, "an archive is made")
    configured.write(rotation=None, compression=None)
    configured.options = {k: v for k, v in configured.options.items() if v is not None}
    configured.write()
    configured.reload(eventually)
    log(channel, "a longer one, which stays")
    log(channel, "three")
    assert configured.sink.read_text().splitlines()[-2:] == ["a longer one, which stays", "three"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rotation": "nonsense"}, "Cannot parse rotation"),
        ({"rotatoin": "1 MB"}, "no option 'rotatoin'; did you mean rotation"),
        ({"encoding": "latin-1"}, "encoding of .* needs another start"),
        ({"sink": "/elsewhere.log"}, "others need another start"),
    ],
)
def test_what_cannot_be_taken_over_changes_nothing(configured, channel, eventually, change, reason):
    """A configuration that is wrong, or needs a restart, is told, and the one before stays."""
    configured.write(format="<{message}>", **change)
    configured.reload(eventually)
    assert re.search(
        f"not taken over: .*{reason}.*the one before stays in force", configured.told()
    )
    log(channel, "one")
    assert configured.sink.read_text() == "one\n"


def test_what_needs_another_start_is_named(configured, eventually):
    """An option that is no sink's is in force from the next start on, and that is told."""
    configured.write(grace=1)
    configured.reload(eventually)
    assert "changed, and in force from the next start on: grace" in configured.told()


def test_reloads_under_load_lose_and_double_nothing(tmp_path):
    """SIGHUP again and again under load, one option changed each time, loses and doubles nothing."""
    figures = reloads(tmp_path / "scene", SEED, 6, "ab")
    assert figures.clean, f"seed {SEED}: {figures}"
