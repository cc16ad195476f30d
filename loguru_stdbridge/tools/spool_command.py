"""``loguru-stdbridge spool``: what waits on disk and for whom; deliver, export or discard it.

A receiver of the log that is meant delivers its journals by itself. These commands are for those
whose receiver will not come.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from ..addresses import log_address, parse_address
from ..exceptions import JournalError, RowError, StdbridgeError
from ..record.row import Row, decode_row, read_row
from ..record.values import show
from ..spool.directory import default_spool_dir
from ..spool.inspection import JournalFacts, inspect_spool
from ..spool.orphans import Orphan
from ..status.terminal import say_age, say_size, table, tidy_line
from .command_line import EXIT_NOT_DONE, ToolParser
from .delivery import Delivery

BATCH = 256 * 1024  # bytes of rows at a time

USAGE_OF_SPOOL = """\
usage: {prog} list|deliver|export|discard [ID ...] [options]

Show the journals of a spool directory, and see to those that nobody has open.

  list                    all journals: whose they are, what they wait for, how many records
  deliver ID ... --to ADDRESS
                          send their records to the receiver at ADDRESS, and remove them
  export ID ... [--output FILE]
                          write their records as JSON, one a line; the journals stay
  discard ID ...          give their records up; the log says how many, once it gets the journal
  discard ID ... --forget remove them without a trace

  ID                      the first digits of a journal's id, or "all" for those that wait
  --spool-dir DIR         the directory (default: this user's)
  --json                  list: one JSON object a line
  --timeout SECONDS       deliver: how long to wait for each answer (default: 10)
  -h, --help              print this

Exit codes: 0 done; 1 not all could be done; 2 wrong usage.
"""


def main(argv: Sequence[str] | None = None, program: str = "loguru-stdbridge spool") -> int:
    """Run it; return the exit code."""
    parser = ToolParser(program, USAGE_OF_SPOOL)
    parser.add_argument("action", choices=("list", "deliver", "export", "discard"))
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--spool-dir")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--to")
    parser.add_argument("--output")
    parser.add_argument("--forget", action="store_true")
    parser.add_argument("--timeout", type=float, default=10.0)
    options = parser.parse_args(argv)
    journals = inspect_spool(options.spool_dir or default_spool_dir())
    if options.action == "list":
        _list(journals, options.as_json)
        return 0
    if not options.ids:
        parser.error(f"{options.action}: name journals, as list shows them, or say all")
    if options.action == "deliver" and not options.to:
        parser.error("deliver: say to whom with --to log:///path, unix:///path or tcp://host:port")
    try:
        chosen = list(_choose(journals, options.ids))
        with contextlib.ExitStack() as opened:
            output: TextIO = sys.stdout
            if options.output:
                file = open(options.output, "x", encoding="utf-8")  # noqa: SIM115 (of the stack)
                output = opened.enter_context(file)
            done = [_do(options, journal, output, program) for journal in chosen]
    except (ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_NOT_DONE
    return 0 if all(done) else EXIT_NOT_DONE


def _list(journals: list[JournalFacts], as_json: bool) -> None:
    rows = []
    for journal in journals:
        waiting = None if journal.is_owned else _count(journal)
        if as_json:
            fields = {**journal._asdict(), "records": waiting}
            fields["id"] = fields.pop("sender_id")[:8]
            fields["path"] = journal.path[: -len(journal.sender_id)] + fields["id"]
            print(json.dumps(fields))
            continue
        rows.append([
            journal.sender_id[:8], "open" if journal.is_owned else "waits",
            "-" if waiting is None else f"{waiting:,}", say_size(journal.bytes),
            say_age(time.time() - journal.created), journal.pid or "-",
            tidy_line(journal.program)[-30:] or "-", tidy_line(journal.wanted or journal.trouble),
        ])  # fmt: skip
    if not as_json:
        heads = ["ID", "STATE", "RECORDS", "SIZE", "AGE", "PID", "PROGRAM", "FOR"]
        print("\n".join(table(heads, rows)) if rows else "no journals")


def _count(journal: JournalFacts) -> int | None:
    """Return how many records wait in a journal; ``None`` where that cannot be known."""
    with contextlib.suppress(OSError, JournalError):
        orphan = Orphan.adopt(journal.path)
        if orphan is not None:
            try:
                return max(orphan.last - orphan.acked, 0)
            finally:
                orphan.release()
    return None


def _choose(journals: list[JournalFacts], ids: Sequence[str]) -> Iterator[JournalFacts]:
    """Yield the journals that are named. Raises ``ValueError`` for a name that fits not one."""
    for name in ids:
        if name == "all":
            yield from (journal for journal in journals if not journal.is_owned)
            continue
        found = [journal for journal in journals if name and journal.sender_id.startswith(name)]
        if len(found) != 1:
            raise ValueError(f"{name}: {len(found) or 'no'} journals begin with it; see list")
        yield from found


def _do(options: argparse.Namespace, journal: JournalFacts, output: TextIO, program: str) -> bool:
    """Do what is asked for with one journal; tell, and return whether it was done."""
    name = journal.sender_id[:8]
    try:
        orphan = Orphan.adopt(journal.path)
    except (JournalError, OSError) as error:
        print(f"{program}: {name}: {error}", file=sys.stderr)
        return False
    if orphan is None:
        if not journal.is_owned:
            print(f"{name}: nothing was left in it", file=sys.stderr)
            return True
        print(f"{program}: {name}: process {journal.pid} has it open", file=sys.stderr)
        return False
    try:
        if options.action == "export":
            count = _export(orphan, output)
            print(f"{name}: {count:,} records exported", file=sys.stderr)
        elif options.action == "discard":
            count = max(orphan.last - orphan.acked, 0)
            if options.forget:
                orphan.remove()
            else:
                orphan.give_up()
            print(f"{name}: {count:,} records discarded", file=sys.stderr)
        else:
            count = _deliver(orphan, options.to, options.timeout)
            print(f"{name}: {count:,} records delivered to {options.to}", file=sys.stderr)
    except (StdbridgeError, OSError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        print(f"{program}: {name}: {reason}", file=sys.stderr)
        return False
    finally:
        orphan.release()
    return True


def _export(orphan: Orphan, output: TextIO) -> int:
    """Write each record as JSON. A number that is missing is told, too."""
    after, count = orphan.acked, 0
    while True:
        batch = orphan.read(after, BATCH)
        if batch.gap is not None:
            first, last, reason = batch.gap
            output.write(json.dumps({"missing": [first, last], "reason": reason}) + "\n")
            after = last
        elif batch.rows:
            for number, row in enumerate(batch.rows, batch.first):
                output.write(json.dumps(_fields_of(number, bytes(row)), default=show) + "\n")
            count += len(batch.rows)
            after = batch.last
        else:
            return count


def _fields_of(number: int, data: bytes) -> dict[str, Any]:
    try:
        row: Row = read_row(decode_row(data))
    except RowError as error:
        return {"number": number, "unreadable": str(error)}
    return {"number": number, **row._asdict()}


def _deliver(orphan: Orphan, to: str, timeout: float) -> int:
    """Deliver all records, and remove the journal. What is acknowledged does not go again."""
    address = parse_address(to) if "://" in to else log_address(to)
    last, after = orphan.last, orphan.acked
    if last <= after:
        orphan.remove()
        return 0
    delivery = Delivery(address, orphan.sender_id, orphan.log, timeout)
    with contextlib.closing(delivery):
        batch = orphan.read(after, 1)
        row = bytes(batch.rows[0]) if batch.rows else b"[]"
        if batch.gap is not None:
            batch = orphan.read(batch.gap.last, 1)
            row = bytes(batch.rows[0]) if batch.rows else b"[]"
        if not batch.rows:
            raise JournalError("no record of it can be read; discard it")
        greeting = delivery.greet(row, batch.first, after + 1)
        if greeting.log is not None:
            orphan.belong_to(greeting.log)
        sent = max(greeting.last, after)
        while sent < last:
            batch = orphan.read(sent, BATCH)
            if batch.gap is not None:
                delivery.give_up(*batch.gap)
                sent = batch.gap.last
            elif batch.rows:
                delivery.send(batch.first, [bytes(each) for each in batch.rows])
                sent = batch.last
            else:
                raise JournalError(f"records {sent + 1} to {last} cannot be read")
            delivery.wait_for(sent)
            orphan.acknowledge(sent)
        delivery.wait_for(last)
        orphan.acknowledge(last)
        orphan.remove()
        delivery.leave(last)
    return last - after
