"""What every application of the table says, once for each call."""

import logging
import multiprocessing
import os
import threading
import warnings

from loguru import logger


def say():
    """One line of each library and level."""
    logger.info("said by loguru at INFO")
    logger.warning("said by loguru at WARNING")
    logging.getLogger("shop").info("said by logging at INFO")
    logging.getLogger("shop").warning("said by logging at WARNING")


def warn():
    warnings.warn("said by warnings", stacklevel=2)


def end_thread():
    """A thread that ends by an exception nobody catches."""

    def work():
        raise RuntimeError("a thread ends")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def raise_in_child():
    raise RuntimeError("a child ends")


def end_child(method="spawn"):
    """A child of multiprocessing that ends by an exception nobody catches."""
    if multiprocessing.current_process().daemon:
        return  # it may have no children
    child = multiprocessing.get_context(method).Process(target=raise_in_child)
    child.start()
    child.join()


def say_all(method="spawn"):
    say()
    warn()
    end_thread()
    end_child(method)


def fail():
    raise ValueError("this one fails")


def answer(path):
    """What a web application does for each path; the text of the response."""
    if path == "/say":
        say_all()
    elif path == "/lines":
        logger.info("a request by loguru")
    elif path == "/fail":
        fail()
    return str(os.getpid())
