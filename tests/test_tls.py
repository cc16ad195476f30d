"""Workers, stock clients and a receiver over TLS: who gets in, and what each side says of it."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loguru_stdbridge.addresses import Address
from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.system.tls_files import TlsFiles
from loguru_stdbridge.worker import pipeline
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.processes import free_port, run_python
from tests.support.scripted import a_row

pytest.importorskip("trustme", reason="trustme makes the certificates")
from tests.support.certificates import Authority

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("others"), "other")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue()


@pytest.fixture(scope="module")
def client(authority):
    return authority.issue("client.example", name="shop-1")


class Running:
    """A receiver in a thread, at a ``tls://`` address unless told otherwise."""

    def __init__(self, path, tls, *, address="tls://127.0.0.1:0", **options):
        self.path = path
        self.told = []
        handler = {"sink": path, "format": "{message}"}
        self.service = Service([handler], [address], report=self.told.append, tls=tls, **options)
        self.address = self.service.addresses[0]
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()

    def lines(self):
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []

    def says(self, pattern):
        return any(re.search(pattern, text) for text in list(self.told))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.service.stop()
        self.thread.join()


@pytest.fixture
def told(monkeypatch):
    """Collect what workers tell their operator."""
    texts = []
    monkeypatch.setattr(pipeline, "report", texts.append)
    return texts


@contextlib.contextmanager
def worker(address, **options):
    """Make a channel of a worker with records in memory."""
    channel = Channel(check_options(str(address), spool_dir=False, **options))
    try:
        yield channel
    finally:
        channel.close(0.0, patient=False)


def test_records_go_through_tls_once_and_in_order(tmp_path, authority, server, client):
    """A worker with a certificate delivers its records over TLS, in order, and leaves in order."""
    tls = TlsFiles(cert=server, ca=authority.ca)
    with Running(tmp_path / "app.log", tls) as running:
        channel = Channel(
            check_options(
                f"tls://localhost:{running.address.port}", tls_ca=authority.ca, tls_cert=client
            )
        )
        texts = [f"record {number} {'x' * (number * 37 % 5000)}" for number in range(3000)]
        for text in texts:
            channel.emit(a_row(text))
        assert channel.close(60.0)
    assert running.lines() == texts
    assert running.told == []
    assert running.address.scheme == "tls"


@pytest.mark.parametrize(
    ("case", "worker_says", "receiver_says"),
    [
        ("no certificate", "asks for a certificate", "it shows no certificate"),
        ("another CA", "does not know the CA", "self.signed certificate|local issuer"),
        ("expired", "expired", "expired"),
        ("revoked", "revoked", "revoked"),
        ("server of another CA", "self.signed certificate|local issuer", "does not know the CA"),
        ("server expired", "expired", "expired"),
        ("server revoked", "revoked", "revoked"),
        ("wrong host name", "ostname mismatch", "does not accept"),
    ],
)
def test_a_wrong_certificate_is_refused(
    tmp_path, authority, other_authority, server, client, told, eventually, case, worker_says,
    receiver_says,
):  # fmt: skip
    """Each fault of a certificate is named on both sides, and the records stay with the worker."""
    crl = authority.revoke()
    options = {"tls_ca": authority.ca, "tls_cert": client}
    if case == "no certificate":
        del options["tls_cert"]
    elif case == "another CA":
        options["tls_cert"] = other_authority.issue("client.example", name="stranger")
    elif case == "expired":
        options["tls_cert"] = authority.issue("client.example", name="old", expired=True)
    elif case == "revoked":
        options["tls_cert"] = authority.issue("client.example", name="thief")
        crl = authority.revoke(options["tls_cert"])
    elif case == "server of another CA":
        options["tls_ca"] = other_authority.ca
    elif case == "server expired":
        server = authority.issue(file="expired", expired=True)
    elif case == "server revoked":
        server = authority.issue(file="stolen")
        options["tls_crl"] = authority.revoke(server)
    elif case == "wrong host name":
        options["tls_hostname"] = "logs.example"
    with Running(tmp_path / "app.log", TlsFiles(server, None, authority.ca, crl)) as running:
        with worker(running.address, **options) as channel:
            channel.emit(a_row("kept"))
            eventually(lambda: told and running.told, 30, "both sides tell")
            assert "cannot deliver to tls://127.0.0.1" in told[0]
            assert re.search(worker_says, told[0]), told
            assert running.says(receiver_says), running.told
            assert channel.totals().pending == 1
        with worker(running.address, tls_ca=authority.ca, tls_cert=client) as good:
            if case.startswith("server"):
                return  # nobody can use such a receiver
            good.emit(a_row("good"))
            assert good.flush(30.0)
    assert running.lines() == ["good"]


