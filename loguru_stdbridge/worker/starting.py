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
The process is started without a fork of this one (:mod:`~loguru_stdbridge.system.spawning`): no
lock of the application and no thread matters. It leaves this session by itself at once
(:mod:`system.detaching`), so this process has one child that ends within a second, and is waited
for here. An application that waits for all of its children may take that status: nothing depends on
it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Callable

from .._version import __version__
from ..addresses import log_address
from ..sink_words import RECEIVER_HELD, SinkWords, show_handlers
from ..system.host import host_facts
from ..system.locks import let_go, take_lock
from ..system.runtime import log_socket_name, runtime_directories
from ..system.spawning import KILLED_STATUS, LOST_STATUS, SpawnedProcess, find_interpreters
from ..system.versions import is_later_version

PATIENCE = 10.0
"""Seconds that a receiver may take to begin; then another one may be started."""

_OWN_PLACE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""What holds this package: a directory, or a zipapp. Read at the import: a relative path means
another place once the program has changed its directory."""

_RUN_MODULE = ["-P", "-m"]
if sys.version_info < (3, 11):
    _RUN_MODULE = ["-c", "import sys; del sys.path[0], sys.argv[1]; "
                   "from loguru_stdbridge.receiver.cli import main; sys.exit(main())"]  # fmt: skip
"""Python's arguments that run a module without the working directory on ``sys.path``. A program
that is run as a file has not got it there either, and what lies in it may have any name."""

_BEGUN_PAUSE, _FAILED_PAUSE = 1.0, 10.0
"""Seconds from the end of what was started to the next start. A receiver that has begun answers in
a moment. What kept one from beginning may keep the next one, too: a word that loguru does not know,
a directory that cannot be written, a full disk."""

_TOLD_AFTER = {RECEIVER_HELD: 5, KILLED_STATUS: 3}
"""Starts that have ended in this way, one after the other, before it is told: another receiver was
quicker, or one was killed while it began. Both pass by themselves as a rule."""

Embed = Callable[[SinkWords], object]
"""Starts a receiver in a thread of this process; returns ``None`` where another process is the
log's writer already."""

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
    for candidate in [sys.executable or "", *find_interpreters()]:
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
            *_RUN_MODULE, "loguru_stdbridge.receiver", *sink.command_line(), "--detached",
            f"--linger={sink.linger}",
        ]  # fmt: skip
        self._spool_dir = spool_dir
        self._lock: int | None = None
        self._children: list[SpawnedProcess] = []  # that are not waited for yet
        self._ended: tuple[int, str] | None = None  # while its receiver was waited for: status, why
        self._told = ""
        self._is_others = False  # another process starts one
        self._failures = (0, 0)  # exit status, how often in a row
        self._next_at = 0.0
        self._embedded: object = None
        self._compared = ""
        self._embed_receiver: Embed | None = None
        self._reason = ""
        if self._python is None:
            self._reason = "this program is no Python that could run one"
        elif not runtime_directories(make=True, beside=self._address.path):
            self._reason = "no directory for the log's socket can be made"
        self._trouble: str | None = None
        if self._reason and load_embed is not None:  # now: no thread of ours imports anything
            try:
                self._embed_receiver = load_embed()
            except Exception as error:  # this may be a log call of the application's
                self._trouble = (
                    f"cannot start a receiver for {sink.path}: {self._reason}, and this process "
                    f"cannot run it either ({type(error).__name__}: {error})"
                )

    def start(self, now: float, *, is_last: bool = False) -> str | None:
        """See to it that a receiver is on its way; return what the operator should be told.

        ``now`` is ``time.monotonic()``. Nothing happens while another process starts one. The call
        that ``is_last`` in this process does not wait for a better time.
        """
        self.reap()
        ended, self._ended = self._ended, None
        if ended is not None:
            self.stop_waiting()
            told = self._explain(now, *ended)
            if told is not None:
                return told
        if now < self._next_at and (self._children or not is_last):
            return None
        self.stop_waiting()  # a receiver that has not begun by now may never do
        if self._reason:
            return self._embed()
        directories = runtime_directories(make=True, beside=self._address.path)
        if not directories or self._python is None:
            return None
        name = log_socket_name(self._address.path, host_facts().network)
        with contextlib.suppress(OSError):
            self._lock = take_lock(os.path.join(directories[0], f"{name}.start"), create=True)
        self._is_others = self._lock is None
        if self._lock is None:
            return None
        self._next_at = now + PATIENCE
        try:
            self._spawn(self._python)
        except OSError as error:
            self.stop_waiting()
            return f"cannot start a receiver for {self._sink.path}: {error}; it is tried again"
        return None

    def _explain(self, now: float, status: int, why: str) -> str | None:
        """Choose the time of the next start; return what the operator should be told, once."""
        if status in (0, LOST_STATUS):
            self._failures = (0, 0)
            self._next_at = now + _BEGUN_PAUSE
            return None
        before, count = self._failures
        count = count + 1 if before == status else 1
        self._failures = (status, count)
        if count < _TOLD_AFTER.get(status, 1):
            return None
        self._next_at = now + _FAILED_PAUSE
        text = (
            f"the receiver of {self._sink.path} could not begin: {why or f'status {status}'}. It "
            f"is tried again each {_FAILED_PAUSE:g} s"
        )
        if status == RECEIVER_HELD:
            text = (
                f"{why}; it does not answer at {self._address} here. Is it another user's, in "
                "another container, or on another machine? Give its tcp:// or unix:// address to "
                "install_bridge() in place of the file"
            )
        if text == self._told:
            return None
        self._told = text
        return text

    def is_expected(self, now: float) -> bool:
        """Return whether a receiver is on its way, started here or by another process.

        ``now`` is ``time.monotonic()``.
        """
        began = self._failures == (0, 0) and now < self._next_at
        return self._lock is not None or self._is_others or began

    def compare(self, words: Mapping[str, str], package: str) -> str | None:
        """Return what differs between the receiver that runs and the one asked for, once.

        ``words`` and ``package`` are what the receiver says of itself. It goes on as it is: other
        workers may have asked for just that.
        """
        mine = show_handlers(self._sink.handlers())
        differences = [
            f"{name}={_shown(words.get(name))} there, {_shown(mine.get(name))} here"
            for name in sorted({*mine, *words})
            if mine.get(name) != words.get(name)
        ]
        told = []
        if differences:
            told.append(f"has other options: {'; '.join(differences)}")
        if is_later_version(__version__, package):
            told.append(
                f"is of loguru_stdbridge {package}, this program is of {__version__}; the next one "
                "after its last worker has gone will be of the later version"
            )
        text = ". It ".join(told)
        if not text or text == self._compared:
            return None
        self._compared = text
        return f"the receiver of {self._sink.path} that runs already {text}"

    def stop_waiting(self) -> None:
        """Let other processes start a receiver: ours has begun, or it never will."""
        self._ended = None
        lock, self._lock = self._lock, None
        if lock is not None:
            let_go(lock)

    def _spawn(self, python: Sequence[str]) -> None:
        command = [*python, *self._arguments]
        places = [path for path in sys.path if path and os.path.isabs(path)]
        search = os.pathsep.join(places if _OWN_PLACE in places else [*places, _OWN_PLACE])
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LOGURU_STDBRIDGE_")
        }
        environment["PYTHONPATH"] = search
        if self._spool_dir is not None:
            environment["LOGURU_STDBRIDGE_SPOOL_DIR"] = self._spool_dir
        self._children.append(SpawnedProcess(command, environment))

    def reap(self) -> None:
        """Wait for the processes that were started, as far as they have ended."""
        for child in self._children[:]:
            status = child.poll()
            if status is not None:
                self._children.remove(child)
                if self._lock is not None:
                    self._ended = status, child.told

    def close(self) -> None:
        """Let go of the lock, of the pipes, and of the children: the sender's thread ends."""
        self.reap()
        self.stop_waiting()
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Close the parent's pipes."""
        children, self._children = self._children, []
        for child in children:
            child.close()

    def _embed(self) -> str | None:
        """Start a receiver in a thread of this process, unless another process has one."""
        if self._embed_receiver is None or self._embedded is not None:
            trouble, self._trouble = self._trouble, None
            return trouble
        try:
            self._embedded = self._embed_receiver(self._sink)
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
