"""A WSGI application for Gunicorn: each request logs ``RECORDS`` lines into a shared file.

``/NAME/RECORDS`` logs the lines of ``NAME``. ``SHARED_PATH`` is the file, ``SHARED_WORDS`` loguru's words
for it as JSON. ``SHARED_PLAIN`` makes it loguru's own file sink.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable

from loguru import logger

from loguru_stdbridge import SharedFileSink

from .shared_writer import log_all

_words = json.loads(os.environ["SHARED_WORDS"])
logger.remove()
if os.environ.get("SHARED_PLAIN"):
    logger.add(os.environ["SHARED_PATH"], format="{message}", **_words)
else:
    logger.add(SharedFileSink(os.environ["SHARED_PATH"], **_words), format="{message}")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Log what the path asks for."""
    _, name, records = environ["PATH_INFO"].split("/")
    log_all(name, int(records), logger.info)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
