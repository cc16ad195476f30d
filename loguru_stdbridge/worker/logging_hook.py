"""Put a function in the place of ``logging.Logger.callHandlers``, and take it away again.

Owns how the function gets there and how it stays out of sight. What it does with a record is
:mod:`~loguru_stdbridge.worker.attachment`'s.

Why nobody sees the hook
------------------------
loguru's recipe for an ``InterceptHandler`` walks the frames for as long as they belong to
``logging``; an older recipe counts them (``depth=6``); ``logging`` itself skips its own frames by
their file name to find the caller. One frame more, or one of another file, and all of them name the
wrong place.

So the hook is no function around ``callHandlers``. It is the same function with one line before and
one behind: the same frame, file name, name and line numbers, even the same columns, so a traceback
through it shows the lines of the standard library as they are. That needs a copy of the function's
text. The copy is right where the interpreter compiles it to *equal code*, which is compared each
time. Where it does not (another has replaced the function, or a later Python has changed it), the
hook calls what it found there instead: one frame more, with the file name of ``logging``.

Why the place is left as it was
-------------------------------
Others replace the same function (error trackers do), and hold on to the one that they found. So a
hook can be taken out only while it is the one in place. Where another function is in place by now,
the hook stays in the chain and lets everything through. Whether a hook is still reached is asked by
a record of ours, which goes down the whole chain to no handler.
"""

from __future__ import annotations

import dis
import logging
import types
from typing import Any, Callable

Visit = tuple[Any, ...]
"""What is done with a record: the function that is called after the logger's handlers with the
record and this visit; whether those handlers are called; what the function wants to know besides.
The function comes with the visit, so that a hook that is removed meanwhile ends what it began."""

Begin = Callable[[logging.Logger, logging.LogRecord], Visit]


def _leave_alone(record: logging.LogRecord, visit: Visit) -> None:
    """Do nothing after the handlers."""


LEAVE_ALONE: Visit = (_leave_alone, True)
"""The visit of a record that the bridge leaves alone."""

# Python 3.9 to 3.13; columns and line breaks as in the standard library.
_BODY = """\
        c = self
        found = 0
        while c:
            for hdlr in c.handlers:
                found = found + 1
                if record.levelno >= hdlr.level:
                    hdlr.handle(record)
            if not c.propagate:
                c = None    #break out
            else:
                c = c.parent
        if (found == 0):
            if lastResort:
                if record.levelno >= lastResort.level:
                    lastResort.handle(record)
            elif raiseExceptions and not self.manager.emittedNoHandlerWarning:
                sys.stderr.write("No handlers could be found for logger"
                                 " \\"%s\\"\\n" % self.name)
                self.manager.emittedNoHandlerWarning = True
"""
_ROOM = 5  # lines that the hook needs between the first line and the body


def _let_through(logger: logging.Logger, record: logging.LogRecord) -> Visit:
    return LEAVE_ALONE


class LoggingHook:
    """A hook on ``callHandlers`` of ``owner``, which is ``logging.Logger`` or a subclass."""

    def __init__(self, owner: type, begin: Begin, unset_level: int | None) -> None:
        """Put the hook in place.

        ``begin`` gets each record before the logger's handlers do. What it returns is called after
        them, whether they raised or not. ``unset_level`` is the level object that stands for "not
        set" (:mod:`~loguru_stdbridge.worker.root_level`): a handler that has copied it is called
        for the records that it would get without us.
        """
        self._owner = owner
        self._replaced = vars(owner)["callHandlers"]
        self._calls: list[Any] = [begin, unset_level]
        self.function = _make_function(self._replaced, self._calls)
        owner.callHandlers = self.function  # type: ignore[attr-defined]

    @property
    def is_on_top(self) -> bool:
        """Whether the function in place is this hook's."""
        return vars(self._owner).get("callHandlers") is self.function

    def remove(self) -> None:
        """Let all records through from now on, and leave the place as it was where possible."""
        self._calls[0] = _let_through
        if self.is_on_top:
            self._owner.callHandlers = self._replaced  # type: ignore[attr-defined]


def owners() -> list[type]:
    """Return ``logging.Logger`` and its subclasses that have a ``callHandlers`` of their own."""
    found: list[type] = []
    seen: list[type] = [logging.Logger]
    for owner in seen:
        kinds: list[type] = owner.__subclasses__()
        seen += [kind for kind in kinds if kind not in seen]
        if "callHandlers" in vars(owner):
            found.append(owner)
    return found


