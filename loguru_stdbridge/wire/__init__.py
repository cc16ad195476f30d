"""What a worker and a receiver say to each other: bytes in, events out.

No sockets, threads, clocks or files here.
"""
