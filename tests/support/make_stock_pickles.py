"""Write the frames that the ``SocketHandler`` of a Python, or of picologging, sends.

Runs on every Python from 2.7 on, and needs nothing but the stdlib::

    python2.7 tests/support/make_stock_pickles.py tests/pickles/stock/cpython-2.7.gz
    python3.12 tests/support/make_stock_pickles.py tests/pickles/stock/picologging.gz picologging

``tests/pickles/test_skeleton.py`` reads the files. The records are those of a small program:
several places, levels and threads, messages of several lengths, exceptions, ``extra=``.
"""

import gzip
import importlib
import sys
import threading

logging = importlib.import_module(sys.argv[2] if len(sys.argv) > 2 else "logging")
handlers = importlib.import_module(logging.__name__ + ".handlers")


class Keeping(handlers.SocketHandler):
    """Keeps the frames in place of sending them."""

    def __init__(self):
        handlers.SocketHandler.__init__(self, "localhost", 1)
        self.frames = []

    def emit(self, record):
        self.frames.append(self.makePickle(record))

    handle = emit


def process(log, number):
    """Log from a function that has the name of an attribute of a record."""
    log.debug("processed %d", number)


def log_one(log, number):
    """Log one record more of each kind."""
    log.info("number %d", number)
    log.warning("a longer message of many words, number %d: %s", number, "word " * (number % 80))
    process(log, number)
    log.info("plain")
    log.log(35, b"caf\xc3\xa9 %s".decode("utf-8"), b"\xe2\x82\xac".decode("utf-8") * (number % 5))


def log_rarely(log, number):
    """Log with an exception, and with ``extra=``."""
    log.info(
        "with extra", extra={"user": "u%d" % number, "items": number * 100, "share": number / 7.0}
    )
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("failed %d", number)


def main():
    """Write the frames to the file that the first argument names."""
    handler = Keeping()
    log, tasks = logging.getLogger("shop.views"), logging.getLogger("shop.tasks")
    for each in (log, tasks):
        each.setLevel(logging.DEBUG)
        each.propagate = False
        each.addHandler(handler)
    for number in range(8):
        log_one(log, number)
        log_rarely(log, number)
        if number % 2:
            thread = threading.Thread(target=log_one, args=(tasks, number))
            thread.start()
            thread.join()
    with open(sys.argv[1], "wb") as file:
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)
        packed.write(b"".join(handler.frames))
        packed.close()


if __name__ == "__main__":
    main()
