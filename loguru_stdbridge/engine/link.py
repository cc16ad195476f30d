"""One connection to an engine: a thread of its own with the makers' asyncio client in it.

Owns the thread, the attempts to connect and what is said of them. What goes over the connection is
a *session*'s (:mod:`~loguru_stdbridge.engine.publishing`,
:mod:`~loguru_stdbridge.engine.consuming`). The receiver's loop talks with it by :meth:`Link.call`,
and is called back by a function that wakes it.

Why the client does not reconnect by itself
-------------------------------------------
A message that was on its way when a connection broke is in doubt. A client that reconnects in
silence hides that instant. So a connection ends with its first error, and with it the session,
which holds nothing as done that was not confirmed. The next connection begins a new session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Callable, Protocol

from ..system.forks import drop_in_children
from .address import EngineAddress
from .client import NatsClient, NoRespondersError

SERVER_TIMEOUT = 5.0  # seconds
REQUEST_TIMEOUT = 5.0
"""Seconds after which a request that was not answered is in doubt, and made again."""

PAUSE_START = 0.1  # seconds, after an attempt that failed; doubled up to PAUSE_MAX
PAUSE_MAX = 3.0

TELL_INTERVAL = 60.0
"""Seconds after which a trouble that lasts is told again."""

PING_INTERVAL = 5
"""Seconds between two questions whether the server is there. Two without an answer end the
connection: a cut network shows no other way."""

LEAVE_TIMEOUT = 3.0  # seconds

_CANCEL_AGAIN = 0.2  # seconds


async def end_tasks(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended.

    More than once: before Python 3.12 a task may miss it in ``asyncio.wait_for``.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_CANCEL_AGAIN)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it was looked at: else the loop complains


class EngineError(Exception):
    """Something is wrong at the engine; the message says what, and the way out."""


class Session(Protocol):
    """What is done over one connection after another."""

    async def run(self, connection: Any) -> None:
        """Work until the connection ends (cancelled then), or raise what is wrong."""

    async def leave(self, connection: Any) -> None:
        """Say what is to be said before the connection is closed on purpose."""


class Link:
    """Keeps a connection for a session. The methods may be called in any thread."""

    def __init__(
        self, address: EngineAddress, session: Session, report: Callable[[str], None]
    ) -> None:
        """Nothing runs before :meth:`start`."""
        self._address = address
        self._session = session
        self._report = report
        self._loop = asyncio.new_event_loop()
        self._ending: asyncio.Event | None = None  # made in the thread: it belongs to the loop
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="loguru_stdbridge-nats", daemon=True)
        self._next = random.randrange(len(address.servers))
        self._trouble, self._told_at = "", 0.0
        self._descriptor = -1
        self._complaint = ""  # what the server has said to the connection
        self.is_connected = False
        """Whether a session runs."""
        drop_in_children(self)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Have the thread call ``function``. Does nothing after the end."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Leave, and end the thread. Waits a few seconds at most."""
        if self._thread.is_alive():
            self.call(self._end)
            self._thread.join(LEAVE_TIMEOUT + SERVER_TIMEOUT)
        elif not self._loop.is_closed():
            self._loop.close()

    def after_fork_in_child(self) -> None:
        """Close the child's copy of the socket: else the server does not see its end."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def tell_trouble(self, text: str) -> None:
        """Tell the operator, once in a while where it lasts."""
        now = time.monotonic()
        if text != self._trouble or now - self._told_at >= TELL_INTERVAL:
            self._trouble, self._told_at = text, now
            self._report(f"{self._address}: {text}")

    def tell_well(self, text: str) -> None:
        """Tell that a trouble is over, if there was one."""
        if self._trouble:
            self._trouble = ""
            self._report(f"{self._address}: {text}")

    # -- in the thread

    def _end(self) -> None:
        self._is_ending = True
        if self._ending is not None:
            self._ending.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            with contextlib.suppress(Exception):
                pending = asyncio.all_tasks(self._loop)
                for task in pending:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _serve(self) -> None:
        pause = PAUSE_START
        self._ending = asyncio.Event()
        while not self._is_ending:
            began = time.monotonic()
            host, port = self._address.servers[self._next]
            self._complaint = ""
            try:
                await self._serve_once(host, port)
            except Exception as error:
                self.tell_trouble(self._explain(error, f"{host}:{port}"))
            self.is_connected = False
            if self._ending.is_set():
                return
            self._next = (self._next + 1) % len(self._address.servers)
            if time.monotonic() - began > 10 * PAUSE_MAX:
                pause = PAUSE_START
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            pause = min(2 * pause, PAUSE_MAX)

    async def _serve_once(self, host: str, port: int) -> None:
        """Connect to one server, and run the session until either ends."""
        connection = NatsClient()
        closed = asyncio.Event()

        async def on_closed() -> None:
            closed.set()

        try:
            await asyncio.wait_for(
                connection.connect(
                    [f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}"],
                    name="loguru_stdbridge",
                    allow_reconnect=False,
                    connect_timeout=int(SERVER_TIMEOUT),
                    ping_interval=PING_INTERVAL,
                    max_outstanding_pings=1,
                    error_cb=self._note_error,
                    closed_cb=on_closed,
                    **self._login(),
                ),
                2 * SERVER_TIMEOUT,
            )
            self._note_descriptor(connection)
            self.is_connected = True
            await self._run_session(connection, closed)
        finally:
            self._descriptor = -1
            with contextlib.suppress(Exception):
                await asyncio.wait_for(connection.close(), LEAVE_TIMEOUT)

    async def _run_session(self, connection: Any, closed: asyncio.Event) -> None:
        assert self._ending is not None
        session = self._task(self._session.run(connection))
        others = [self._task(closed.wait()), self._task(self._ending.wait())]
        try:
            await asyncio.wait([session, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks([session, *others])
        if self._is_ending and not closed.is_set():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._session.leave(connection), LEAVE_TIMEOUT)
            return
        error = None if session.cancelled() else session.exception()
        if isinstance(error, Exception) and not closed.is_set():
            raise error
        raise EngineError(
            f"the connection has ended{f': {self._complaint}' if self._complaint else ''}; "
            "connecting again until it works, what is not confirmed is kept"
        )

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.create_task(work)

    async def _note_error(self, error: Exception) -> None:
        self._complaint = str(error)
        if "permissions violation" in self._complaint.lower():
            self.tell_trouble(f"permission denied: {self._complaint}")

    def _note_descriptor(self, connection: Any) -> None:
        with contextlib.suppress(Exception):  # it is the client's own, and only helps forks
            writer = connection._transport._bare_io_writer or connection._transport._io_writer
            self._descriptor = writer.get_extra_info("socket").fileno()

    def _login(self) -> dict[str, Any]:
        address = self._address
        login: dict[str, Any] = {}
        if address.creds:
            login["user_credentials"] = address.creds
        elif address.password:
            login["user"], login["password"] = address.user, address.password
        elif address.user:
            login["token"] = address.user
        if address.tls_ca or address.tls_cert:
            context = ssl.create_default_context(cafile=address.tls_ca or None)
            if address.tls_cert:
                context.load_cert_chain(address.tls_cert, address.tls_key or None)
            login["tls"] = context
            login["tls_hostname"] = address.servers[self._next][0]
        return login

    def _explain(self, error: Exception, place: str) -> str:
        """Say what is wrong, and what to do."""
        text = (str(error) or type(error).__name__).strip()
        if isinstance(error, EngineError):
            return text
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {place} cannot be trusted ({error.verify_message}): name the "
                "CA that has signed it with ?tls_ca=PATH"
            )
        complaint = f"{text} {self._complaint}".lower()
        if isinstance(error, FileNotFoundError):
            return f"{error.filename}: there is no such file"
        if "authorization" in complaint or "authentication" in complaint:
            return (
                f"{place} does not accept these credentials: give user:password@ in the address, "
                "or ?creds=PATH of a credentials file"
            )
        if isinstance(error, ssl.SSLError):
            return f"no TLS with {place}: {text}; see ?tls_ca=, ?tls_cert= and ?tls_key="
        if isinstance(error, NoRespondersError):
            return f"{place} has no JetStream: start it with nats-server -js, or jetstream {{}}"
        if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
            return f"{place} has not answered; trying again until it does"
        if isinstance(error, OSError):
            return f"{place} is not reached ({error.strerror or text}); trying until it is"
        return f"{place}: {text}"
