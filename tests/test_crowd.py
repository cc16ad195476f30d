"""Hundreds of workers at once, coming and going: the receiver is afterwards what it was before."""

from __future__ import annotations

import os
import subprocess
import sys

from loguru_stdbridge.spool.finder import journal_directories
from tests.support.leavers import Notes
from tests.support.processes import Account, ReceiverProcess, disk_usage

FORGETFUL = """
from loguru_stdbridge.receiver import cli
from loguru_stdbridge.sink import ledger
ledger.FORGET_AFTER, ledger.COMPACT_SIZE = 1.0, 64 * 1024
cli.sys.exit(cli.main())
"""


class Receiver(ReceiverProcess):
    """A receiver that forgets senders after a second instead of ten minutes."""

    program = ("-c", FORGETFUL)

    def figures(self, spool):
        with open(f"/proc/{self.process.pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        ledger = self.sink.parent / f".{self.sink.name}.ledger"
        return {
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "threads": int(status["Threads"]),
            "KiB of memory": int(status["RssAnon"].split()[0]),
            "KiB of ledger": ledger.stat().st_size >> 10,
            "journals": len(journal_directories(spool)),
            "KiB of spool": disk_usage(spool) >> 10,
        }


def test_workers_come_and_go(tmp_path, spool_dir, scale, chance, tell, eventually):
    """Workers that come and go leave the receiver's connections, memory, ledger and spool as they
    were."""
    together, per_second, seconds = scale((40, 10, 5), (500, 50, 60))
    total = together + per_second * seconds
    sink, notes = tmp_path / "app.log", tmp_path / "notes"
    with Receiver(sink, "--format", "{message}", "--grace", "60") as receiver:

        def has_told_its_start():  # by a thread that then ends
            told = "listening" in receiver.stderr.read_text()
            return told and receiver.figures(spool_dir)["threads"] == 1

        eventually(has_told_its_start, 60, "the receiver has told its start")
        before = receiver.figures(spool_dir)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.crowd", receiver.address, notes, str(chance.random()),
             str(together), str(per_second), str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as crowd:  # fmt: skip
            try:
                assert crowd.stdout.read(together) == b"." * together
                during = receiver.figures(spool_dir)
                crowd.stdin.write(b"\n")
                crowd.stdin.flush()
                took, late = crowd.stdout.readline().split()[-2:]

                def quiet():
                    figures = receiver.figures(spool_dir)
                    same = ("descriptors", "journals")
                    # What had thousands of entries stays as large as it was, on many file systems.
                    own = spool_dir.stat().st_blocks >> 1
                    return (
                        all(figures[name] == before[name] for name in same)
                        and figures["threads"] <= before["threads"]
                        and figures["KiB of spool"] - own <= before["KiB of spool"] + 16
                    )

                eventually(quiet, 60, "the connections and the journals are gone")
                after = receiver.figures(spool_dir)
                crowd.stdin.write(b"\n")
            finally:
                crowd.stdin.close()
                if crowd.poll() is None and sys.exc_info()[0]:
                    crowd.kill()
        assert receiver.stop() == 0
    tell(
        f"{total} workers, {together} at once, {per_second} a second in {float(took):.1f} s "
        f"(up to {float(late):.1f} s behind): before {before}, with {together} {during}, after {after}"
    )
    assert during["descriptors"] >= before["descriptors"] + together
    assert after["KiB of memory"] < before["KiB of memory"] + scale(4096, 16_384)
    assert after["KiB of ledger"] <= 2 * 64
    written = Notes(notes, total)
    Account(sink).check({str(number): written[number] for number in range(total)})
