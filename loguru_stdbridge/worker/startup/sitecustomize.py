"""Begin in a process that is to have the bridge without a line of its own.

Python runs this at its start, where this folder is in front of ``PYTHONPATH``. There are two cases.

* A program with the bridge has started this process by ``subprocess`` (``worker/children.py``). The
  environment is as the parent said, when this is done.
* A receiver with ``--inject`` has started a command, and this process runs somewhere below it. The
  environment stays: what this process starts, has the bridge, too. A Python of another version or
  prefix, or one that finds no loguru, runs as ever.

In both cases ``sys.path`` is as without it, and the ``sitecustomize`` that this one stands in front
of is run. This file has to be read by any Python, old ones, too: no annotations, no f-strings.
"""

import os
import sys


def _begin():  # type: () -> None
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != here]
    inherited = os.environ.pop("LOGURU_STDBRIDGE_INHERITED", None)
    injected = os.environ.get("LOGURU_STDBRIDGE_INJECTED")
    if inherited is not None or injected is None:
        _take_out(here)
    if inherited is not None:
        _inherit(here, inherited)
    elif injected is not None and _is_meant(injected):
        _inherit(here, "-1 logging,loguru {}")


def _take_out(here):  # type: (str) -> None
    """Take out of the environment what the parent has put in front."""
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if os.path.abspath(places[0]) == here:
        del places[0]
    if places:
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
    else:
        os.environ.pop("PYTHONPATH", None)


def _is_meant(text):  # type: (str) -> bool
    """Return whether this is the Python that a receiver has named, and finds loguru."""
    version, _, prefix = text.partition(" ")
    if version != "{}.{}".format(*sys.version_info[:2]):
        return False
    if prefix != sys.prefix and os.path.realpath(prefix) != os.path.realpath(sys.prefix):
        return False
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return any(finder.find_spec("loguru", None) for finder in finders)


def _inherit(here, text):  # type: (str, str) -> None
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
        sys.stderr.write(
            "loguru_stdbridge: this child process has no bridge: {!r}\n".format(error)  # noqa: UP032
        )


_begin()
del sys.modules[__name__]
try:
    __import__(__name__)  # the one that this stands in front of
except ImportError as error:
    if getattr(error, "name", __name__) != __name__:
        raise
    sys.modules[__name__] = type(sys)(__name__)
