"""Run a stock receiver as the logging cookbook shows it: threads, ``recv(4)``, ``pickle.loads``.

Run as a script, it listens on a free port, prints the port, and writes every message to the file
that its first argument names. It keeps the cookbook's weakness on purpose: it drops a connection
when the length prefix arrives in parts.
"""

from __future__ import annotations

import logging
import pickle
import socketserver
import struct
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while True:
            prefix = self.connection.recv(4)
            if len(prefix) < 4:
                break
            (length,) = struct.unpack(">L", prefix)
            payload = self.connection.recv(length)
            while len(payload) < length:
                more = self.connection.recv(length - len(payload))
                if not more:
                    return
                payload += more
            record = logging.makeLogRecord(pickle.loads(payload))
            self.server.output.write(f"{record.name} {record.levelname} {record.getMessage()}\n")
            self.server.output.flush()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler) as server:
        server.output = open(sys.argv[1], "a", encoding="utf-8")
        print(server.server_address[1], flush=True)
        server.serve_forever()
