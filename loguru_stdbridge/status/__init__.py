"""What operators look at: the receiver's state and figures, and the HTTP listener that shows them.

The receiver's loop only notes (:mod:`~loguru_stdbridge.status.board`); all else happens in a thread
of its own.
"""
