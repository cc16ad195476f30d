"""The version, for setup.cfg to read without importing loguru."""

__version__ = "0.1.0"
