"""The type of what takes a receiver's records: a writer, several, or one that sorts before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from .several import OneWriter, SeveralWriters

if TYPE_CHECKING:
    from .ordering import OrderedWriter  # loaded only where it is asked for

AnyWriter = Union[OneWriter, SeveralWriters, "OrderedWriter"]
