"""Makes exceptions that loguru renders as the text of an exception in another process.

loguru takes ``record["exception"]`` apart into type, value and traceback to render it. The value
that is made here renders as the remote text, letter for letter. For ``serialize`` loguru reads the
attributes of ``record["exception"]`` instead. They give the remote type's name and the remote
value's own text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


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
def _named_class(name: str) -> type[Exception]:
    named = name.replace("\0", "").encode("utf-8", "backslashreplace").decode("utf-8")
    return type(named, (Exception,), {"__module__": "builtins"})


def exception_class(base: type[Any]) -> type[Any]:
    """Derive from ``base``, the type of ``record["exception"]``, a class for remote exceptions."""

    class _Exception(base):  # type: ignore[misc]
        text: str
        parts: tuple[str | None, str | None, bool]

        def __bool__(self) -> bool:
            return bool(self.text)

        @property
        def type(self) -> Any:
            return None if self.parts[0] is None else _named_class(self.parts[0][:200])

        @property
        def value(self) -> Any:
            if self.parts[1] is None:
                return None
            return (self.type or Exception)(self.parts[1])

        @property
        def traceback(self) -> str | None:
            return self.text if self.parts[2] else None

    return _Exception


def make_exception(kind_of: type[Any], fields: list[Any]) -> Any:
    """Make an instance of ``kind_of``, an :func:`exception_class`, from a row's ``exception``."""
    kind, value, text, has_traceback = (list(fields) + [None] * 4)[:4]
    text = text if isinstance(text, str) else ""
    shown = _rendering_class(text[:-1] if text.endswith("\n") else text)
    exception = kind_of(shown, shown(), None)
    exception.text = text
    exception.parts = (
        kind if isinstance(kind, str) else None,
        value if isinstance(value, str) else None,
        bool(has_traceback),
    )
    return exception
