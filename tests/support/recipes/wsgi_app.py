"""A small application that logs through both libraries."""

import logging

from loguru import logger

stdlib = logging.getLogger("shop")


def app(environ, start_response):
    number = environ["QUERY_STRING"]
    logger.info("worker loguru number {} end", number)
    stdlib.info("worker stdlib number %s end", number)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
