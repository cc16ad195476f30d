"""Pickled records of ``SocketHandler``: written with ``pickle``, read without an unpickler.

No sockets, threads, clocks or files here, and nothing that a pickle names is imported or called.
"""
