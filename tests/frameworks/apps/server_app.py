"""The standard library's web server with threads, whose access lines are not logged but printed."""

from loguru_stdbridge import install_bridge

install_bridge()

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import said


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = said.answer(self.path).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
