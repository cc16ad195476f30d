"""Tell a signal that the whole process group got from one that this process alone got.

A terminal sends Ctrl-C, Ctrl-\\ and Ctrl-Z to every process of its foreground group, so to the
receiver and to its command. A supervisor may signal a group, too. If the receiver handed such a
signal on, the command would get it twice, and uvicorn, Celery and others take the second Ctrl-C for
"at once". A signal for the receiver alone must be handed on: nobody else tells the command.

The system does not say to whom else a signal went. So there is a witness: a small process in the
same group that does nothing. It blocks every signal. One that was sent to the group stays pending
there, where the receiver asks for it.

Why the answer is right
-----------------------
* The system makes a group's signal pending for all members in one step. When the receiver handles
  its own, the witness has its own, and keeps it until it is asked.
* A supervisor that signals all processes of a service one after the other (systemd) may reach the
  receiver first. So the witness waits a moment for the signal before it says no.
* Each question has a number, and the answer repeats it. A handler that interrupts another one may
  read the answer that is for the other, and keeps it for that one. An answer that came too late is
  nobody's.
* The witness runs a program of its own, so whoever looks for the receiver by its command line does
  not find the witness. It ends with the receiver, however that ends: its pipe is closed then.
* Without a witness (no process can be started) every signal is handed on. On Windows none is: there
  each one reaches the command by itself (:mod:`~loguru_stdbridge.system.signals`).

The command could have a process group of its own instead. But then a supervisor that kills the
group would leave the command behind, and a command at a terminal could not read from it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import subprocess
import sys
import time

from ..system.pipes import never_wait
from ..system.signals import CAN_WAIT_FOR_SIGNALS, REACH_EVERYBODY, signals_blocked

WITNESS_PATIENCE = 0.05
"""Seconds that the witness waits for a signal that the receiver has got."""

ANSWER_TIMEOUT = 1.0
"""Seconds that the receiver waits for the witness, which may have been killed or stopped."""

_PROGRAM = f"""
import os, signal
while True:
    asked = os.read(0, 2)
    if not asked:
        break
    question, number = asked
    if hasattr(signal, "sigtimedwait"):
        got = signal.sigtimedwait([number], {WITNESS_PATIENCE}) is not None
    else:
        got = number in signal.sigpending() and signal.sigwait([number]) == number
    os.write(1, bytes([question, got]))
"""


class GroupWitness:
    """The witness of this process's group. Used by the main thread, in signal handlers, too."""

    def __init__(self) -> None:
        """Start the witness, if the system can."""
        self._process: subprocess.Popen[bytes] | None = None
        self._questions = itertools.count()
        self._answers: dict[int, bool] = {}
        if not CAN_WAIT_FOR_SIGNALS:
            return
        with contextlib.suppress(OSError, ValueError), signals_blocked():
            self._process = subprocess.Popen(  # it inherits what is blocked
                [sys.executable, "-I", "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                bufsize=0,
            )
            assert self._process.stdout is not None
            never_wait(self._process.stdout.fileno())

    def has_seen(self, number: int) -> bool:
        """Return whether the group got the signal ``number``, which this process has just got."""
        process = self._process
        if process is None:
            return REACH_EVERYBODY
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            question = next(self._questions) % 256
            self._answers.pop(question, None)
            process.stdin.write(bytes([question, number]))
            deadline = time.monotonic() + ANSWER_TIMEOUT
            while question not in self._answers:
                left = max(deadline - time.monotonic(), 0.0)
                if not select.select([process.stdout], [], [], left)[0]:
                    if question in self._answers:  # the last moment's handler has read it
                        break
                    return False
                try:
                    answer = os.read(process.stdout.fileno(), 2)
                except BlockingIOError:  # a handler has read what was there
                    continue
                if len(answer) < 2:
                    return False
                self._answers[answer[0]] = bool(answer[1])
        except (OSError, ValueError):
            return False
        return self._answers.pop(question)

    def note_end(self, pid: int, status: int) -> None:
        """Note that a child has ended, which may be the witness."""
        if self._process is not None and pid == self._process.pid:
            self._process.returncode = status

    def close(self) -> None:
        """End the witness."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        process.wait()
