"""Beyond one machine: what goes to a stream of NATS (JetStream), and what comes from there.

Loaded only by a receiver that has a ``nats://`` address.
"""
