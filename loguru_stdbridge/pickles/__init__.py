"""Pickled records, as ``SocketHandler`` sends them: written by ``pickle``, read by code of our own.

No sockets, threads, clocks or files here, and nothing that a pickle names is imported or called.
"""
