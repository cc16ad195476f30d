"""A record of the application, the JSON row that it becomes, and the values in it.

No sockets, threads, clocks or files here.
"""
