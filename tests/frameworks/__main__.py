"""``python -m tests.frameworks``: run the programs, print the table, write JSON."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .lines import KINDS
from .programs import PROGRAMS
from .running import Program, drive
from .table import Row, as_text, compare, reasons


def run(program: Program, directory: Path, *, inject: bool = False) -> Row:
    """Run a program without and with the bridge; a failure becomes its row.

    ``inject``: the bridge comes from ``--inject``, and the application has no line of ours.
    """
    missing = [name for name in program.needs if importlib.util.find_spec(name) is None]
    if missing:
        return Row(program.name, {}, {}, {}, f"not installed: {', '.join(missing)}")
    texts = {}
    for bridge in (False, True):
        name = "with" if bridge else "without"
        try:
            texts[bridge] = drive(
                program, directory / "run", bridge=bridge, inject=bridge and inject
            )
        except (AssertionError, OSError) as error:  # TimeoutError and ChildProcessError, too
            return Row(program.name, {}, {}, {}, f"{name} the bridge: {error}")
        finally:  # both ran in one place, so that its name makes no difference between them
            shutil.rmtree(directory / name, ignore_errors=True)
            os.rename(directory / "run", directory / name)
    return compare(program, *texts[True], texts[False][0], injected=inject)


def describe(row: Row) -> str:
    """Say what deviates in a row."""
    said = [f"{row.name} deviates", row.failure]
    for kind, cell in row.cells.items():
        if cell.deviates:
            said.append(f"  {kind}: {cell} (wanted {cell.wanted})")
    for name, lines in (("lost", row.lost), ("added", row.added)):
        for line, times in list(lines.items())[:10]:
            said.append(f"  {name} {times}: {line[:150]}")
    return "\n".join(filter(None, said))


def _versions() -> dict[str, str]:
    names = {"loguru", *(name for program in PROGRAMS for name in program.needs)}
    known = {"xdist": "pytest-xdist"}
    found = {"python": platform.python_version()}
    for name in sorted(names):
        try:
            found[name] = importlib.metadata.version(known.get(name, name))
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.frameworks",
        description="Run real programs with and without the bridge, and count their lines.",
    )
    add = parser.add_argument
    add("--only", default="", help="programs whose name holds one of these, by commas")
    add("--json", metavar="PATH", help="write every count")
    add("--keep", metavar="DIR", help="keep the consoles and files there")
    add("--inject", action="store_true", help="the bridge by --inject, no line in the application")
    add("--list", action="store_true", help="name the programs, and end")
    options = parser.parse_args(argv)
    wanted = [part for part in options.only.split(",") if part]
    chosen = [p for p in PROGRAMS if not wanted or any(part in p.name for part in wanted)]
    if options.list:
        print("\n".join(program.name for program in chosen))
        return 0
    if not chosen:
        parser.error(f"--only {options.only}: no program has such a name; see --list")
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        for program in chosen:
            directory = Path(options.keep or temporary) / "".join(
                letter if letter.isalnum() else "_" for letter in program.name
            )
            rows.append(run(program, directory, inject=options.inject))
            print(as_text(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print("\n".join(f"{kind}: {text}" for kind, text in KINDS.items()))
    print(f"\n{as_text(rows)}\n\nNot there:\n{reasons(rows)}")
    deviating = [row for row in rows if row.deviates]
    for row in deviating:
        print(f"\n{describe(row)}")
    if options.json:
        Path(options.json).write_text(
            json.dumps({"versions": _versions(), "rows": [row.as_json() for row in rows]}, indent=1)
        )
    print(f"\n{len(rows)} programs, {len(deviating)} deviate")
    return 1 if deviating else 0


if __name__ == "__main__":
    sys.exit(main())
