"""Measures how long records take beside a thousand TLS handshakes that stall.

::

    python -m tests.support.stalled

A worker over TLS and one at the log's own socket log a record and wait until it is in the file, in
turn, first alone and then beside a process that begins a thousand handshakes and leaves them: a
third without a byte, a third in the middle of their hello, a third behind it. Those that the
receiver ends are begun anew. The exit status is 1 where a record took 50 ms longer than any alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.certificates import Authority
from tests.support.processes import ReceiverProcess, start_python
from tests.support.scripted import a_row

LIMIT = 0.05  # seconds that a record may take longer than the slowest one alone

STALL = """
import sys
from tests.support.stalled import stall
stall(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
"""


def stall(host: str, port: int, ca: str, count: int) -> None:
    """Begin ``count`` handshakes and leave them; begin those anew that are ended. Never returns."""
    context = ssl.create_default_context(cafile=ca)
    clients: list[socket.socket] = []
    number = 0
    print("begun", flush=True)
    while True:
        while len(clients) < count:
            number += 1
            with contextlib.suppress(OSError):
                raw = socket.create_connection((host, port), 30)
                clients.append(raw)
                if number % 3:
                    outgoing = ssl.MemoryBIO()
                    stream = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host)
                    with contextlib.suppress(ssl.SSLWantReadError):
                        stream.do_handshake()
                    hello = outgoing.read()
                    raw.sendall(hello if number % 3 == 1 else hello[: len(hello) // 2])
        left = []
        for client in clients:
            client.setblocking(False)
            try:
                alive = client.recv(65536) != b""
            except BlockingIOError:
                alive = True
            except OSError:
                alive = False
            if alive:
                left.append(client)
            else:
                client.close()
        clients = left
        threading.Event().wait(0.02)


def measure(channel: Channel, count: int) -> list[float]:
    """Return the seconds that each of ``count`` records took to the file."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        channel.emit(a_row(f"record {number}"))
        assert channel.flush(60.0)
        times.append(time.perf_counter() - began)
        threading.Event().wait(0.005)
    return times


def show(title: str, times: list[float]) -> str:
    """Return a line of figures, in milliseconds."""
    ordered = sorted(times)
    return (
        f"{title:32} median {statistics.median(times) * 1e3:6.1f}  99th percentile "
        f"{ordered[int(len(ordered) * 0.99)] * 1e3:6.1f}  most {ordered[-1] * 1e3:6.1f} ms"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; return 1 where a record was late."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.stalled")
    parser.add_argument("--records", type=int, default=500, help="of each worker, each time (500)")
    parser.add_argument("--handshakes", type=int, default=1000)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="stalled-") as base:
        authority = Authority(Path(base) / "certificates")
        server, mine = authority.issue(name="server"), authority.issue(name="worker")
        os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"] = f"{base}/spool"
        os.environ["XDG_RUNTIME_DIR"] = base
        sink = Path(base) / "logs" / "app.log"
        words = ("--tls-cert", server, "--tls-ca", authority.ca, "--format", "{message}")
        with ReceiverProcess(sink, *words, listen="tls://127.0.0.1:0") as receiver:
            port = int(receiver.address.rpartition(":")[2])
            tls = Channel(
                check_options(receiver.address, tls_ca=authority.ca, tls_cert=mine, spool_dir=False)
            )
            own = Channel(check_options(f"log://{sink}"))
            alone = {"TLS": measure(tls, options.records), "own": measure(own, options.records)}
            arguments = ("127.0.0.1", str(port), authority.ca, str(options.handshakes))
            stalling = start_python(STALL, *arguments)
            try:
                assert stalling.stdout is not None
                stalling.stdout.readline()
                beside = {"TLS": measure(tls, options.records)}
                beside["own"] = measure(own, options.records)
            finally:
                stalling.kill()
                stalling.communicate()
            reconnects = tls.totals().reconnects + own.totals().reconnects
            for channel in (tls, own):
                assert channel.close(30.0)
            assert receiver.stop() == 0
    late = 0
    for name in ("TLS", "own"):
        print(show(f"{name} worker, alone", alone[name]))
        print(show(f"{name} worker, beside {options.handshakes}", beside[name]))
        late += sum(taken > max(alone[name]) + LIMIT for taken in beside[name])
    print(f"{late} records were {LIMIT * 1e3:.0f} ms later than any alone; {reconnects} reconnects")
    return 1 if late or reconnects else 0


if __name__ == "__main__":
    sys.exit(main())
