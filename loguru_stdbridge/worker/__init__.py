"""The worker: what runs inside the application that logs.

It never loads the receiver or the sink, and never opens the log file.
"""
