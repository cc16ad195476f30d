"""Names by which a Python process learns at its start that it is to have the bridge.

A folder of ours stands in front of ``PYTHONPATH``. It holds a ``sitecustomize.py``, which Python
runs at its start (``worker/startup/``). A variable beside it says what to do: see
``worker/children.py`` for what a program with the bridge hands down, and :func:`inject` for what a
receiver puts into the environment of its command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

STARTUP = os.path.join(_PACKAGE, "worker", "startup")
"""The folder with ``sitecustomize.py``."""

INHERITED = "LOGURU_STDBRIDGE_INHERITED"
"""Holds what a child of a process with the bridge is given, until it begins."""

INJECTED = "LOGURU_STDBRIDGE_INJECTED"
"""Says which Python is to have the bridge, wherever it is started below a receiver's command: its
version and its prefix. Another Python, or one that finds no loguru, is left alone."""


def python_path(path: str | None) -> str:
    """Return ``PYTHONPATH`` with the folder in front."""
    return f"{STARTUP}{os.pathsep}{path}" if path else STARTUP


def inject(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which every Python like this one has the bridge.

    Nothing takes it out again, so it reaches whatever is started below, through shells, too.
    """
    return {
        **environment,
        "PYTHONPATH": python_path(environment.get("PYTHONPATH")),
        INJECTED: f"{sys.version_info[0]}.{sys.version_info[1]} {sys.prefix}",
    }
