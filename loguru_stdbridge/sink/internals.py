"""Makes private loguru loggers, and reads paths and rotations as loguru does.

Why the receiver has a loguru of its own
----------------------------------------
The receiver's logger must not be the application's. Else an embedded receiver, in a process that
also logs, would write its own records into its sink, and the application's ``logger.remove()``
would end it. So the package is imported a second time, under a private name. The copy has a core,
handlers and levels of its own. That takes nothing but ``importlib`` and loguru's public interface.

What is used beyond loguru's public interface
---------------------------------------------
* The function that loguru compiles a ``rotation=`` value to, so that "100 MB" and "00:00" stay
  loguru's words. Its result is checked; where it is not as expected, the rotation is refused.
* The functions by which loguru reads and notes when a file was made. Where they are not there, the
  time of the last change is taken.
"""

from __future__ import annotations

import contextlib
import copy
import glob
import os
import re
import string
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, NamedTuple

import loguru

from ..addresses import resolve_path
from ..exceptions import ConfigurationError
from ..system.paths import find_path_trouble, make_reachable

PRIVATE_NAME = "_loguru_of_stdbridge"
"""The name of the second loguru among the modules."""


def private_loguru() -> ModuleType:
    """Return the copy of loguru that shares nothing with the application's; made once."""
    module = sys.modules.get(PRIVATE_NAME)
    if module is None:
        module = ModuleType(PRIVATE_NAME, loguru.__doc__)
        module.__file__, module.__path__ = loguru.__file__, list(loguru.__path__)
        module.__package__ = PRIVATE_NAME
        sys.modules[PRIVATE_NAME] = module
        try:
            # By its loader: in a zipapp or a frozen program there is no file to read.
            loader: Any = vars(loguru)["__spec__"].loader
            exec(loader.get_code(loguru.__name__), vars(module))
        except BaseException:
            del sys.modules[PRIVATE_NAME]
            raise
        module.logger.remove()
    return module


def private_logger() -> Any:
    """Make a logger with a core of its own and no handler (loguru documents the deep copy)."""
    return copy.deepcopy(private_loguru().logger)


def creation_time(path: str | Path) -> float:
    """Return when a file was made, in seconds since the epoch, as loguru reads it."""
    try:
        return float(_of_file_sink("get_ctime")(os.fspath(path)))
    except AttributeError:  # a loguru that is made otherwise
        return os.stat(path).st_mtime


def note_creation_time(path: str | Path, when: float) -> None:
    """Note when a file was made, as loguru does, where the system has a place for it."""
    with contextlib.suppress(AttributeError, OSError):
        _of_file_sink("set_ctime")(os.fspath(path), when)


def _of_file_sink(name: str) -> Any:
    private_loguru()
    return getattr(sys.modules.get(f"{PRIVATE_NAME}._file_sink"), name)


def read_size(rotation: Any) -> int | None:
    """Return the bytes that a ``rotation=`` names, as loguru reads them; ``None`` for none."""
    if isinstance(rotation, (int, float)):
        return int(rotation)
    private_loguru()
    parse = getattr(sys.modules.get(f"{PRIVATE_NAME}._string_parsers"), "parse_size", None)
    if type(rotation) is not str or parse is None:
        return None
    with contextlib.suppress(ValueError):
        size = parse(rotation)
        return None if size is None else int(size)
    return None


def path_of_now(template: str) -> str:
    """Return the path of a file that begins now, with the time filled in as loguru does it."""
    return os.path.abspath(template.format_map({"time": _of_file_sink("FileDateFormatter")()}))


class SinkPath(NamedTuple):
    """Where a sink writes, whatever becomes of the working directory and of links later."""

    template: str
    """The absolute path without links, for loguru, which fills in ``{time}``."""

    directory: Path
    """The deepest directory above the sink that does not depend on the time."""

    file: str | None
    """The path of the file; ``None`` where it depends on the time."""

    @property
    def name(self) -> str:
        """The last part of the template."""
        return os.path.basename(self.template)

    @property
    def glob_directory(self) -> str:
        """A glob pattern of every directory that the sink may write in."""
        fields = string.Formatter().parse(os.path.dirname(self.template))
        return "".join(glob.escape(text) + "*" * (name is not None) for text, name, *_ in fields)


