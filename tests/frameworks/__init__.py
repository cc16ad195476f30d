"""The table of the programs: real servers, queues and pools, with the bridge and without it.

    python -m pip install '.[frameworks]'
    python -m tests.frameworks                          # all of them, about ten minutes
    python -m tests.frameworks --only gunicorn,celery --keep /tmp/consoles --json table.json
    python -m tests.frameworks --inject                 # the same, without a line

Each program runs twice: as it is, and with two lines in its application,

    from loguru_stdbridge import install_bridge

    install_bridge()

and a receiver beside it. With ``--inject`` the application has no line, and the program is the
command of ``python -m loguru_stdbridge.receiver app.log --inject -- PROGRAM``. Nothing else differs,
no word about logging among it. Everything that a program says is sorted into kinds of lines
(``lines.py``).

How to read it
--------------
A cell holds two figures: how often each line is in the receiver's file, and how many lines of the
kind are on the console. ``1 3`` is right: every event once in the file, three lines on the console,
as many as without the bridge. ``!`` marks a deviation: ``!0 3`` (none in the file), ``!1 0(3)``
(three were on the console without the bridge), ``!1/1+2/1 3`` (of two events, the second is there
twice). ``-`` is a kind that the program does not have; the list below the table says why. The last
column compares all other lines of the two consoles, numbers aside: ``=`` or what is missing and what
is new. The exit status is 1 if anything deviates.

Where a main process never loads the application (Gunicorn without ``--preload``, uvicorn's and
Granian's command lines), two lines in the application cannot reach it. There are two rows then: one
with the lines where that process reads them, and one with the lines in the application. An injected
bridge reaches all processes, so both have all lines then.

``early_forks.py`` and ``uwsgi.py`` are commands of their own, for forks that are not multiprocessing's.
A part of all this runs in the suite: ``test_programs.py``, and ``test_early_forks.py`` for the forks
that Python makes. Plain forks of C are in the command alone.
"""
