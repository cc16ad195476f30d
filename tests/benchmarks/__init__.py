"""The benchmarks: us side by side with what people use today, in one run.

    python -m pip install '.[benchmark]'
    python -m tests.benchmarks                                  # everything, about twenty minutes
    python -m tests.benchmarks --only throughput,cpu --runs 3   # a part of it
    python -m tests.benchmarks --json figures.json --svg tests/benchmarks/throughput.svg

How to read them
----------------
Times on a shared machine move by a fifth from one run to the next; what holds is the *ratio* of two
things that were measured beside each other. So each figure runs all its cases in turn, then again
(A B C A B C ...), ``--runs`` times, and a table shows the median, the least and the most of the runs.
Targets are ratios within this invocation wherever the thing itself is one; the last column says
whether this invocation met them. Medians of fewer than five runs prove nothing.

Every case is measured in a Python process of its own, so none inherits another's threads, handlers
or caches. Lines are counted in the files after each run: a case that lost or doubled records shows
it in its row, and is no winner however fast it was.

The machine should do nothing else. Where others want the cores, too, a set-up that has more processes
gets a larger share of them, and looks better on the clock than it is; processor time (``cpu``, and
``own`` of ``call``) still tells. The tables say so where it was the case.

The JSON holds the machine, the versions and every sample, one list per case and measure, in the
order of the runs; ``busy`` is the share of the cores that others used right before the sample.

A module each: the figures (``throughput``, ``cpu``, ``call``, ``growth``, ``rotation``, ``delay``,
``footprint``), each of which says what it measures and how; ``peers``, the set-ups that are compared;
and what they share (``figure``, ``workers``, ``lines``, ``machine``, ``chart``).
"""
