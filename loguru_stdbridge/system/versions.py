"""Compares two versions of this package, as the two ends of a connection tell them."""

from __future__ import annotations


def is_later_version(version: str, than: str) -> bool:
    """Return whether ``version`` is later than ``than``, by their numbers.

    What stands behind the numbers (``rc1``, ``.dev3``) is not looked at. A text that is no version
    is later than nothing.
    """
    return _numbers_of(version) > _numbers_of(than) > ()


def _numbers_of(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split(".")[:4]:
        digits = part[:9]
        if not (digits.isascii() and digits.isdigit()):
            break
        numbers.append(int(digits))
    return tuple(numbers)
