"""Records cross a real NATS server: from workers to a stream, and from there to a file."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import subprocess
import sys

import pytest
import trustme

from loguru_stdbridge import BridgeHandler
from loguru_stdbridge.receiver.embedded import EmbeddedReceiver
from loguru_stdbridge.receiver.service import Service
from tests.support.engine import EngineServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("fast_handlers")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with JetStream that takes 64 kB in one message."""
    with EngineServer(tmp_path_factory.mktemp("nats"), "max_payload: 65536") as server:
        yield server


@pytest.fixture
def start(tmp_path):
    """Start a receiver in a thread; return it with what it has told the operator."""
    with contextlib.ExitStack() as opened:

        def start(sink, *addresses, beside=(), spool="spool", create=None, plain=False):
            reports = []
            words = {} if "://" in str(sink) and not plain else {"format": "{message}"}
            handlers = [{"sink": sink, **words}]
            handlers += [{"sink": path, "format": "{message}"} for path in beside]
            service = Service(
                handlers, addresses or ["tcp://127.0.0.1:0"], spool_dir=spool and tmp_path / spool,
                report=reports.append, nats_create=create,
            )  # fmt: skip
            return opened.enter_context(EmbeddedReceiver(service)), reports

        yield start


@pytest.fixture
def logger(tmp_path):
    """Return ``logger(address)``, a logger of the stdlib with a handler of ours alone."""
    with contextlib.ExitStack() as opened:

        def logger(receiver):
            handler = BridgeHandler(address=receiver.address, spool_dir=tmp_path / "spool")
            opened.callback(handler.close)
            made = logging.Logger("shop")
            made.addHandler(handler)
            return made, handler

        yield logger


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def is_told(reports, text):
    """Return a condition: one of the reports holds a text."""
    return lambda: any(text in report for report in reports)


def test_a_record_goes_through_the_stream_into_the_file(server, start, logger, tmp_path):
    """Records of a worker are acknowledged by the stream, and each is in the file once, whole."""
    sender, _ = start(server.address("whole"), create="max_age=7d", beside=[tmp_path / "near.log"])
    log, handler = logger(sender)
    for number in range(200):
        log.info("record %d", number)
    log.info("long %s end", "x" * 200_000)
    assert handler.wait(20)
    expected = [*(f"record {number}" for number in range(200)), f"long {'x' * 200_000} end"]
    assert lines(tmp_path / "near.log") == expected
    start(tmp_path / "far.log", server.address("whole"), spool="other")
    wait_until(lambda: lines(tmp_path / "far.log") == expected, what=lines(tmp_path / "far.log"))


def test_a_stream_of_a_format_carries_finished_lines(server, start, logger, tmp_path):
    """Where the format is named at both ends, workers render the lines, and the file has them."""
    server.add_stream("plain")
    sender, _ = start(server.address("plain"), plain=True)
    log, handler = logger(sender)
    log.info("first")
    assert handler.wait(20)
    assert handler.channel.far_sinks.renderer is not None
    log.info("second")
    assert handler.wait(20)
    start(tmp_path / "far.log", server.address("plain"), spool="other")
    wait_until(lambda: lines(tmp_path / "far.log") == ["first", "second"])


def test_the_next_receiver_of_a_machine_without_a_spool_has_the_same_log(server, start):
    """A receiver that keeps no spool has a log of the same name as the one before it.

    Workers keep their records for the log that has greeted them.
    """
    server.add_stream("same")
    names = []
    for _ in range(2):
        receiver, _ = start(server.address("same"), spool=False)
        names.append(receiver._service.log.path)
        receiver.close()
    assert names[0] == names[1]


def test_a_record_of_a_stock_client_goes_through_the_stream(server, start, tmp_path):
    """An unmodified SocketHandler's records cross the stream under a number of the receiver's."""
    server.add_stream("stock")
    sender, _ = start(server.address("stock"))
    start(tmp_path / "far.log", server.address("stock"), spool="other")
    log = logging.Logger("stock")
    handler = logging.handlers.SocketHandler(sender.address.host, sender.address.port)
    log.addHandler(handler)
    for number in range(50):
        log.info("record %d", number, extra={"shop": (1, "a")})
    handler.close()
    wait_until(lambda: len(lines(tmp_path / "far.log")) == 50, what=lines(tmp_path / "far.log"))
    assert lines(tmp_path / "far.log") == [f"record {number}" for number in range(50)]


def test_the_next_reader_goes_on_behind_the_last_one(server, start, logger, tmp_path):
    """A receiver that takes over the file reads what its ledger lacks, and nothing twice."""
    server.add_stream("turns")
    sender, _ = start(server.address("turns"))
    log, handler = logger(sender)
    for turn in range(3):
        with start(tmp_path / "far.log", server.address("turns"), spool="other")[0]:
            log.info("turn %d", turn)
            wait_until(lambda: len(lines(tmp_path / "far.log")) == 2 * turn + 1)
        log.info("between %d", turn)
    assert handler.wait(20)
    start(tmp_path / "far.log", server.address("turns"), spool="other")
    expected = [text for turn in range(3) for text in (f"turn {turn}", f"between {turn}")]
    wait_until(lambda: lines(tmp_path / "far.log") == expected, what=lines(tmp_path / "far.log"))


