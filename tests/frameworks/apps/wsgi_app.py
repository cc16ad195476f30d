"""WSGI, for Gunicorn."""

from loguru_stdbridge import install_bridge

install_bridge()

import said


def application(environ, start_response):
    body = said.answer(environ["PATH_INFO"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
