"""An RQ worker; the port of a Redis server is its argument."""

from loguru_stdbridge import install_bridge

install_bridge()

import os
import signal
import sys

import said
from redis import Redis
from rq import Queue, Worker


class Client(Redis):
    def client_info(self):
        return {"addr": "127.0.0.1:0"}  # the server that stands in for Redis answers otherwise


def say():
    said.say_all()


def fail():
    said.fail()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    server = Client(port=int(sys.argv[1]))
    queue = Queue(connection=server)
    for task in ("say", "fail", "die"):
        queue.enqueue(f"rq_app.{task}")
    Worker([queue], connection=server).work(burst=True)
