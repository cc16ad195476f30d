"""A worker maps no file of ours: no state of a disk or a file can end the application by SIGBUS."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.support.processes import Account, ReceiverProcess, run_python

LOG = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge

mapped = []
sys.addaudithook(lambda event, args: mapped.append(args) if event == "mmap.__new__" else None)
logger.remove()
bridge = install_bridge(sys.argv[1])
for number in range(10_000):
    logger.info("worker a number {} end", number)
if sys.argv[2:] == ["map"]:
    import glob, mmap, os
    with open(glob.glob(os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"] + "/*/*.seg")[0], "rb") as file:
        held = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)
assert bridge.flush(60)
with open("/proc/self/maps") as maps:
    print(len(mapped), "".join(maps))
"""

STRACE = ("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", "trace=mmap,mmap2")


def files_mapped(text: str) -> set[str]:
    """Return the paths of the files in calls of ``mmap``, as strace -y shows them."""
    return set(re.findall(r"mmap2?\(.*, \d+<([^>]*)>, ", text))


def ours(paths, tmp_path):
    """Return those of the paths that are in the spool, in the log's directory or a socket's."""
    return {path for path in paths if path.startswith((str(tmp_path), "/run/", "/var/tmp/"))}


def test_a_worker_has_no_file_of_ours_in_its_memory(tmp_path):
    """A worker has no map of a file in its spool after 10,000 log calls, and Python made none."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        status, out, err = run_python(LOG, receiver.address)
        assert receiver.stop() == 0
    assert status == 0, err
    count, maps = out.split(" ", 1)
    assert count == "0"
    assert "[stack]" in maps and str(tmp_path) not in maps
    Account(tmp_path / "app.log").check({"a": 10_000})


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("more", [(), ("map",)], ids=["a worker", "one that maps"])
def test_strace_sees_no_file_of_ours_mapped_by_a_worker(tmp_path, more):
    """A worker's 10,000 log calls map no file of ours, while one that does is seen by strace."""
    trace = tmp_path / "trace.txt"
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        done = subprocess.run(
            [*STRACE, "-o", str(trace), sys.executable, "-c", LOG, receiver.address, *more],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert receiver.stop() == 0
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip(f"strace may trace nothing here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    paths = files_mapped(trace.read_text())
    assert any(path.endswith(".so.6") for path in paths), "it sees no libraries"
    assert bool(ours(paths, tmp_path)) == bool(more), ours(paths, tmp_path)
    Account(tmp_path / "app.log").check({"a": 10_000})
