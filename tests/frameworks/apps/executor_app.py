"""A ProcessPoolExecutor, one worker of which is killed; the start method is the argument."""

import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import said

if __name__ == "__main__":
    from loguru_stdbridge import install_bridge

    install_bridge()

    method = sys.argv[1]
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(said.say_all, method).result()
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
