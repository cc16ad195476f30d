"""What the receiver knows of loguru beyond its public interface, and a loguru of its own.

The receiver's logger must not be the application's: an embedded receiver in a process that also
logs would write its own records into its sink, and the application's ``logger.remove()`` would end
it. A second copy of the package, imported under a private name, has a core, handlers and levels of
its own; that takes nothing but ``importlib`` and the public interface.

The one internal used here is the function that loguru compiles a ``rotation=`` value to, so that
"100 MB" and "00:00" stay loguru's words. It is checked for what is expected of it.
"""

from __future__ import annotations

import copy
import glob
import importlib.util
import os
import re
import string
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, NamedTuple

import loguru

from ..exceptions import ConfigurationError

_PRIVATE_NAME = "_loguru_of_stdbridge"


def private_loguru() -> ModuleType:
    """A copy of loguru that shares nothing with the application's."""
    module = sys.modules.get(_PRIVATE_NAME)
    if module is None:
        spec = importlib.util.spec_from_file_location(
            _PRIVATE_NAME, loguru.__file__, submodule_search_locations=list(loguru.__path__)
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_PRIVATE_NAME] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[_PRIVATE_NAME]
            raise
        module.logger.remove()
    return module


def private_logger() -> Any:
    """A new logger with a core of its own and no handler (loguru documents the deep copy)."""
    return copy.deepcopy(private_loguru().logger)


class SinkPath(NamedTuple):
    """Where a sink writes. The working directory may change; this does not."""

    template: str
    """Absolute, for loguru, which fills in ``{time}``."""

    directory: Path
    """The deepest directory above it that does not depend on the time."""

    @property
    def name(self) -> str:
        """The last part of the template."""
        return os.path.basename(self.template)

    @property
    def glob_directory(self) -> str:
        """A pattern of every directory that the sink may write in."""
        fields = string.Formatter().parse(os.path.dirname(self.template))
        return "".join(glob.escape(text) + "*" * (name is not None) for text, name, *_ in fields)


def read_sink_path(path: str | Path) -> SinkPath:
    """Read a sink's path as loguru does. Raises :class:`ConfigurationError` where it cannot."""
    template = os.fspath(path)
    if not os.path.isabs(template):
        here = os.getcwd().replace("{", "{{").replace("}", "}}")
        template = os.path.join(here, template)
    template = os.path.normpath(template)
    literal = ""
    try:
        for text, name, *_ in string.Formatter().parse(template):
            literal += text
            if name is not None:
                if not re.match(r"time\b", name):
                    raise ValueError(f"{{{name}}} is not known")
                break
    except ValueError as error:
        raise ConfigurationError(
            f"the path {os.fspath(path)!r} cannot be used: {error}. {{time}} may stand in it, "
            "and {{ and }} for plain braces"
        ) from error
    return SinkPath(template, Path(os.path.dirname(literal)))


class Rotation(NamedTuple):
    """A compiled rotation: loguru's answer to "begin a new file before this message?"."""

    decide: Callable[[Any, Any], bool]
    kind: str  # "size", "time", or "user" for a callable of the user's own


def compile_rotation(rotation: Any) -> Rotation | None:
    """loguru's own decision for a ``rotation=`` value; ``None`` for none.

    Raises what loguru raises for a value that it cannot read, and :class:`ConfigurationError` where
    loguru has changed in a way that this version does not know.
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
    if isinstance(decide, partial) and set(decide.keywords) == {"size_limit"}:
        return Rotation(decide, "size")
    if type(decide).__name__ == "RotationTime":
        return Rotation(decide, "time")
    raise ConfigurationError(
        f"loguru {vars(loguru)['__version__']} compiles rotation={rotation!r} in a way that this "
        "version of loguru_stdbridge does not know: give a callable, or install loguru 0.7.3"
    )
