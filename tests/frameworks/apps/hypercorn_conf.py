"""Hypercorn's configuration: its main process reads this, and never the application."""

from loguru_stdbridge import install_bridge

install_bridge()

workers = 2
accesslog = "-"
