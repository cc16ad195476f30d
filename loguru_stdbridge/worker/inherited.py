"""Install the parent's bridge in a child process, when that logs for the first time.

A child of ``multiprocessing`` or ``subprocess`` begins with a call of :func:`inherit`. Most
children never log, so this costs them next to nothing: of the standard library nothing is loaded,
nor loguru, nor most of this package. Owns the light hooks that wait for the first record, warning
or uncaught exception, or for the first child of the child. They take each other away, install the
bridge, and let it have what came.

Why the first record is not lost
--------------------------------
*logging.* Each log call asks ``Logger.isEnabledFor`` first, and every record passes
``Logger.callHandlers``. The light hooks stand there, and only the bridge's own decide about the
record: by the time they are asked, the bridge is installed.

*loguru.* A log call goes to the sinks in the table that it found. A light sink is in it, hidden as
the bridge's own will be (:mod:`~loguru_stdbridge.worker.kept_handlers`). It installs the bridge,
whose sink takes its place, and hands the record on to that.

*Exceptions and warnings.* A function that stands in for Python's own installs the bridge, and then
calls the one that is in its place by then. Where the bridge's own asks who called, the frame of the
one that stands in has the name that it looks for.

Why a child never fails by it
-----------------------------
Whatever goes wrong (no loguru there, an address that is refused) is told on stderr once, and the
hooks are gone. A child that calls ``install_bridge`` itself gets what it asks for: that takes the
light hooks away first.
"""

import os
import sys
from _thread import RLock

from .importing import AfterImport

TYPE_CHECKING = False
if TYPE_CHECKING:  # see importing
    from typing import Any, Callable

_INFO = 20  # logging's, without logging

_STARTING = (
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.popen_forkserver",
    "multiprocessing.popen_spawn_win32",
    "joblib.externals.loky.backend.popen_loky_posix",
    "joblib.externals.loky.backend.popen_loky_win32",
    "loky.backend.popen_loky_posix",
    "loky.backend.popen_loky_win32",
)
"""Modules that are imported when a process starts another anew."""


class Inheritance:
    """The parent's bridge, and the light hooks that wait for the first record."""

    def __init__(self, level: int, libraries: "tuple[str, ...]", options: str) -> None:
        """See :func:`inherit`."""
        self._given = level, libraries, options
        self._lock = RLock()
        self._is_waiting = True
        self._is_installing = False
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        actions: dict[str, Callable[[Any], None]] = dict.fromkeys(_STARTING, self._pass_on)
        actions.update(
            subprocess=self._wait_in_subprocess,
            threading=self._wait_in_threading,
            traceback=self._wait_in_traceback,
            warnings=self._wait_in_warnings,
        )
        if "logging" in libraries:
            actions["logging"] = self._wait_in_logging
        if "loguru" in libraries:
            actions["loguru"] = self._wait_in_loguru
        self._imports = AfterImport({name: self._safe(actions[name]) for name in actions})

    def wait(self) -> None:
        """Put the light hooks in place, now or when their modules are loaded."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork_in_child)
        self._stand_in(sys, "excepthook")
        self._stand_in(sys, "unraisablehook")
        self._imports.start()

    def give_up(self) -> None:
        """Take the light hooks away. One that another has covered lets everything through."""
        self._is_waiting = False
        self._imports.stop()
        while self._replaced:
            owner, name, original, ours = self._replaced.pop()
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)

    def install(self) -> None:
        """Install the bridge, at the first call; another thread's call waits until it is there."""
        if not self._is_waiting:
            return
        with self._lock:
            if not self._is_waiting or self._is_installing or sys.is_finalizing():
                return
            self._is_installing = True
            try:
                import json

                package = sys.modules[__name__.partition(".")[0]]
                package.install_bridge(**json.loads(self._given[2]))
            except Exception as error:
                self._withdraw()
                _tell(f"the parent's bridge could not be installed: {error!r}")
            finally:
                self._is_installing = False
                self.give_up()

    def _after_fork_in_child(self) -> None:
        self._lock = RLock()
        self._is_installing = False

    def _safe(self, action: "Callable[[Any], None]") -> "Callable[[Any], None]":
        def act(module: "Any") -> None:
            try:
                if self._is_waiting:
                    action(module)
            except Exception as error:
                _tell(f"the parent's bridge cannot wait in {module!r}: {error!r}")

        return act

    def _replace(self, owner: "Any", name: str, make: "Callable[[Any], Any]") -> None:
        original = owner.__dict__[name]
        ours = make(original)
        self._replaced.append((owner, name, original, ours))
        setattr(owner, name, ours)

    # -- children of this child -----------------------------------------------------------------

    def _pass_on(self, module: "Any") -> None:
        from .children import pass_on

        pass_on(self._given)

    def _withdraw(self) -> None:
        children = sys.modules.get(f"{__package__}.children")
        if children is not None:
            children.withdraw()

    def _wait_in_subprocess(self, subprocess: "Any") -> None:
        def make(original: "Any") -> "Any":
            def __init__(popen: "Any", *args: "Any", **more: "Any") -> None:
                if self._is_waiting and subprocess.Popen.__init__ is ours[0]:
                    subprocess.Popen.__init__ = original
                    self._safe(self._pass_on)(subprocess)
                    subprocess.Popen.__init__(popen, *args, **more)
                else:
                    original(popen, *args, **more)

            ours = [__init__]
            return __init__

        self._replace(subprocess.Popen, "__init__", make)

    # -- exceptions and warnings ----------------------------------------------------------------

    def _stand_in(self, owner: "Any", name: str, caller: str = "", of: str = "") -> None:
        """Let a function of ours stand in for ``owner``'s: it installs the bridge, and calls what
        is in its place then.

        ``caller``: only for calls by a function of this name in a module of the name ``of``; its
        frame takes that name, too.
        """

        def make(original: "Any") -> "Any":
            def first(*args: "Any", **more: "Any") -> "Any":
                msg = None
                if caller:
                    frame = sys._getframe(1)
                    msg = frame.f_locals.get("msg")  # noqa: F841  (showwarning looks for it)
                    if frame.f_code.co_name != caller or of not in frame.f_code.co_filename:
                        return original(*args, **more)
                self.install()
                function = owner.__dict__[name]
                return (original if function is first else function)(*args, **more)

            return _hidden(first, f"{of}.py", caller) if caller else first

        self._replace(owner, name, make)

    def _wait_in_threading(self, threading: "Any") -> None:
        self._stand_in(threading, "excepthook")

    def _wait_in_traceback(self, traceback: "Any") -> None:
        self._stand_in(traceback, "print_exc", "_bootstrap", "multiprocessing")

    def _wait_in_warnings(self, warnings: "Any") -> None:
        self._stand_in(warnings, "showwarning", "_showwarnmsg", "warnings")

    # -- logging --------------------------------------------------------------------------------

    def _wait_in_logging(self, logging: "Any") -> None:
        least = _INFO if self._given[0] < 0 else self._given[0]

        def make_is_enabled_for(original: "Any") -> "Any":
            def isEnabledFor(logger: "Any", level: "Any") -> "Any":
                if self._is_waiting and isinstance(level, int) and level >= least:
                    self.install()
                return original(logger, level)

            return isEnabledFor

        def make_call_handlers(original: "Any") -> "Any":
            def callHandlers(logger: "Any", record: "Any") -> "Any":
                if not self._is_waiting:
                    return original(logger, record)
                self.install()
                return logging.Logger.callHandlers(logger, record)

            return _hidden(callHandlers, logging.__file__, "callHandlers")

        self._replace(logging.Logger, "isEnabledFor", make_is_enabled_for)
        self._replace(logging.Logger, "callHandlers", make_call_handlers)

    # -- loguru ---------------------------------------------------------------------------------

    def _wait_in_loguru(self, loguru: "Any") -> None:
        from .kept_handlers import put_first

        if not put_first(WaitingSink(self, max(self._given[0], 0))):
            self.install()  # a loguru that keeps its sinks otherwise: there is no light way


