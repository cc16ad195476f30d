"""The benchmarks count lines right, fail when a measurement fails, and run from the command line."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from tests.benchmarks.figure import Samples, at_least, at_most
from tests.benchmarks.lines import count_lines
from tests.benchmarks.workers import Gate, Workers


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("a - worker 0 number 0 end\na - worker 0 number 1 end\n", {}),
        ("a - worker 0 number 1 end\n", {"lost": 1}),
        ("worker 0 number 0 end\n" * 2 + "worker 0 number 1 end\n", {"doubled": 1}),
        ("worker 0 number 0 end\nworker 0 number 1 end", {"lost": 1, "torn": 1}),
        ("worker 0 number 0 worker 0 number 1 end\n", {"lost": 1}),
        ("worker 0 number 0 end\nworker 0 number 1 end\nworker 1 number 0 end\n", {"torn": 1}),
        ("worker 0 number 0 end\nworker 0 number 1 end\nx - first\n", {"torn": 1}),
    ],
)
def test_lines_that_are_lost_doubled_or_torn_are_counted(tmp_path, text, flaw):
    """``count_lines`` counts what a peer's files lack, hold twice or hold in pieces."""
    (tmp_path / "app.log").write_bytes(text.encode())
    assert count_lines([tmp_path / "app.log"], [2]) == {"lost": 0, "doubled": 0, "torn": 0, **flaw}


def test_lines_that_are_known_are_left_out(tmp_path):
    """``count_lines`` counts no flaw for the first line that a worker logs before the clock starts."""
    (tmp_path / "app.log").write_bytes(b"x - first\nworker 0 number 0 end\n")
    assert not any(count_lines([tmp_path / "app.log"], [1], others=b" - first\n").values())


def test_verdicts_say_what_was_found_and_asked():
    """A verdict tells apart a target that was met, one that was missed and one not measured."""
    assert at_most("x", 1.1, 1.1).startswith("  met ")
    assert at_most("x", 1.11, 1.1).startswith("  MISSED")
    assert at_least("x", 0.49, 0.5).startswith("  MISSED")
    assert "not measured" in at_least("x", math.nan, 0.5)


def test_ratios_are_of_medians():
    """A ratio divides medians, so one bad run does not move it."""
    samples = Samples(a=[{"rate": 2.0}, {"rate": 2.0}, {"rate": 90.0}], b=[{"rate": 4.0}])
    assert samples.ratio("a", "b", "rate") == 0.5
    assert math.isnan(samples.ratio("a", "nobody", "rate"))


def test_workers_wait_at_a_gate_and_their_failure_is_told(capfd):
    """Each worker takes one byte of a gate before it goes on, and one that raises fails ``join``."""
    gate = Gate(2)

    def work(index):
        gate.wait()
        if index:
            raise ValueError("a worker's own")

    workers = Workers(2, work)
    gate.await_ready()
    gate.open()
    with pytest.raises(RuntimeError, match="failed"):
        workers.join()
    assert "a worker's own" in capfd.readouterr().err
    os.set_blocking(gate._go[0], False)
    with pytest.raises(BlockingIOError):  # nothing is left in it
        os.read(gate._go[0], 1)
    gate.close()


def test_the_command_measures_prints_and_writes(tmp_path):
    """A small run of the command loses nothing and has every case in its tables and its JSON."""
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.benchmarks", "--only", "throughput,cpu,call", "--runs", "1",
            "--workers", "2", "--records", "200", "--peers", "limit,enqueue,queue,replay,rendered",
            "--calls", "20", "--json", str(tmp_path / "figures.json"),
            "--directory", str(tmp_path),
        ],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "figures.json").read_text())
    throughput = document["samples"]["throughput"]
    assert list(throughput) == ["limit", "enqueue", "queue", "replay", "rendered"]
    for measures in throughput.values():
        assert measures["lost"] == measures["doubled"] == measures["torn"] == [0]
        assert min(measures["records_per_second"]) > 0
    assert len(document["samples"]["call"]) == 8
    assert "loguru_stdbridge, by rendered rows, of the limit" in done.stdout
    assert "times the limit's" in done.stdout
    assert "99.9th, receiver stopped, full speed" in done.stdout


def test_a_measurement_that_fails_ends_the_command(tmp_path):
    """The command ends with an error, and prints no table, when one measurement fails."""
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.benchmarks", "--only", "throughput", "--runs", "1",
            "--workers", "1", "--records", "1", "--peers", "replay", "--directory", str(tmp_path),
            "--render", "receiver",
        ],
        env={**os.environ, "LOGURU_STDBRIDGE_FORMAT": "{nothing"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "throughput, replay: failed" in done.stderr
