"""The receiver: the one process that writes the log file."""

from .service import EmbeddedReceiver, start_receiver

__all__ = ["EmbeddedReceiver", "start_receiver"]
