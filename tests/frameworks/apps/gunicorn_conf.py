"""Gunicorn's configuration: its master reads this, and the application only with --preload."""

from loguru_stdbridge import install_bridge

install_bridge()

workers = 2
accesslog = "-"
