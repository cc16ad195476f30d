"""The set-ups that are compared, each as its documentation shows it and as fast as it gets.

A run goes: ``start`` prepares the peer; the clock starts; workers are forked, and each runs ``work``;
``drain`` waits for the last line; the clock stops; ``stop`` ends the peer; the lines are counted. All
peers write the same line (loguru's default format, or the same as a ``logging.Formatter``), and all
rotate at 5 MB.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import pickle
import signal
import socketserver
import struct
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from loguru import logger

from loguru_stdbridge import SharedFileHandler, SharedFileSink
from tests.support.processes import log_files

from .bridges import install, start_receiver, stop
from .figure import Options
from .lines import message
from .workers import fork, join

ROTATION = 5_000_000  # bytes
_MOMENT = struct.Struct("d")
_STDLIB_FORMAT = (
    "%(asctime)s.%(msecs)03d | %(levelname)-8s | %(module)s:%(funcName)s:%(lineno)d - %(message)s"
)
_OUR_FORMAT = (
    "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {module}:{function}:{line} - {message}"
)
_PATIENCE = 5.0  # seconds without a new line, after which the missing ones count as lost


class Peer:
    """One set-up in one directory."""

    label = ""
    keeps = (
        ""  # whether the writer gets the whole record: "yes", "no", "-" where there is no writer
    )

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.records = options.records
        self.workers = options.workers
        self.sink = directory / "logs" / "app.log"
        self.sink.parent.mkdir()

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be measured here, or ``None``."""
        return None

    @property
    def pids(self) -> list[int]:
        """The ids of the processes beside the workers and this one."""
        return []

    def start(self) -> None:
        """Prepare the peer, before the clock starts."""

    def forked(self) -> None:
        """Run in the parent right after the fork."""

    def work(self, index: int) -> None:
        """Run in a worker: log, and return when every record has been handed on."""
        raise NotImplementedError

    def drain(self) -> float | None:
        """Wait, after the workers have ended, until all lines are in the files.

        Returns the ``time.perf_counter()`` of the last line if that was before the return, or
        ``None`` if it is now.
        """

    def stop(self) -> None:
        """End the peer, after the clock has stopped."""

    def files(self) -> list[Path]:
        """Return all files that hold lines."""
        return log_files(self.sink)

    # what the workers do

    def log_loguru(self, index: int) -> None:
        info, text = logger.info, message("{}")
        for number in range(self.records):
            info(text, index, number)

    def log_stdlib(self, index: int, handler: logging.Handler) -> None:
        log = logging.getLogger("benchmark")
        log.propagate = False
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        info, text = log.info, message("%d")
        for number in range(self.records):
            info(text, index, number)


class Limit(Peer):
    """A file per process, with nothing shared: the most that loguru can do."""

    label = "the limit: loguru, a file per process"
    keeps = "-"

    def work(self, index: int) -> None:
        logger.remove()
        logger.add(self.sink.with_name(f"worker{index}.log"), rotation=ROTATION)
        self.log_loguru(index)
        logger.remove()

    def files(self) -> list[Path]:
        return list(self.sink.parent.iterdir())


class StdlibLimit(Peer):
    """A rotating file of stdlib logging for each process, with nothing shared."""

    label = "stdlib logging, a RotatingFileHandler per process"
    keeps = "-"

    def work(self, index: int) -> None:
        handler = logging.handlers.RotatingFileHandler(
            self.sink.with_name(f"worker{index}.log"), maxBytes=ROTATION, backupCount=1000
        )
        handler.setFormatter(logging.Formatter(_STDLIB_FORMAT, "%Y-%m-%d %H:%M:%S"))
        self.log_stdlib(index, handler)
        handler.close()

    def files(self) -> list[Path]:
        return list(self.sink.parent.iterdir())


class ZeroMQ(Peer):
    """loguru's recipe with three changes that let it keep the lines and be fast.

    It uses PUSH and PULL, since PUB and SUB drop messages that come too fast. The writer has no
    high-water mark: with the default of 1,000 messages it lost the last hundreds of lines of a worker
    that ended while the writer was behind. The sink is a plain function, not pyzmq's ``logging``
    handler.
    """

    label = "ZeroMQ recipe, formatted text"
    keeps = "no"

    @classmethod
    def missing(cls) -> str | None:
        return _cannot_import("zmq")

    def start(self) -> None:
        self.address = f"ipc://{self.directory}/zmq"
        self._written, self._leave = os.pipe(), os.pipe()
        self._writer = fork(self._write)

    @property
    def pids(self) -> list[int]:
        return [self._writer]

    def _write(self) -> None:
        import zmq

        socket = zmq.Context().socket(zmq.PULL)
        socket.rcvhwm = 0
        socket.rcvtimeo = 5000  # milliseconds: do not wait for ever for a lost line
        socket.bind(self.address)
        logger.remove()
        logger.add(self.sink, rotation=ROTATION, format="{message}")
        left = self.workers
        write = logger.opt(raw=True).info
        with contextlib.suppress(zmq.Again):
            while left:
                text = socket.recv_string()
                if text:
                    write(text)
                    last = time.perf_counter()
                else:
                    left -= 1
        os.write(self._written[1], _MOMENT.pack(last))
        os.read(self._leave[0], 1)

    def work(self, index: int) -> None:
        import zmq

        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.connect(self.address)
        logger.remove()
        logger.add(socket.send_string)
        self.log_loguru(index)
        socket.send_string("")
        socket.close()
        context.term()  # waits until all is sent

    def drain(self) -> float | None:
        moment: float = _MOMENT.unpack(os.read(self._written[0], _MOMENT.size))[0]
        return moment

    def stop(self) -> None:
        os.write(self._leave[1], b"l")
        join(self._writer)