def test_a_plain_worker_at_a_tls_port_is_told(tmp_path, authority, server, told, eventually):
    """A plain worker at a TLS port, and the receiver there, say that one of them speaks TLS."""
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        plain = Address("tcp", running.address.host, running.address.port)
        with worker(plain) as channel:
            channel.emit(a_row("kept"))
            eventually(lambda: told and running.told, 30, "both sides tell")
            assert channel.totals().pending == 1
    assert "bytes of TLS, and this end is plain: use tls://" in told[0]
    assert running.says("plain bytes, and this end speaks TLS: use tls://")
    assert running.lines() == []


def test_a_tls_worker_at_a_plain_port_is_told(tmp_path, authority, client, told, eventually):
    """A TLS worker at a plain port, and the receiver there, say that one of them is plain."""
    with Running(tmp_path / "app.log", None, address="tcp://127.0.0.1:0") as running:
        secure = Address("tls", running.address.host, running.address.port)
        with worker(secure, tls_ca=authority.ca, tls_cert=client) as channel:
            channel.emit(a_row("kept"))
            eventually(lambda: told and running.told, 30, "both sides tell")
            assert channel.totals().pending == 1
    assert "it may speak no TLS at this port (tcp://)" in told[0]
    assert running.says("bytes of TLS, and this end is plain")
    assert running.lines() == []


class TlsSocketHandler(logging.handlers.SocketHandler):
    """The stock handler with its socket under TLS, as users write it. It never reads."""

    context: ssl.SSLContext

    def makeSocket(self, timeout=1):
        return self.context.wrap_socket(super().makeSocket(10), server_hostname="localhost")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_stock_client_that_never_reads_loses_nothing(
    tmp_path, authority, server, client, version, eventually
):
    """A ``SocketHandler`` under TLS that closes at once after its records has all of them taken."""
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(client)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    tls = TlsFiles(server, ca=authority.ca)
    texts = [f"stock {number} {'y' * 900}" for number in range(1500)]
    with Running(tmp_path / "app.log", tls) as running:
        handler = TlsSocketHandler("127.0.0.1", running.address.port)
        handler.context = context
        for text in texts:
            handler.emit(logging.makeLogRecord({"msg": text, "levelno": 20}))
        handler.close()
        eventually(lambda: len(running.lines()) == len(texts), 30, "all are there")
    assert running.lines() == texts


@pytest.mark.skipif(STUNNEL is None, reason="needs stunnel (Debian's package stunnel4)")
def test_a_stock_client_comes_through_stunnel(tmp_path, authority, server, client, eventually):
    """Records of an unmodified ``SocketHandler`` arrive once through stunnel, with its certificate."""
    port = free_port()
    texts = [f"stock {number} {'z' * 900}" for number in range(1500)]
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        config = tmp_path / "stunnel.conf"
        config.write_text(
            f"foreground = yes\npid =\nsyslog = no\n[log]\nclient = yes\ncert = {client}\n"
            f"CAfile = {authority.ca}\nverifyChain = yes\ncheckHost = localhost\n"
            f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{running.address.port}\n",
            encoding="ascii",
        )
        tunnel = subprocess.Popen([STUNNEL, str(config)], stderr=subprocess.DEVNULL)
        try:
            handler = logging.handlers.SocketHandler("127.0.0.1", port)

            def is_reached():
                handler.createSocket()
                return handler.sock is not None

            eventually(is_reached, 30, "stunnel listens")
            for text in texts:
                handler.emit(logging.makeLogRecord({"msg": text, "levelno": 20}))
            handler.close()
            eventually(lambda: len(running.lines()) == len(texts), 30, "all are there")
        finally:
            tunnel.kill()
            tunnel.wait()
    assert running.lines() == texts
    assert not running.says("TLS")


