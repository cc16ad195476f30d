"""Journals on disk: the records of one process until a receiver has acknowledged them.

No sockets here, and no threads of its own.
"""
