"""Workers end in every way there is, with acknowledgements unread, and what they logged is written."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict

from tests.support.leavers import WAYS, Notes
from tests.support.processes import Account, ReceiverProcess


def check_notes(account, notes, ways):
    """Check that each worker's noted records are written once, in order, and at most one more."""
    written = defaultdict(list)
    for (worker, number), times in account.found.items():
        assert times == 1
        written[int(worker)].append(number)
    for worker in range(2 * len(ways)):
        found, noted = set(written[worker]), notes[worker]
        lost = sorted(set(range(noted)) - found)
        assert not lost, f"{len(lost)} of {noted} of {ways[worker % len(ways)]} lost: {lost[:5]}"
        assert found - set(range(noted)) <= {noted}, f"{ways[worker % len(ways)]}: strange ones"
    assert not (account.torn or account.out_of_order)


def test_every_way_out(tmp_path, spool_dir, scale, chance, tell):
    """However a worker leaves, nothing is lost, and no journal stays behind."""
    count, seed = scale(32, 208), str(chance.random())
    sink, notes = tmp_path / "app.log", tmp_path / "notes"
    with ReceiverProcess(sink, "--format", "{message}", "--grace", "60") as receiver:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.leavers", receiver.address, notes, str(count), seed],
            capture_output=True, text=True, timeout=600, check=True,
        )  # fmt: skip
        assert receiver.stop() == 0
    assert "ogging error" not in done.stderr, done.stderr[-3000:]
    account, ways = Account(sink), done.stdout.split()
    tell(f"{count} workers left in {len(WAYS)} ways: {len(account.found):,} records written")
    assert set(ways) == set(WAYS)
    check_notes(account, Notes(notes, 2 * count), ways)
    # One that was half made or half removed is an empty directory, and swept up a minute later.
    files = [path for path in spool_dir.rglob("*") if path.is_file()]
    left = [path for path in files if path.parent.name != "peers" and path.name != "secret"]
    assert not left, receiver.stderr.read_text()