class WaitingSink:
    """Stands in loguru's table of handlers until the first record comes."""

    def __init__(self, inheritance: "Inheritance | None", levelno: int) -> None:
        self._inheritance = inheritance
        self.levelno = levelno

    def emit(self, record: "Any", *more: "Any") -> None:
        """Install the bridge, and hand the record on to its sink."""
        from loguru import logger

        from .kept_handlers import KEY

        if self._inheritance is not None:
            self._inheritance.install()
        core: Any = logger._core  # type: ignore[attr-defined]  # the bridge's sink looks for "core"
        sink = core.handlers.get(KEY)
        if sink is not None and type(sink) is not WaitingSink:
            sink.emit(record, *more)

    def stop(self) -> None:
        """Nothing is open."""

    def update_format(self, level_id: "Any") -> None:
        """Nothing is formatted."""

    def complete_queue(self) -> None:
        """Nothing is in a queue."""

    def tasks_to_complete(self) -> "list[Any]":
        """Return nothing: there are no coroutines."""
        return []

    def __reduce__(self) -> "Any":
        """A pickled logger takes this along: another process uses the bridge that it has itself."""
        return WaitingSink, (None, self.levelno)


def _hidden(function: "Any", filename: str, name: str) -> "Any":
    """Give the function's frame the file and the name that those look for who ask for a caller."""
    function.__code__ = function.__code__.replace(co_filename=filename, co_name=name)
    return function


def _tell(text: str) -> None:
    try:
        sys.__stderr__.write(f"loguru_stdbridge[{os.getpid()}]: {text}\n")  # type: ignore[union-attr]
    except Exception:
        return


_inheritance: "Inheritance | None" = None


def inherit(level: int, libraries: "tuple[str, ...]", options: str) -> None:
    """Begin in a child process: install the bridge when it logs for the first time.

    ``level`` is the least that is sent, -1 where none was said; ``libraries`` are those that the
    bridge is attached to, ``options`` the keyword arguments of
    :func:`~loguru_stdbridge.install_bridge` as JSON, which is read only when it is needed.

    Does nothing where the bridge is installed already: a fork has it, or a forkserver's preloaded
    module installed it.
    """
    global _inheritance
    children = sys.modules.get(f"{__package__}.children")
    if _inheritance is None and (children is None or not children.is_handing_down()):
        _inheritance = Inheritance(level, libraries, options)
        _inheritance.wait()


def give_up() -> None:
    """Take the light hooks away, where there are any: the bridge is being installed."""
    global _inheritance
    inheritance, _inheritance = _inheritance, None
    if inheritance is not None:
        inheritance.give_up()