class ConcurrentLogHandler(Peer):
    label = "concurrent-log-handler, stdlib logging"
    keeps = "-"

    @classmethod
    def missing(cls) -> str | None:
        return _cannot_import("concurrent_log_handler")

    def handler(self) -> logging.Handler:
        from concurrent_log_handler import ConcurrentRotatingFileHandler

        return ConcurrentRotatingFileHandler(  # type: ignore[no-any-return]
            str(self.sink), "a", maxBytes=ROTATION, backupCount=1000
        )

    def work(self, index: int) -> None:
        handler = self.handler()
        handler.setFormatter(logging.Formatter(_STDLIB_FORMAT, "%Y-%m-%d %H:%M:%S"))
        self.log_stdlib(index, handler)
        handler.close()

    def files(self) -> list[Path]:
        return list(self.sink.parent.glob("app.log*"))


class LoguruConcurrentLogHandler(ConcurrentLogHandler):
    label = "loguru into concurrent-log-handler"

    def work(self, index: int) -> None:
        logger.remove()
        logger.add(self.handler())
        self.log_loguru(index)
        logger.remove()


class SharedFile(Peer):
    """This package without a server: each process writes under a lock."""

    label = "loguru into SharedFileSink"
    keeps = "-"

    def work(self, index: int) -> None:
        logger.remove()
        logger.add(SharedFileSink(self.sink, rotation=ROTATION))
        self.log_loguru(index)
        logger.remove()


class SharedStdlibFile(Peer):
    label = "SharedFileHandler, stdlib logging"
    keeps = "-"

    def work(self, index: int) -> None:
        handler = SharedFileHandler(self.sink, rotation=ROTATION)
        handler.setFormatter(logging.Formatter(_STDLIB_FORMAT, "%Y-%m-%d %H:%M:%S"))
        self.log_stdlib(index, handler)
        handler.close()


class Queue(Peer):
    label = "multiprocessing.Queue + QueueListener, stdlib"
    keeps = "partly"

    def start(self) -> None:
        self.queue: Any = multiprocessing.get_context("fork").Queue()
        handler = logging.handlers.RotatingFileHandler(
            self.sink, maxBytes=ROTATION, backupCount=1000
        )
        handler.setFormatter(logging.Formatter(_STDLIB_FORMAT, "%Y-%m-%d %H:%M:%S"))
        self.listener = logging.handlers.QueueListener(self.queue, handler)

    def forked(self) -> None:
        self.listener.start()  # after the fork, or the workers would inherit the locks of its thread

    def work(self, index: int) -> None:
        self.log_stdlib(index, logging.handlers.QueueHandler(self.queue))
        self.queue.close()
        self.queue.join_thread()

    def drain(self) -> float | None:
        self.listener.stop()
        return None

    def files(self) -> list[Path]:
        return list(self.sink.parent.glob("app.log*"))


class Enqueue(Peer):
    label = "loguru enqueue=True, inherited by fork"
    keeps = "yes"

    def start(self) -> None:
        multiprocessing.set_start_method("fork", force=True)  # 0.7.0 has no context=
        logger.remove()
        logger.add(self.sink, rotation=ROTATION, enqueue=True)

    def work(self, index: int) -> None:
        self.log_loguru(index)
        logger.complete()

    def drain(self) -> float | None:
        logger.remove()
        return None


class Bridge(Peer):
    """This package with a receiver process, acknowledgements, and journals and ledger on disk."""

    label = "loguru_stdbridge, by replay"
    keeps = "yes"
    render = "receiver"

    def start(self) -> None:
        options = replace(self.options, render=self.render)
        self.receiver = start_receiver(self.sink, options, "--rotation", str(ROTATION))

    @property
    def pids(self) -> list[int]:
        return [self.receiver.process.pid]

    def work(self, index: int) -> None:
        bridge = install(self.receiver.address)
        self.log_loguru(index)
        if not bridge.close(300):
            raise RuntimeError(f"not delivered: {bridge.stats()}")

    def stop(self) -> None:
        stop(self.receiver)


