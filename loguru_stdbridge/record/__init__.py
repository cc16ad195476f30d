"""What a log record is on its way: a JSON row, with the application's values made fit for JSON.

No sockets, threads, clocks or files here.
"""
