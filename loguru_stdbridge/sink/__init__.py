"""Writes each row as a line of the rotated log file, exactly once.

There are no sockets here, and no worker loads this folder.
"""