def read_sink_path(path: str | Path) -> SinkPath:
    """Read a sink's path as loguru does, and follow its links.

    A link to the log file itself is followed too. So all names of a file give one path, and a
    rotation renames the file and leaves the link. Raises :class:`ConfigurationError` for a path
    that loguru cannot use.
    """
    template = os.fspath(path)
    if not os.path.isabs(template):
        template = os.path.join(escape_path(os.getcwd()), template)
    template = os.path.normpath(template)
    literal, is_fixed = "", True
    try:
        fields = string.Formatter().parse(template)
        trouble = find_path_trouble(
            "".join(text + "0" * (name is not None) for text, name, *_ in fields)
        )
        if trouble:
            raise ValueError(trouble)
        for text, name, *_ in string.Formatter().parse(template):
            literal += text
            if name is not None:
                if not re.match(r"time\b", name):
                    raise ValueError(f"{{{name}}} is not known")
                is_fixed = False
                break
    except ValueError as error:
        raise ConfigurationError(
            f"the path {os.fspath(path)!r} cannot be used: {error}. {{time}} may stand in it; "
            "write {{ and }} for plain braces"
        ) from error
    if is_fixed:
        file = make_reachable(resolve_path(literal))
        return SinkPath(escape_path(file), Path(os.path.dirname(file)), file)
    given = os.path.dirname(literal)
    directory = make_reachable(resolve_path(given), template)
    template = os.path.join(
        escape_path(directory), template[len(escape_path(given)) :].lstrip(os.sep)
    )
    return SinkPath(template, Path(directory), None)


def escape_path(path: str) -> str:
    """Write a path so that loguru fills nothing in."""
    return path.replace("{", "{{").replace("}", "}}")


class Rotation(NamedTuple):
    """A compiled ``rotation=`` value."""

    decide: Callable[[Any, Any], bool]
    """Of a message and the open file: whether a new file begins before the message."""

    kind: str
    """``"size"``, ``"time"``, ``"any"`` for a list of conditions, or ``"user"`` for a function of
    the user's."""

    parts: tuple[Rotation, ...] = ()
    """The conditions of a list, in its order: the first that holds has the file rotated."""

    @property
    def has_function(self) -> bool:
        """Whether a function of the user's has a say, which may look at the records."""
        return self.kind == "user" or any(part.has_function for part in self.parts)


def compile_rotation(rotation: Any) -> Rotation | None:
    """Compile a ``rotation=`` value as loguru does; ``None`` means no rotation.

    Raises what loguru raises for a value that it cannot read (a list, where this loguru has none),
    and :class:`ConfigurationError` where loguru compiles it to something that this version does not
    know.
    """
    if rotation is None:
        return None
    if callable(rotation):
        return Rotation(rotation, "user")
    try:
        from loguru._file_sink import FileSink

        make = FileSink._make_rotation_function
    except (ImportError, AttributeError):
        make = None
    decide: Any = make(rotation) if make is not None else None  # type: ignore[no-untyped-call]
    compiled = _kind_of(decide)
    if compiled is None:
        raise ConfigurationError(
            f"loguru {vars(loguru)['__version__']} compiles rotation={rotation!r} in a way that "
            "this version of loguru_stdbridge does not know: give a callable, or install loguru "
            "0.7.3"
        )
    return compiled


def _kind_of(decide: Any) -> Rotation | None:
    """Return what loguru has compiled; ``None`` if it is not known."""
    if isinstance(decide, partial) and set(decide.keywords) == {"size_limit"}:
        return Rotation(decide, "size")
    if type(decide).__name__ == "RotationTime":
        return Rotation(decide, "time")
    if type(decide).__name__ == "RotationGroup":
        parts = []
        for condition in getattr(decide, "_rotations", ()):
            part = _kind_of(condition)
            if part is None and callable(condition):
                part = Rotation(condition, "user")
            if part is None:
                return None
            parts.append(part)
        return Rotation(decide, "any", tuple(parts)) if parts else None
    return None
