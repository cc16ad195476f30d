"""Makes exceptions that loguru renders as the text of an exception in another process.

loguru takes ``record["exception"]`` apart into type, value and traceback to render it. The value
that is made here renders as the remote text, letter for letter. For ``serialize``, loguru reads the
attributes of ``record["exception"]`` instead, and so do filters and formats of the user's. They
give the type, and a value that has the remote value's own text.

A type that is a builtin of Python is that builtin itself, found by its name among the builtins.
Nothing is imported for any other. It is a class made here, whose module is
:data:`ANOTHER_PROCESS`: it has the type's name and derives from the builtin that the type derives
from. A value has the class, and none of the attributes that its own process gave it.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..record.sink_needs import PLAIN

ANOTHER_PROCESS = "another_process"
"""The module of the classes that stand for the application's own exception types."""


def _empty(self: object) -> str:
    return ""


def _rendering_class(text: str) -> type[Exception]:
    """Make an exception class whose instances the ``traceback`` module renders as ``text``.

    For a class of ``builtins`` that module prints the qualified name, and behind it the value, if
    the value has a text.
    """
    attributes = {"__module__": "builtins", "__qualname__": text, "__str__": _empty}
    return type("RemoteError", (Exception,), attributes)


@lru_cache(maxsize=256)
def _type_of(name: str, builtin: str | None) -> Any:
    """Return the class that a remote type is here; ``builtin`` as in a row's ``exception``."""
    base: Any = getattr(builtins, (builtin or "").lstrip("="), None)
    if not isinstance(base, type) or not issubclass(base, BaseException):
        base, builtin = Exception, None
    if builtin == f"={name}":
        return base
    named = name.replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")
    return type(named, (base,), {"__module__": ANOTHER_PROCESS})


def _make_value(kind: Any, text: str) -> BaseException:
    """Make an instance of ``kind`` that shows ``text``, whatever ``kind`` asks to be made of."""
    try:
        shown = _showing_class(kind)
        value: BaseException = shown.__new__(shown)
        value.args = (text,)
        value.text = text  # type: ignore[attr-defined]
        return value
    except Exception:  # a group has to have members
        return Exception(text)


@lru_cache(maxsize=256)
def _showing_class(kind: Any) -> Any:
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": _text_of}
    return type(kind.__name__, (kind,), names)


def _text_of(self: Any) -> str:
    return str(self.text)


class TextFormatter:
    """Stands in a handler of loguru's where tracebacks are rendered; shows remote ones as they are.

    Any other exception is left to loguru's own formatter.
    """

    def __init__(self, formatter: Any) -> None:
        self._formatter = formatter

    def format_exception(
        self, kind: Any, value: Any, traceback: Any, **options: Any
    ) -> Iterable[str]:
        """Return the lines of an exception. Called by loguru."""
        text = getattr(value, "remote_text", None)
        if text is not None:
            return (text if text.endswith("\n") else f"{text}\n",)
        lines: Iterable[str] = self._formatter.format_exception(kind, value, traceback, **options)
        return lines


def exception_class(base: type[Any]) -> type[Any]:
    """Derive from ``base``, the type of ``record["exception"]``, a class for remote exceptions."""

    class _Exception(base):  # type: ignore[misc]
        text: str
        parts: tuple[str | None, str | None, bool, str | None]

        def __bool__(self) -> bool:
            return bool(self.text)

        @property
        def type(self) -> Any:
            return None if self.parts[0] is None else _type_of(self.parts[0][:200], self.parts[3])

        @property
        def value(self) -> Any:
            if self.parts[1] is None:
                return None
            return _make_value(self.type or Exception, self.parts[1])

        @property
        def traceback(self) -> str | None:
            return self.text if self.parts[2] else None

    return _Exception


def make_exception(kind_of: type[Any], fields: list[Any], look: str = PLAIN) -> Any:
    """Make an instance of ``kind_of``, an :func:`exception_class`, from a row's ``exception``.

    ``look`` is how the sink shows tracebacks (:mod:`record.sink_needs`).
    """
    kind, value, text, has_traceback, builtin, looks = (list(fields) + [None] * 6)[:6]
    if look != PLAIN and isinstance(looks, dict):
        text = looks.get(look, text)
    text = text if isinstance(text, str) else ""
    shown = _rendering_class(text[:-1] if text.endswith("\n") else text)
    exception = kind_of(shown, shown(), None)
    exception.text = exception[1].remote_text = text
    exception.parts = (
        kind if isinstance(kind, str) else None,
        value if isinstance(value, str) else None,
        bool(has_traceback),
        builtin[:200] if isinstance(builtin, str) else None,
    )
    return exception
