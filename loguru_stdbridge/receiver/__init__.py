"""The receiver: the one process that writes the log file.

Nothing here runs inside an application that logs, unless it starts a receiver of its own.
"""

from .embedded import EmbeddedReceiver, start_receiver

__all__ = ["EmbeddedReceiver", "start_receiver"]
