"""Start the receiver of a log as a process of its own, when nobody answers at the log's address.

Lives in the sender's thread: a log call never starts anything. Owns the command line of that
process and the decision when to start it. The receiver itself decides whether it is needed.

Why there is one receiver, never two and never none
---------------------------------------------------
* The lock of the ledger alone says who writes the log. A receiver that does not get it leaves at
  once. So two that are started at the same instant do no harm.
* A lock beside the log's socket keeps workers from starting receivers in a crowd: who holds it
  starts one and waits until that one answers or is gone. The lock dies with its process, so a
  starter that is killed holds nobody up.
* Each attempt to connect that fails comes here again. So a receiver that was killed, or that ended
  in the instant when a worker came, is started anew.

Why it disturbs nobody
----------------------
The process is started without a fork of this one (``posix_spawn``): no lock of the application and
no thread matters. It leaves this session by itself at once (:mod:`receiver.detached`), so this
process has one child that ends within a second, and is waited for here. An application that waits
for all of its children may take that status: nothing depends on it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Callable

from .._version import __version__
from ..addresses import log_address
from ..sink_words import SinkWords
from ..system.host import host_facts
from ..system.locks import let_go, take_lock
from ..system.runtime import log_socket_name, messages_path, runtime_directories

PATIENCE = 10.0
"""Seconds that a receiver may take to begin; then another one may be started."""

_BAD_CONFIGURATION = 78
_PAUSES = {0: 1.0, _BAD_CONFIGURATION: 30.0}
"""Seconds from the end of what was started to the next start, by its exit status. 0: the receiver
has begun, and answers in a moment. Where the options are wrong, they are so the next time, too."""

Embed = Callable[[str, Mapping[str, str]], object]
"""Starts a receiver in a thread of this process, by the sink's path and words; returns ``None``
where another process is the log's writer already."""

load_embed: Callable[[], Embed] | None = None
"""Loads what starts a receiver in this process. The package's top sets it: it alone knows both
programs."""


def find_python() -> list[str] | None:
    """Return the command of a Python that has this package; ``None`` where there is none.

    ``sys.executable`` is no Python in uWSGI, mod_wsgi and frozen programs. The interpreter that
    belongs to the same prefix takes its place. Its version has to be the same, or it would not
    find the same packages.
    """
    if getattr(sys, "frozen", False):
        return None
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    names = (f"python{version}", "python3", "python", "python.exe")
    places = (os.path.join(sys.prefix, "bin"), sys.prefix, os.path.join(sys.base_prefix, "bin"))
    candidates = [sys.executable or ""]
    candidates += [os.path.join(place, name) for place in places for name in names]
    for candidate in candidates:
        stem = os.path.basename(candidate).lower()
        if stem.startswith(("python", "pypy")) and os.access(candidate, os.X_OK):
            return [candidate]
    return None


class ReceiverStarter:
    """Starts the receiver of one log, as often as it is missing. Only its thread calls it."""

    def __init__(self, sink: SinkWords, spool_dir: str | None) -> None:
        self._sink = sink
        self._address = log_address(sink.path)
        self._python = find_python()
        self._arguments = [
            "-m", "loguru_stdbridge.receiver", *sink.command_line(), "--detached",
            f"--linger={sink.linger}",
        ]  # fmt: skip
        self._spool_dir = spool_dir
        self._lock: int | None = None
        self._child: int | None = None
        self._next_at = 0.0
        self._embedded: object = None
        self._compared = ""
        self._embed_receiver: Embed | None = None
        self._reason = ""
        if self._python is None:
            self._reason = "this program is no Python that could run one"
        elif not runtime_directories(make=True):
            self._reason = "no directory for the log's socket can be made"
        if self._reason and load_embed is not None:  # now: no thread of ours imports anything
            self._embed_receiver = load_embed()

    def start(self, now: float) -> str | None:
        """See to it that a receiver is on its way; return what the operator should be told.

        ``now`` is ``time.monotonic()``. Nothing happens while another process starts one.
        """
        status = self._reap()
        if status is not None:
            self.stop_waiting()
            self._next_at = now + _PAUSES.get(status, 0.0)
            if status == _BAD_CONFIGURATION:
                return (
                    f"the receiver of {self._sink.path} could not begin; the reason is in "
                    f"{messages_path(self._sink.path)}"
                )
        if now < self._next_at:
            return None
        self.stop_waiting()  # a receiver that has not begun by now may never do
        if self._reason:
            return self._embed()
        directories = runtime_directories(make=True)
        if not directories or self._python is None:
            return None
        name = log_socket_name(self._address.path, host_facts().network)
        with contextlib.suppress(OSError):
            self._lock = take_lock(os.path.join(directories[0], f"{name}.start"), create=True)
        if self._lock is None:
            return None
        self._next_at = now + PATIENCE
        try:
            self._spawn(self._python)
        except OSError as error:
            self.stop_waiting()
            return f"cannot start a receiver for {self._sink.path}: {error}; it is tried again"
        return None

    def compare(self, words: Mapping[str, str], package: str) -> str | None:
        """Return what differs between the receiver that runs and the one asked for, once.

        ``words`` and ``package`` are what the receiver says of itself. It goes on as it is: other
        workers may have asked for just that.
        """
        mine = dict(self._sink.words)
        differences = [
            f"{name}={_shown(words.get(name))} there, {_shown(mine.get(name))} here"
            for name in sorted({*mine, *words})
            if mine.get(name) != words.get(name)
        ]
        if package and package != __version__:
            differences.append(f"version {package} there, {__version__} here")
        told = "; ".join(differences)
        if not told or told == self._compared:
            return None
        self._compared = told
        return f"the receiver of {self._sink.path} that runs already has other options: {told}"

    def stop_waiting(self) -> None:
        """Let other processes start a receiver: ours has begun, or it never will."""
        self._child = None
        lock, self._lock = self._lock, None
        if lock is not None:
            let_go(lock)

    def _spawn(self, python: Sequence[str]) -> None:
        command = [*python, *self._arguments]
        search = os.pathsep.join(path for path in sys.path if path and os.path.isabs(path))
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LOGURU_STDBRIDGE_")
        }
        environment["PYTHONPATH"] = search
        if self._spool_dir is not None:
            environment["LOGURU_STDBRIDGE_SPOOL_DIR"] = self._spool_dir
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        self._child = os.posix_spawn(command[0], command, environment, file_actions=null)

    def _reap(self) -> int | None:
        """Return the exit status of the process that was started, once, when it has ended."""
        if self._child is None:
            return None
        try:
            pid, status = os.waitpid(self._child, os.WNOHANG)
        except OSError:  # somebody else has waited for it
            pid, status = self._child, 0
        if not pid:
            return None
        self._child = None
        return status >> 8 if status & 0x7F == 0 else 1

    def _embed(self) -> str | None:
        """Start a receiver in a thread of this process, unless another process has one."""
        if self._embed_receiver is None or self._embedded is not None:
            return None
        try:
            self._embedded = self._embed_receiver(self._sink.path, dict(self._sink.words))
        except Exception as error:
            self._embed_receiver = None  # it would fail each time
            return f"cannot start a receiver for {self._sink.path} in this process: {error}"
        if self._embedded is None:
            return None
        return (
            f"the receiver of {self._sink.path} runs in a thread of this process and ends with "
            f"it: {self._reason}"
        )


def _shown(text: str | None) -> str:
    return "none" if text is None else repr(text)
