"""One log file for many processes: loguru and stdlib logging over a local, acknowledged socket.

``install_bridge()`` in each worker, ``python -m loguru_stdbridge.receiver app.log`` beside them.

Only the public names are here, and each is imported when it is asked for: a worker never loads the
receiver.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # a child process that never logs loads this module, and typing takes longer
    from typing import Any

    from ._version import __version__
    from .exceptions import (
        AddressError,
        ConfigurationError,
        JournalError,
        LedgerHeldError,
        StdbridgeError,
    )
    from .receiver import EmbeddedReceiver, start_receiver
    from .shared.file_sink import SharedFileSink
    from .shared.handler import SharedFileHandler
    from .worker.handler import BridgeHandler
    from .worker.install import Bridge, install_bridge, uninstall_bridge
    from .worker.intercept import InterceptHandler
    from .worker.stats import Stats

_HOMES = {
    "AddressError": "exceptions",
    "Bridge": "worker.install",
    "BridgeHandler": "worker.handler",
    "ConfigurationError": "exceptions",
    "EmbeddedReceiver": "receiver",
    "InterceptHandler": "worker.intercept",
    "JournalError": "exceptions",
    "LedgerHeldError": "exceptions",
    "SharedFileHandler": "shared.handler",
    "SharedFileSink": "shared.file_sink",
    "Stats": "worker.stats",
    "StdbridgeError": "exceptions",
    "__version__": "_version",
    "install_bridge": "worker.install",
    "start_receiver": "receiver",
    "uninstall_bridge": "worker.install",
}

__all__ = [
    "AddressError",
    "Bridge",
    "BridgeHandler",
    "ConfigurationError",
    "EmbeddedReceiver",
    "InterceptHandler",
    "JournalError",
    "LedgerHeldError",
    "SharedFileHandler",
    "SharedFileSink",
    "Stats",
    "StdbridgeError",
    "__version__",
    "install_bridge",
    "start_receiver",
    "uninstall_bridge",
]


def __getattr__(name: str) -> "Any":
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f".{home}", __name__), name)
    if name == "install_bridge":
        from .worker import starting

        starting.load_embed = _load_embed
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _load_embed() -> "Any":
    """Load what starts a receiver inside a worker: only this module knows both programs."""
    from .exceptions import LedgerHeldError
    from .receiver import start_receiver

    def embed(sink: "Any") -> "Any":
        try:
            return start_receiver(handlers=sink.handlers(), address=[])
        except LedgerHeldError:
            return None

    return embed
