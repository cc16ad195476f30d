"""A multiprocessing.Pool; the start method is the argument."""

import multiprocessing
import sys

import said

if __name__ == "__main__":
    from loguru_stdbridge import install_bridge

    install_bridge()

    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        pool.apply(said.say)
        pool.apply(said.warn)
        pool.apply(said.end_thread)
        said.end_child(sys.argv[1])
        pool.apply(said.fail)