def test_an_engine_that_is_away_is_waited_for(start, logger, tmp_path):
    """While the server is dead a worker goes on logging; when it is back, each record is there once."""
    server = EngineServer(tmp_path / "nats")
    with server:
        sender, told = start(server.address("logs"), create="max_age=7d")
        start(tmp_path / "far.log", server.address("logs"), spool="other", create="max_age=7d")
        log, handler = logger(sender)
        log.info("before")
        assert handler.wait(20)
        server.kill()
        wait_until(is_told(told, "connect"))
        log.info("while it is away")
        assert not handler.wait(0.1)
        server.start()
        assert handler.wait(20)
        wait_until(is_told(told, "takes records again"))
        expected = ["before", "while it is away"]
        wait_until(
            lambda: lines(tmp_path / "far.log") == expected, what=lines(tmp_path / "far.log")
        )


def test_what_the_stream_has_removed_unread_is_told(server, start, logger, tmp_path):
    """Records that a limit of the stream has removed are reported as missing, with their number."""
    server.add_stream("small", max_msgs=1)
    sender, told = start(server.address("small"))
    log, handler = logger(sender)
    for number in range(3):
        log.info("record %d", number)
        assert handler.wait(20)
    wait_until(is_told(told, "max_msgs=1 removes its oldest messages"))
    start(tmp_path / "far.log", server.address("small"), spool="other")
    wait_until(lambda: len(lines(tmp_path / "far.log")) == 2, what=lines(tmp_path / "far.log"))
    missing, last = lines(tmp_path / "far.log")
    assert missing.startswith("2 records of sender ") and "missing in the stream" in missing
    assert last == "record 2"


LOGIN = """
authorization {
  users = [
    { user: u, password: p }
    { user: weak, password: p, permissions: { publish: ["other"], subscribe: ["_INBOX.>"] } }
  ]
}
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server that asks for a login."""
    with EngineServer(tmp_path_factory.mktemp("guarded"), LOGIN) as server:
        yield server


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A server without JetStream."""
    with EngineServer(tmp_path_factory.mktemp("bare"), jetstream=False) as server:
        yield server


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with TLS, and the path of a CA that is not its own."""
    place = tmp_path_factory.mktemp("secure")
    trustme.CA().cert_pem.write_to_path(place / "other.pem")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(place / "own.pem")
    config = f'tls {{ cert_file: "{place / "own.pem"}", key_file: "{place / "own.pem"}" }}'
    with EngineServer(place, config) as server:
        yield server, place / "other.pem"


def check_waiting(address, told, start, logger):
    """Assert that a trouble is told, and that a worker's record waits meanwhile."""
    sender, reports = start(address)
    log, handler = logger(sender)
    log.info("waits")
    wait_until(is_told(reports, told), what=reports)
    assert not handler.wait(0.05)
    assert handler.stats().pending == 1


def test_wrong_credentials_are_told(guarded, start, logger):
    """A password that the server does not accept is told, and the records wait."""
    address = guarded.address("logs", "u:wrong@")
    check_waiting(address, "does not accept these credentials", start, logger)


def test_a_stream_that_is_not_there_is_told(server, start, logger):
    """A stream that is missing is told with the option that makes it, and the records wait."""
    check_waiting(server.address("absent"), "--nats-create", start, logger)


def test_a_denied_permission_is_told(guarded, start, logger):
    """A user who may not publish to the stream is told so by name, and the records wait."""
    check_waiting(guarded.address("logs", "weak:p@"), "permission denied", start, logger)


def test_a_server_without_jetstream_is_told(bare, start, logger):
    """A server that keeps no streams is told, and the records wait."""
    check_waiting(bare.address("logs"), "has no JetStream", start, logger)


def test_a_certificate_of_another_authority_is_told(secure, start, logger):
    """A server whose certificate another CA has signed is told, and the records wait."""
    server, authority = secure
    address = server.address("logs", query=f"?tls_ca={authority}")
    check_waiting(address, "cannot be trusted", start, logger)


MAIN = "import sys; {first}; from loguru_stdbridge.receiver.cli import main; code = main({argv}); {last}"


def test_without_the_extra_the_error_names_it(tmp_path):
    """Without the makers' client an engine's address is refused with the command that installs it."""
    argv = ["app.log", "--listen", "nats://127.0.0.1:1/logs"]
    code = MAIN.format(first="sys.modules['nats'] = None", argv=argv, last="sys.exit(code)")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert "pip install 'loguru-stdbridge[nats]'" in done.stderr


def test_nothing_of_an_engine_is_loaded_without_its_address(tmp_path):
    """A receiver without an engine's address loads neither the client nor our part for it."""
    last = "print([m for m in sys.modules if m.split('.')[0] == 'nats' or '.engine' in m])"
    code = MAIN.format(first="pass", argv=["app.log", "--check"], last=last)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\n", done.stderr
