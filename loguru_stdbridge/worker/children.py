"""Hand the bridge down to the processes that this one starts.

A forked child has the bridge with the rest of its parent. A process that begins anew (by ``spawn``
or ``forkserver`` of :mod:`multiprocessing`, by loky, by :mod:`subprocess`) has not. Owns what such
a process is given on its way, so that it begins with
:func:`~loguru_stdbridge.worker.inherited.inherit` before any of its own code runs.

multiprocessing, and what is built on it
----------------------------------------
``multiprocessing.spawn.get_preparation_data`` makes a dict that is pickled for the child, and that
the child unpickles first of all. One more entry is put in: an object whose unpickling runs a few
lines of code. The same goes for loky's and billiard's copies of that function. Executors, Dask's
nannies and joblib start their processes by one of them.

Those lines name nothing of this package while they are unpickled. A child that does not find the
package tells so on stderr and goes on: an import error there would end it. Where the package is not
on the child's own path, it is imported from where the parent has it.

subprocess
----------
A child that runs this process's own Python gets two variables into its environment: what describes
the bridge, and a folder of ours in front of ``PYTHONPATH``. The folder holds a
``sitecustomize.py``, which Python runs at its start. It takes both out of the environment again and
runs the ``sitecustomize`` that it stands in front of. So neither the child's code nor its own
children see any of it, and other programs are started as ever. Two other ways were not taken: a
``.pth`` file would be read at every start of any Python in the environment, and code that runs when
this package is imported comes too late for a child that never imports it.

Out of reach: a child started with ``-I``, ``-E`` or ``-S``, through a shell, by ``os.exec``,
``os.spawn`` or ``os.posix_spawn``, or with another Python. The receiver is left alone on purpose:
it would send itself what it writes.
"""

from __future__ import annotations

import os
import sys

from ..system.startup import INHERITED, python_path
from .importing import AfterImport

TYPE_CHECKING = False
if TYPE_CHECKING:  # see importing
    from typing import Any

    Given = tuple[int, tuple[str, ...], str]
    """The arguments of :func:`~loguru_stdbridge.worker.inherited.inherit`."""

PREPARATION_KEY = "loguru_stdbridge"
"""Our entry in the preparation data; ``prepare`` looks only at those that it knows."""

_PLACE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where the package is."""

_SPAWNING = (
    "multiprocessing.spawn",
    "joblib.externals.loky.backend.spawn",
    "loky.backend.spawn",
    "billiard.spawn",
)

_BEGIN = """\
try:
    import sys
    try:
        from loguru_stdbridge.worker.inherited import inherit
    except ImportError:
        sys.path.append(place)
        try:
            from loguru_stdbridge.worker.inherited import inherit
        finally:
            sys.path.remove(place)
    inherit(*given)
except Exception as error:
    try:
        sys.__stderr__.write(f"loguru_stdbridge: this child process has no bridge: {error!r}\\n")
    except Exception:
        pass
"""


class _Beginning:
    """Runs :data:`_BEGIN` where it is unpickled."""

    def __init__(self, given: Given) -> None:
        self._given = given

    def __reduce__(self) -> Any:
        return exec, (_BEGIN, {"given": self._given, "place": _PLACE})


class _HandingDown:
    """What children are given, and the functions that give it."""

    def __init__(self) -> None:
        self.given: Given | None = None
        self._imports: AfterImport | None = None
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def start(self, given: Given) -> None:
        self.given = given
        if self._imports is None:
            actions = dict.fromkeys(_SPAWNING, self._extend_preparation)
            self._imports = AfterImport({**actions, "subprocess": self._extend_environment})
            self._imports.start()

    def stop(self) -> None:
        self.given = None
        if self._imports is not None:
            self._imports.stop()
            self._imports = None
        while self._replaced:
            owner, name, original, ours = self._replaced.pop()
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)

    def _replace(self, owner: Any, name: str, original: Any, ours: Any) -> None:
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(ours, attribute, getattr(original, attribute))
        ours.__wrapped__ = original
        self._replaced.append((owner, name, original, ours))
        setattr(owner, name, ours)

    def _extend_preparation(self, module: Any) -> None:
        original = getattr(module, "get_preparation_data", None)
        if original is None:
            return

        def get_preparation_data(*args: Any, **more: Any) -> Any:
            data = original(*args, **more)
            if self.given is not None and isinstance(data, dict):
                data[PREPARATION_KEY] = _Beginning(self.given)
            return data

        self._replace(module, "get_preparation_data", original, get_preparation_data)

    def _extend_environment(self, subprocess: Any) -> None:
        original = subprocess.Popen.__init__

        def __init__(popen: Any, args: Any, *rest: Any, **more: Any) -> None:
            if self.given is not None and len(rest) < 10:  # env is not among them
                if hasattr(args, "__next__"):  # it can be read only once
                    args = list(args)
                try:
                    environment = _extended(args, more, self.given)
                except Exception:  # whatever it is: subprocess has its own words for it
                    environment = None
                if environment is not None:
                    more["env"] = environment
            original(popen, args, *rest, **more)

        self._replace(subprocess.Popen, "__init__", original, __init__)


def _extended(args: Any, more: dict[str, Any], given: Given) -> Any:
    """Return the environment of a child that is a Python like this one; else ``None``."""
    several = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
    words = [os.fsdecode(word) for word in several]
    program = more.get("executable") or words[0]
    if more.get("shell") or not _is_this_python(os.fsdecode(program), more.get("env")):
        return None
    if any(map(_is_a_receiver_s, words)):
        return None
    env = more.get("env")
    whole = os.environ if env is None else env
    environment = {os.fsdecode(name): value for name, value in whole.items()}
    environment["PYTHONPATH"] = python_path(os.fsdecode(environment.get("PYTHONPATH") or ""))
    environment[INHERITED] = f"{given[0]} {','.join(given[1])} {given[2]}"
    return environment


def _is_a_receiver_s(word: str) -> bool:
    """Return whether a command's word says that it is the receiver's, or may become that."""
    command = word == "loguru_stdbridge" or os.path.basename(word) == "loguru-stdbridge"
    return command or word.startswith("loguru_stdbridge.receiver")


def _is_this_python(program: str, env: Any) -> bool:
    """Return whether ``program`` is the Python that runs this process, links not followed: a
    virtual environment's Python is a link to another's."""
    if not sys.executable:
        return False
    if not os.path.dirname(program):
        import shutil

        path = None if env is None else env.get("PATH")
        program = shutil.which(program, path=path) or ""
    return os.path.abspath(program) == os.path.abspath(sys.executable)


_handing_down = _HandingDown()


def is_handing_down() -> bool:
    """Return whether the bridge is installed in this process, so that children get it."""
    return _handing_down.given is not None


def hand_down(level: int | None, libraries: tuple[str, ...], options: dict[str, Any]) -> None:
    """Give each process that is started from now on the bridge.

    ``level`` is the least that is sent, ``libraries`` are those that are attached to
    (``"logging"``, ``"loguru"``), ``options`` the keyword arguments of ``install_bridge``: numbers,
    texts, booleans and ``None``.
    """
    import json

    pass_on((-1 if level is None else level, libraries, json.dumps(options)))


def pass_on(given: Given) -> None:
    """Give each process that is started from now on what this one was given."""
    _handing_down.start(given)


def stop_waiting() -> None:
    """End the wait for this process's first record, where its parent has it wait: the bridge is
    being installed."""
    inherited = sys.modules.get(f"{__package__}.inherited")
    if inherited is not None:
        inherited.give_up()


def withdraw() -> None:
    """Give children nothing from now on, and leave what was changed as it was."""
    _handing_down.stop()
