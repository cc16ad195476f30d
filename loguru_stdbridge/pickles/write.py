"""Pickles records as the stdlib's ``SocketHandler`` does.

The only module that imports ``pickle``. Nothing is unpickled anywhere: :mod:`pickles.read` reads
what strangers send.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping


def dump_record(fields: Mapping[str, object]) -> bytes:
    """Pickle a record as ``SocketHandler.makePickle`` does, by protocol 1.

    The values must be primitives: the receiver unpickles whatever they name.
    """
    return pickle.dumps(dict(fields), 1)
