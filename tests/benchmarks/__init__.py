"""Benchmarks that measure this package side by side with what people use today, in one run.

    python -m pip install '.[benchmark]'
    python -m tests.benchmarks                                  # everything, about twenty minutes
    python -m tests.benchmarks --only throughput,cpu --runs 3   # a part of it
    python -m tests.benchmarks --json figures.json --svg tests/benchmarks/throughput.svg

How to read them
----------------
Times on a shared machine vary by a fifth from one run to the next. The *ratio* of two times that
were measured side by side does not. So each figure runs all its cases in turn, then again
(A B C A B C ...), ``--runs`` times. A table shows the median, the least and the most of the runs.
Targets are ratios within one invocation wherever possible; the lines below a table say whether this
invocation met them. Medians of fewer than five runs prove nothing.

Every case runs in a Python process of its own, so it inherits no threads, handlers or caches of
another. The lines in the files are counted after each run: a case that lost or doubled records shows
it in its row, and does not win, however fast it was.

The machine should do nothing else. If other programs use the cores too, a set-up with more processes
gets a larger share of them and looks better on the clock than it is. Processor time (``cpu``, and
``own`` in ``call``) holds even then. The tables warn when other programs used the cores.

The JSON holds the machine, the versions and every sample: one list per case and measure, in the
order of the runs. ``busy`` is the share of the cores that other programs used just before a sample.

Each figure is a module that says what it measures and how: ``throughput``, ``cpu``, ``call``,
``growth``, ``rotation``, ``delay``, ``footprint``, ``hook``, ``stock``, ``shared``, ``engine``. ``peers`` holds the set-ups that are compared.
``figure``, ``workers``, ``bridges``, ``lines``, ``machine`` and ``chart`` are what the figures share.
"""
