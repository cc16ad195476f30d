"""Begin in a child process of ``subprocess`` that a program with the bridge has started.

Python runs this at its start. It leaves no trace: the environment and ``sys.path`` are as the
parent said, and the ``sitecustomize`` that this one stands in front of is run.
"""

from __future__ import annotations

import os
import sys


def _begin() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if os.path.abspath(places[0]) == here:
        del places[0]
    if places:
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
    else:
        os.environ.pop("PYTHONPATH", None)
    text = os.environ.pop("LOGURU_STDBRIDGE_INHERITED", None)
    if text is None:
        return
    try:
        level, libraries, options = text.split(" ", 2)
        try:
            from loguru_stdbridge.worker.inherited import inherit
        except ImportError:
            for _ in range(3):  # startup, worker, the package
                here = os.path.dirname(here)
            sys.path.append(here)
            try:
                from loguru_stdbridge.worker.inherited import inherit
            finally:
                sys.path.remove(here)
        inherit(int(level), tuple(libraries.split(",")), options)
    except Exception as error:
        sys.stderr.write(f"loguru_stdbridge: this child process has no bridge: {error!r}\n")


_begin()
del sys.modules[__name__]
try:
    __import__(__name__)  # the one that this stands in front of
except ImportError as error:
    if error.name != __name__:
        raise
    sys.modules[__name__] = type(sys)(__name__)
