"""The conftest.py of a test suite that runs in several processes."""

from loguru_stdbridge import install_bridge

install_bridge()
