"""The proof that no record is lost or doubled on its way through a cluster of NATS.

Run by ``python -m tests.nats``; ``tests/test_nats.py`` has the short tests.
"""
