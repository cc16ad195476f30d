"""Programs for an operator's terminal: they look at a receiver, or at the spool, and change little.

Like worker and receiver they are programs of their own, and import neither.
"""
