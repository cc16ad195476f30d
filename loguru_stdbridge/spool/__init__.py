"""The journals on disk: rows that no receiver has acknowledged yet.

No sockets and no threads here.
"""
