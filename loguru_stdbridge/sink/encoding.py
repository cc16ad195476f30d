"""Turns finished lines into the bytes of the sink's encoding, with the sink's line ends."""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence

from ..exceptions import ConfigurationError

_KEEP_LENGTH = ("strict", "backslashreplace", "replace", "xmlcharrefreplace", "surrogateescape")
_ASCII = "".join(map(chr, range(128)))
_ENDINGS = {None: os.linesep, "": "\n", "\n": "\n", "\r": "\r", "\r\n": "\r\n"}


class LineEncoder:
    """Encodes lines, each for itself; no line is lost for a character that does not fit."""

    def __init__(self, encoding: str, errors: str, newline: str | None = None) -> None:
        """``encoding``, ``errors`` and ``newline`` are as in ``open()``.

        Raises :class:`ConfigurationError` for an encoding that cannot be used line by line, for an
        impossible ``newline`` and for unknown ``errors``.
        """
        if newline not in _ENDINGS:
            raise ConfigurationError(
                f"newline={newline!r}: use '\\n', '\\r' or '\\r\\n', or leave it out for this "
                f"system's own, {os.linesep!r}"
            )
        self._line_end = _ENDINGS[newline]
        self._translates = self._line_end != "\n"
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
        try:
            codecs.lookup_error(errors)
        except LookupError as error:
            raise ConfigurationError(
                f"errors={errors!r} is not known to Python: backslashreplace, replace, ignore, "
                "xmlcharrefreplace and strict are"
            ) from error
        self._encoding = encoding
        self._errors = errors
        self.never_shrinks = codecs.lookup(encoding).name == "utf-8" and errors in _KEEP_LENGTH
        """Whether no line has fewer bytes than characters."""

    def encode(self, text: str) -> bytes:
        """Encode a line. What ``errors="strict"`` refuses is escaped."""
        if self._translates:
            text = text.replace("\n", self._line_end)
        try:
            return text.encode(self._encoding, self._errors)
        except UnicodeError:
            return text.encode(self._encoding, "backslashreplace")

    def encode_all(self, texts: Sequence[str]) -> tuple[bytes, list[int]]:
        """Return the bytes of some lines, one behind the other, and the length of each."""
        joined = "".join(texts)
        if joined.isascii() and not self._translates:
            return joined.encode("ascii"), list(map(len, texts))
        parts = [self.encode(text) for text in texts]
        return b"".join(parts), list(map(len, parts))

    def length(self, text: str) -> int:
        """Return how many bytes a line has."""
        if text.isascii() and not self._translates:
            return len(text)
        return len(self.encode(text))