def test_tls_bytes_may_come_one_by_one(tmp_path, authority, server, client, eventually):
    """The receiver takes a handshake and a record whose bytes come one at a time."""
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(client)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    stream = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    handler = logging.handlers.SocketHandler("unused", 1)
    frame = handler.makePickle(logging.makeLogRecord({"msg": "slowly", "levelno": 20}))
    handler.close()
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        with socket.create_connection((running.address.host, running.address.port), 30) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_open = False
            while not is_open:
                with contextlib.suppress(ssl.SSLWantReadError):
                    stream.do_handshake()
                    is_open = True
                for byte in outgoing.read():
                    raw.send(bytes([byte]))
                if not is_open:
                    incoming.write(raw.recv(65536))
            stream.write(frame)
            for byte in outgoing.read():
                raw.send(bytes([byte]))
            eventually(lambda: running.lines() == ["slowly"], 30, "it arrives")
    assert running.told == []


def test_certificates_are_read_again(tmp_path, authority, other_authority, client, eventually):
    """After a reload new clients get the new certificate, and those that are there stay."""
    path = authority.directory / "renewed.pem"
    path.write_bytes((authority.directory / "server.pem").read_bytes())
    with Running(tmp_path / "app.log", TlsFiles(str(path), ca=authority.ca)) as running:
        options = {"tls_ca": authority.ca, "tls_cert": client}
        with worker(running.address, **options) as channel:
            channel.emit(a_row("before"))
            assert channel.flush(30.0)
            path.write_text("no certificate", encoding="ascii")
            running.service.reload()
            eventually(
                lambda: running.says("read before are still in use"), 30, "a bad file is told"
            )
            path.write_bytes(Path(other_authority.issue()).read_bytes())
            running.service.reload()
            context = ssl.create_default_context(cafile=other_authority.ca)
            context.load_cert_chain(client)

            def gets_the_new_one():
                place = (running.address.host, running.address.port)
                with socket.create_connection(place, 30) as raw, contextlib.suppress(ssl.SSLError):
                    with context.wrap_socket(raw, server_hostname="localhost"):
                        return True

            eventually(gets_the_new_one, 30, "the new certificate is used")
            channel.emit(a_row("after"))
            assert channel.flush(30.0)
            assert channel.totals().reconnects == 0
    assert running.lines() == ["before", "after"]


def test_a_client_that_is_revoked_while_connected_is_ended(tmp_path, authority, server, eventually):
    """A reload ends the client whose certificate the new list revokes, and no other."""
    crl = tmp_path / "revoked.crl"
    crl.write_bytes(Path(authority.revoke()).read_bytes())
    bad, good = authority.issue(name="stolen"), authority.issue(name="kept")
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca, crl=str(crl))) as running:
        with worker(running.address, tls_ca=authority.ca, tls_cert=bad) as stolen:
            with worker(running.address, tls_ca=authority.ca, tls_cert=good) as kept:
                for channel in (stolen, kept):
                    channel.emit(a_row("before"))
                    assert channel.flush(30.0)
                crl.write_bytes(Path(authority.revoke(bad)).read_bytes())
                running.service.reload()
                eventually(
                    lambda: running.says("stolen at .*its certificate has been revoked"), 30, "told"
                )
                stolen.emit(a_row("stolen"))
                kept.emit(a_row("after"))
                assert kept.flush(30.0)
                assert kept.totals().reconnects == 0
    assert running.lines() == ["before", "before", "after"]


