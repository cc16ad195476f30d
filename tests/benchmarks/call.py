"""Time every log call of one worker, to show what a call costs its caller.

Four cases: a direct loguru rotating file, and the bridge with the receiver up, absent (nobody listens
at the address) or stopped (SIGSTOP, its connections open). Two paces: as fast as the worker can, so
that the sender thread is always at work, and 1,000 calls a second with a sleep before each, so that
each call finds cold caches. ``own`` is the processor time of the calling thread per call; it leaves
out the time in which another process had the core.
"""

from __future__ import annotations

import signal
import threading
import time
from array import array
from pathlib import Path

from loguru import logger

from .bridges import install, start_receiver
from .figure import Figure, Options, Sample, Samples, at_most, percentile, table
from .lines import message
from .peers import ROTATION

_STATES = {
    "direct": "direct loguru file",
    "up": "receiver up",
    "absent": "receiver absent",
    "stopped": "receiver stopped",
}
_PACES = {"full": "full speed", "paced": "1,000/s"}
_PAUSE = 0.001  # seconds between two calls that are paced
_PACED_CALLS = 5000
_WARM_UP = 1000


class Call(Figure):
    name = "call"
    title = "A log call, microseconds"

    def cases(self, options: Options) -> list[str]:
        return [f"{state}-{pace}" for pace in _PACES for state in _STATES]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        state, pace = case.split("-")
        sink = directory / "logs" / "app.log"
        logger.remove()
        if state == "direct":
            logger.add(sink, rotation=ROTATION)
            return time_calls(options, pace)
        with start_receiver(sink, options, "--rotation", str(ROTATION)) as receiver:
            if state == "absent":
                receiver.stop()
            bridge = install(receiver.address)
            noticed = threading.Event()  # set when the sender reports that nobody listens
            bridge._channel.open()
            bridge._channel._pipeline.sender._outage._report = lambda text: noticed.set()
            logger.info(message("{}"), 0, 0)
            if state == "absent":
                if not noticed.wait(30):
                    raise RuntimeError("the sender does not notice that nobody is there")
            elif not bridge.flush(30):
                raise RuntimeError("the receiver does not acknowledge")
            if state == "stopped":
                receiver.process.send_signal(signal.SIGSTOP)
            try:
                return time_calls(options, pace)
            finally:
                if state == "stopped":
                    receiver.process.send_signal(signal.SIGCONT)
                bridge.close(0 if state == "absent" else 60)

    def report(self, samples: Samples, options: Options) -> str:
        rows, found = [], []
        for pace, pace_name in _PACES.items():
            for state, state_name in _STATES.items():
                case, direct = f"{state}-{pace}", f"direct-{pace}"
                name = f"{state_name}, {pace_name}"
                middle = samples.ratio(case, direct, "median")
                tail = samples.ratio(case, direct, "p999")
                if state != "direct":
                    found.append(at_most(f"median, {name}, times the direct file's", middle, 1.1))
                    found.append(at_most(f"99.9th, {name}, times the direct file's", tail, 3.0))
                rows.append([
                    name,
                    *samples.cells(case, "median", ".1f"), f"{middle:.2f}",
                    *samples.cells(case, "p999", ".0f"), f"{tail:.2f}",
                    samples.cells(case, "worst", ",.0f")[0],
                    samples.cells(case, "own", ".1f")[0],
                    f"{samples.ratio(case, direct, 'own'):.2f}",
                ])  # fmt: skip
        head = ["", "median", "min", "max", "times", "99.9th", "min", "max", "times", "worst",
                "own", "times"]  # fmt: skip
        return table(head, rows) + "\n\n" + "\n".join(found)


def time_calls(options: Options, pace: str) -> Sample:
    """Time the calls of this process at a pace, with whatever sink loguru has."""
    paced = pace == "paced"
    calls = min(options.calls, _PACED_CALLS) if paced else options.calls
    taken = array("q", bytes(8 * calls))
    info, text, clock, sleep = logger.info, message("{}"), time.perf_counter_ns, time.sleep
    for number in range(min(_WARM_UP, calls)):
        info(text, 0, number)
    before = time.thread_time_ns()
    for number in range(calls):
        if paced:
            sleep(_PAUSE)
        start = clock()
        info(text, 1, number)
        taken[number] = clock() - start
    own = time.thread_time_ns() - before
    ordered = sorted(taken)
    return {
        "median": percentile(ordered, 0.5) / 1000,
        "p99": percentile(ordered, 0.99) / 1000,
        "p999": percentile(ordered, 0.999) / 1000,
        "worst": ordered[-1] / 1000,
        "mean": sum(ordered) / calls / 1000,
        "own": own / calls / 1000,
    }
