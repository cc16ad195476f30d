"""A row becomes a line of the rotated file, exactly once.

No sockets here, and no worker loads this folder.
"""
