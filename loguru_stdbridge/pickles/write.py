"""Stock payloads, written. The only module that imports pickle; nothing is unpickled anywhere.

What strangers send is read by :mod:`strangers`, without an unpickler.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping


def dump_record(fields: Mapping[str, object]) -> bytes:
    """The payload of a record, as ``SocketHandler.makePickle`` writes it (protocol 1).

    The values must be primitives: the far end unpickles whatever they name.
    """
    return pickle.dumps(dict(fields), 1)
