"""Turns finished lines into the bytes of the sink's encoding."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from ..exceptions import ConfigurationError

_KEEP_LENGTH = ("strict", "backslashreplace", "replace", "xmlcharrefreplace", "surrogateescape")
_ASCII = "".join(map(chr, range(128)))


class LineEncoder:
    """Encodes lines, each for itself; no line is lost for a character that does not fit."""

    def __init__(self, encoding: str, errors: str) -> None:
        """``encoding`` and ``errors`` are as in ``open()``.

        Raises :class:`ConfigurationError` for an encoding that cannot be used line by line, and
        ``LookupError`` for an unknown ``errors``.
        """
        try:
            plain = _ASCII.encode(encoding) == _ASCII.encode("ascii")
        except UnicodeError:
            plain = False
        except LookupError as error:
            raise ConfigurationError(f"encoding={encoding!r} is not known to Python") from error
        if not plain:
            raise ConfigurationError(
                f"encoding={encoding!r}: use one with single-byte ASCII, such as utf8; lines are "
                "encoded separately, so a byte order mark would precede each"
            )
        codecs.lookup_error(errors)
        self._encoding = encoding
        self._errors = errors
        self.never_shrinks = codecs.lookup(encoding).name == "utf-8" and errors in _KEEP_LENGTH
        """Whether no line has fewer bytes than characters."""

    def encode(self, text: str) -> bytes:
        """Encode a line. What ``errors="strict"`` refuses is escaped."""
        try:
            return text.encode(self._encoding, self._errors)
        except UnicodeError:
            return text.encode(self._encoding, "backslashreplace")

    def encode_all(self, texts: Sequence[str]) -> tuple[bytes, list[int]]:
        """Return the bytes of some lines, one behind the other, and the length of each."""
        joined = "".join(texts)
        if joined.isascii():
            return joined.encode("ascii"), list(map(len, texts))
        parts = [self.encode(text) for text in texts]
        return b"".join(parts), list(map(len, parts))

    def length(self, text: str) -> int:
        """Return how many bytes a line has."""
        return len(text) if text.isascii() else len(self.encode(text))