class RenderedBridge(Bridge):
    """This package with the lines rendered in the workers."""

    label = "loguru_stdbridge, by rendered rows"
    keeps = "the line"
    render = "worker"


class StdlibBridge(RenderedBridge):
    """A program on stdlib logging that has called ``install_bridge()``."""

    label = "loguru_stdbridge, stdlib logging"

    def work(self, index: int) -> None:
        bridge = install(self.receiver.address)
        self.log_stdlib(index, logging.NullHandler())
        if not bridge.close(300):
            raise RuntimeError(f"not delivered: {bridge.stats()}")


class Stock(Peer):
    """Programs without this package: the stdlib's own handler sends to our receiver."""

    label = "SocketHandler into our receiver"
    keeps = "yes"

    def start(self) -> None:
        self.receiver = start_receiver(
            self.sink, self.options, "--rotation", str(ROTATION), "--format", _OUR_FORMAT
        )
        self.port = int(self.receiver.address.rpartition(":")[2])

    @property
    def pids(self) -> list[int]:
        return [self.receiver.process.pid]

    def work(self, index: int) -> None:
        handler = logging.handlers.SocketHandler("127.0.0.1", self.port)
        self.log_stdlib(index, handler)
        handler.close()

    def drain(self) -> float | None:
        """Wait for the last line, or until none has come for a while: nobody acknowledges any."""
        missing, offsets = self.workers * self.records, {}
        last = time.perf_counter()
        while missing > 0 and time.perf_counter() - last < _PATIENCE:
            time.sleep(0.005)
            for path in self.files():
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    file.seek(offsets.get(inode, 0))
                    data = file.read()
                    offsets[inode] = file.tell()
                if data:
                    missing -= data.count(b"\n")
                    last = time.perf_counter()
        return last

    def stop(self) -> None:
        stop(self.receiver)


class Cookbook(Stock):
    """The receiver of the logging cookbook, word for word but for its handler."""

    label = "SocketHandler into the logging cookbook's receiver"
    keeps = "partly"

    def start(self) -> None:
        server = _CookbookServer(("127.0.0.1", 0), _CookbookHandler)
        self.port = server.server_address[1]
        self._pid = fork(lambda: self._serve(server))
        server.server_close()

    def _serve(self, server: socketserver.BaseServer) -> None:
        handler = logging.handlers.RotatingFileHandler(
            self.sink, maxBytes=ROTATION, backupCount=1000
        )
        handler.setFormatter(logging.Formatter(_STDLIB_FORMAT, "%Y-%m-%d %H:%M:%S"))
        logging.getLogger().addHandler(handler)
        server.serve_forever()

    @property
    def pids(self) -> list[int]:
        return [self._pid]

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def files(self) -> list[Path]:
        return list(self.sink.parent.glob("app.log*"))


class _CookbookServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _CookbookHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while True:
            chunk = self.connection.recv(4)
            if len(chunk) < 4:
                break
            length = struct.unpack(">L", chunk)[0]
            chunk = self.connection.recv(length)
            while len(chunk) < length:
                chunk = chunk + self.connection.recv(length - len(chunk))
            record = logging.makeLogRecord(pickle.loads(chunk))
            logging.getLogger(record.name).handle(record)


def _cannot_import(name: str) -> str | None:
    try:
        __import__(name)
    except ImportError:
        return f"{name} is not installed: see the extra 'benchmark'"
    return None


PEERS: dict[str, type[Peer]] = {
    "limit": Limit,
    "stdlib-limit": StdlibLimit,
    "zeromq": ZeroMQ,
    "clh": ConcurrentLogHandler,
    "queue": Queue,
    "loguru-clh": LoguruConcurrentLogHandler,
    "shared": SharedFile,
    "shared-stdlib": SharedStdlibFile,
    "enqueue": Enqueue,
    "replay": Bridge,
    "rendered": RenderedBridge,
    "stdlib": StdlibBridge,
    "stock": Stock,
    "cookbook": Cookbook,
}
LIMIT, STDLIB_LIMIT = "limit", "stdlib-limit"
REPLAY, RENDERED, STDLIB = "replay", "rendered", "stdlib"
STOCK, COOKBOOK = "stock", "cookbook"
OURS = (REPLAY, RENDERED, STDLIB)
CONCURRENT, LOGURU_CONCURRENT = "clh", "loguru-clh"
SHARED, SHARED_STDLIB = "shared", "shared-stdlib"


def available(names: Iterable[str]) -> list[str]:
    return [name for name in names if PEERS[name].missing() is None]