def test_a_worker_reads_its_certificate_again(tmp_path, authority, server, told, eventually):
    """A worker whose expired certificate is replaced connects with the new one by itself."""
    mine = authority.issue("client.example", name="renewing", expired=True)
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        with worker(running.address, tls_ca=authority.ca, tls_cert=mine) as channel:
            channel.emit(a_row("waits"))
            eventually(lambda: told, 30, "the worker tells")
            authority.issue("client.example", name="renewing")
            assert channel.flush(30.0)
    assert running.lines() == ["waits"]


def test_the_name_in_a_certificate_is_told(tmp_path, authority, server, client, eventually):
    """The receiver names a client that it refuses by its certificate, harmless to a terminal."""
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(client)
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        with socket.create_connection((running.address.host, running.address.port), 30) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as secure:
                secure.sendall(b"\xff" * 8)
                assert secure.recv(1) == b""
    assert running.says(r"refused from shop-1 at 127\.0\.0\.1:\d+: a frame of 4294967295 bytes")


def stalling(address, stage, context, count):
    """Return ``count`` sockets whose TLS handshake goes as far as ``stage``."""
    clients = []
    for _ in range(count):
        raw = socket.create_connection((address.host, address.port), 30)
        clients.append(raw)
        if stage:
            outgoing = ssl.MemoryBIO()
            stream = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                stream.do_handshake()
            hello = outgoing.read()
            raw.sendall(hello[: len(hello) // 2] if stage == 1 else hello)
    return clients


def test_a_thousand_handshakes_that_stall_keep_nobody_out(
    tmp_path, authority, server, client, eventually
):
    """Workers that are there, and one that comes, deliver beside a thousand stalled handshakes.

    A third have sent nothing, a third half of their hello, and a third all of it.
    """
    context = ssl.create_default_context(cafile=authority.ca)
    options = {"tls_ca": authority.ca, "tls_cert": client}
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        with worker(running.address, **options) as early:
            early.emit(a_row("early"))
            assert early.flush(30.0)
            clients = []
            for stage in range(3):
                clients += stalling(running.address, stage, context, 334)
                early.emit(a_row(f"early {stage}"))
                assert early.flush(30.0)
            with worker(running.address, **options) as late:
                late.emit(a_row("late"))
                assert late.flush(30.0)
            assert early.totals().reconnects == 0
            for stalled in clients:
                stalled.close()
    assert running.lines() == ["early", "early 0", "early 1", "early 2", "late"]
    assert running.says("its TLS handshake stalled, and 200 newer ones have begun")


@pytest.mark.parametrize(
    ("address", "tls", "reason"),
    [
        ("tcp://0.0.0.0:0", {}, "whoever reaches it can write.*tls://0.0.0.0:0.*--insecure"),
        ("tcp://[::]:0", {}, "whoever reaches it can write"),
        ("tcp://logs.example:0", {}, "whoever reaches it can write"),
        ("tls://0.0.0.0:0", {"cert": True}, "no client has to show a certificate.*--tls-ca"),
        ("tls://127.0.0.1:0", {}, "needs the receiver's certificate.*--tls-cert"),
    ],
)
def test_a_receiver_listens_to_no_strangers_unasked(
    tmp_path, authority, server, address, tls, reason
):
    """A receiver refuses an address at which strangers could write, and says what to do."""
    files = TlsFiles(cert=server if tls.get("cert") else None)
    with pytest.raises(ConfigurationError, match=reason):
        Service([{"sink": tmp_path / "app.log"}], [address], tls=files)
    assert not (tmp_path / "app.log").exists()


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tls://0.0.0.0:0"])
def test_a_receiver_listens_to_strangers_when_told(tmp_path, server, address):
    """``insecure`` has a receiver listen beyond loopback without client certificates."""
    with Running(tmp_path / "app.log", TlsFiles(server), address=address, insecure=True) as running:
        assert running.address.host == "0.0.0.0"


def test_a_file_that_cannot_be_used_is_named(tmp_path, authority, server, client):
    """A missing file, one without a certificate and another's key are told by option and path."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    key = authority.directory / "only-key.pem"
    key.write_text(re.search("-----BEGIN [A-Z ]*KEY.*?-----END [A-Z ]*KEY-----\n",
                             Path(server).read_text(), re.S)[0])  # fmt: skip
    cases = {
        ("tls_cert='/no/such.pem'", "No such file"): TlsFiles("/no/such.pem"),
        (f"tls_cert='{empty}'", "no certificate and key in PEM"): TlsFiles(str(empty)),
        ("tls_key=", "another certificate's"): TlsFiles(client, str(key)),
        ("tls_ca='/no/ca.pem'", "No such file"): TlsFiles(server, None, "/no/ca.pem"),
        (f"tls_crl='{authority.ca}'", "no revocation list"): TlsFiles(
            server, None, authority.ca, authority.ca
        ),
    }
    for (named, reason), files in cases.items():
        with pytest.raises(ConfigurationError, match=re.escape(named)) as caught:
            Service([{"sink": tmp_path / "app.log"}], ["tls://127.0.0.1:0"], tls=files)
        assert reason in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"tls_ca='/no/ca\.pem': No such file"):
        Channel(check_options("tls://localhost:1", tls_ca="/no/ca.pem"))
    with pytest.raises(ConfigurationError, match="tls_ca='x' with tcp://.*use a tls:// address"):
        check_options("tcp://localhost:1", tls_ca="x")


def test_the_environment_names_the_files(tmp_path, authority, server, client, monkeypatch):
    """A worker and a receiver find their certificates by ``LOGURU_STDBRIDGE_TLS_CERT`` and so on."""
    monkeypatch.setenv("LOGURU_STDBRIDGE_TLS_CA", authority.ca)
    monkeypatch.setenv("LOGURU_STDBRIDGE_TLS_CERT", server)
    with Running(tmp_path / "app.log", None) as running:
        monkeypatch.setenv("LOGURU_STDBRIDGE_TLS_CERT", client)
        with worker(running.address) as channel:
            channel.emit(a_row("hello"))
            assert channel.flush(30.0)
    assert running.lines() == ["hello"]


def test_nobody_else_loads_tls(tmp_path):
    """A worker and a receiver without a ``tls://`` address load nothing that is for TLS."""
    code = """
import sys
import loguru
before = set(sys.modules)  # loguru loads ssl, for asyncio
from loguru_stdbridge import install_bridge, start_receiver
with start_receiver(sys.argv[1], address="tcp://127.0.0.1:0") as receiver:
    with install_bridge(receiver.address):
        loguru.logger.info("hello")
new = set(sys.modules) - before
print([name for name in new if name.endswith(("ssl", "tls", "tls_transport", "tls_connection"))])
"""
    status, out, err = run_python(code, str(tmp_path / "app.log"))
    assert (status, out) == (0, "[]\n"), err


def test_children_have_the_certificates(tmp_path, authority, server, client):
    """A child process that is spawned sends over TLS with its parent's certificates."""
    code = """
import multiprocessing, sys
from loguru import logger
from loguru_stdbridge import install_bridge

def work():
    logger.info("from the child")

if __name__ == "__main__":
    bridge = install_bridge(sys.argv[1], tls_ca=sys.argv[2], tls_cert=sys.argv[3])
    logger.info("from the parent")
    assert bridge.flush(30)
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    with Running(tmp_path / "app.log", TlsFiles(server, ca=authority.ca)) as running:
        subprocess.run(
            [sys.executable, str(program), str(running.address), authority.ca, client],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert sorted(running.lines()) == ["from the child", "from the parent"]