class NewSubclasses:
    """Tells of subclasses of ``logging.Logger`` that are made with a ``callHandlers`` of their own.

    Python calls ``__init_subclass__`` of the base class for each. Nothing is done where somebody
    else has put one there.
    """

    def __init__(self, tell: Callable[[type], None]) -> None:
        def init_subclass(made: Any, /, **more: Any) -> None:
            super(logging.Logger, made).__init_subclass__(**more)  # type: ignore[misc]
            if "callHandlers" in vars(made):
                tell(made)

        self._function: Any = None
        if "__init_subclass__" not in vars(logging.Logger):
            self._function = classmethod(init_subclass)
            logging.Logger.__init_subclass__ = self._function  # type: ignore[method-assign]

    def stop(self) -> None:
        """Leave the class as it was."""
        if vars(logging.Logger).get("__init_subclass__") is self._function is not None:
            del logging.Logger.__init_subclass__


class Probe:
    """A record that tells whether a hook is reached: below every level, it goes to no handler."""

    def __init__(self) -> None:
        self.record = logging.LogRecord(
            "loguru_stdbridge", logging.NOTSET - 1, "", 0, "", None, None, "probe"
        )
        self.is_seen = False

    def send(self) -> bool:
        """Send the record down the chain, and return whether ``is_seen`` was set on the way."""
        logger = logging.Logger("loguru_stdbridge")
        logger.propagate = False
        logger.addHandler(_NowhereHandler())
        self.is_seen = False
        logger.callHandlers(self.record)
        return self.is_seen


class _NowhereHandler(logging.NullHandler):
    """A handler that is in none of logging's lists."""

    def __init__(self) -> None:
        self.level = logging.NOTSET


def _make_function(replaced: Any, calls: list[Any]) -> Any:
    """Return the hook for what was found in place."""
    made = _copy_with_calls(replaced, calls)
    if made is None:
        made = _make_wrapper(replaced, calls)
    for attribute in ("__doc__", "__module__", "__name__", "__qualname__"):
        found = getattr(replaced, attribute, None)
        if type(found) is str:
            setattr(made, attribute, found)
    return made


def _copy_with_calls(replaced: Any, calls: list[Any]) -> Any:
    """Return the standard library's own function with our calls in it; ``None`` where
    ``replaced`` is not that function as we know it."""
    if type(replaced) is not types.FunctionType or replaced.__globals__ is not vars(logging):
        return None
    code = replaced.__code__
    first = code.co_firstlineno
    lines = [line for _, line in dis.findlinestarts(code) if line and line > first + 1]
    if not lines or lines[0] - first <= _ROOM:
        return None
    body = lines[0]
    plain = [
        "class Logger:",
        "    def callHandlers(self, record):",
        f"        {replaced.__doc__ or 'removed'!r}",
    ]
    namespace = _run(plain, first - 1, _BODY, body, code.co_filename)
    if namespace["Logger"].callHandlers.__code__ != code:
        return None
    text = _BODY.replace(
        "record.levelno >= hdlr.level:",
        "record.levelno >= hdlr.level and "
        "(hdlr.level is not calls[1] or record.levelno >= +hdlr.level):",
    )
    return _compile_hook(text, code, first, body, calls, None)


def _make_wrapper(replaced: Any, calls: list[Any]) -> Any:
    """Return a function that calls ``replaced`` between our calls, as the class itself calls it.

    A tool for patching (wrapt is one) puts an object there, which wants to know whose method it is.
    """
    code = logging.Logger.handle.__code__  # some line of logging's: nothing better to show
    first = code.co_firstlineno
    call = "replaced(self, record)"
    if type(replaced) is not types.FunctionType:
        is_bound = hasattr(type(replaced), "__get__")
        call = "replaced.__get__(self, type(self))(record)" if is_bound else "replaced(record)"
    body = f"        return {call}\n"
    return _compile_hook(body, code, first, first + _ROOM + 1, calls, replaced)


def _compile_hook(
    text: str, code: types.CodeType, first: int, body: int, calls: list[Any], replaced: Any
) -> Any:
    head = [
        "def make(calls, replaced):",
        " def callHandlers(self, record):",
        "  visit = calls[0](self, record)",
        "  try:",
        "   if visit[1]:",
    ]
    tail = "  finally:\n   visit[0](record, visit)\n return callHandlers\n"
    namespace = _run(head, first - 1, text + tail, body, code.co_filename)
    return namespace["make"](calls, replaced)


def _run(head: list[str], first: int, text: str, body: int, filename: str) -> dict[str, Any]:
    """Compile ``head``, from line ``first``, and ``text``, from line ``body``, and run them where
    ``logging``'s names are found."""
    source = "\n" * (first - 1) + "\n".join(head)
    source += "\n" * (body - first - len(head) + 1) + text
    namespace: dict[str, Any] = {}
    code = compile(source, filename, "exec", dont_inherit=True)  # no ``annotations`` of ours
    exec(code, vars(logging), namespace)
    return namespace
