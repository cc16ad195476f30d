"""``loguru-stdbridge status``: one receiver's state, for people, scripts and health checks."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..exceptions import AddressError
from ..status.terminal import (
    Colouring,
    draw_bars,
    say_age,
    say_delay,
    say_size,
    table,
    tidy_line,
)
from ..system.keys import keys_at_once, read_key
from .command_line import EXIT_NOBODY_THERE, EXIT_NOT_DONE, ToolParser
from .finding import Endpoint, NobodyThereError, ask_json, find_targets

_LOOKS_APART = 1.0  # seconds between the two looks that a rate needs

USAGE_OF_STATUS = """\
usage: {prog} [SINK|ADDRESS] [options]

Show whether a receiver writes, how much, and who its workers are.

  SINK|ADDRESS      the log file, or where its receiver shows the status: unix:///path,
                    tcp://host:port (default: the only receiver that runs)
  --watch           draw it anew each second: s sorts, Space pauses, q quits
  --json            one JSON object
  --brief           the first line alone, at once: for health checks
  --color, --no-color
                    colours (default: on a terminal without $NO_COLOR)
  -h, --help        print this

Exit codes: 0 it writes; 1 it does not; 2 wrong usage; 3 nobody is there.
"""

_SORTS: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
    ("/S", lambda worker: -worker["rate"]),
    ("BACKLOG", lambda worker: -(worker["backlog"] or 0)),
    ("LOST", lambda worker: -worker["lost"]),
    ("PROGRAM", lambda worker: worker["program"]),
    ("SINCE", lambda worker: worker["since"]),
)


def main(argv: Sequence[str] | None = None, program: str = "loguru-stdbridge status") -> int:
    """Run it; return the exit code."""
    parser = ToolParser(program, USAGE_OF_STATUS)
    parser.add_argument("meant", nargs="?")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--color", action="store_true", default=None)
    parser.add_argument("--no-color", action="store_false", dest="color")
    options = parser.parse_args(argv)
    colours = Colouring(options.color)
    try:
        targets = find_targets(options.meant)
        if options.watch:
            return _watch(targets, colours)
        state = _look(targets, twice=not options.brief)
    except (NobodyThereError, AddressError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_NOBODY_THERE
    except KeyboardInterrupt:
        return 0
    if options.as_json:
        print(json.dumps(state))
    else:
        lines = render_status(state, colours)
        print("\n".join(lines[:1] if options.brief else lines))
    return 0 if is_writing(state) else EXIT_NOT_DONE


def is_writing(state: dict[str, Any]) -> bool:
    """Return whether a receiver takes and writes records."""
    return not state["is_ending"] and all(sink["is_writing"] for sink in state["sinks"])


def _look(targets: list[Endpoint], *, twice: bool) -> dict[str, Any]:
    """Return the state, with rates: they need two looks, a second apart."""
    first = ask_json(targets, "/status.json")
    if not twice:
        return first
    time.sleep(_LOOKS_APART)
    state = ask_json(targets, "/status.json")
    passed = max(state["made"] - first["made"], 0.001)
    state["rate"] = (state["written"] - first["written"]) / passed
    before = {(w["id"], w["peer"]): w["records"] for w in first["workers"]}
    for worker in state["workers"]:
        sent = worker["records"] - before.get((worker["id"], worker["peer"]), 0)
        worker["rate"] = max(sent, 0) / passed
    return state


def render_status(
    state: dict[str, Any],
    colours: Colouring,
    *,
    sort: int = 0,
    bars: dict[str, list[float]] | None = None,
) -> list[str]:
    """Return the state as lines. ``bars`` has the rates of workers, by id and peer."""
    paint = colours.paint
    figures = state.get("figures", {})
    if is_writing(state):
        word = paint("writing", "green")
    elif state["is_ending"]:
        word = paint("ending", "yellow")
    elif state.get("is_standby"):
        word = paint("standing by", "yellow")
    else:
        word = paint("cannot write", "red")
    up = say_age(state["made"] - state["started"])
    lines = [f"{tidy_line(state['log'])}  {word}  receiver {state['pid']}, up {up}"]
    lines += [paint(tidy_line(s["trouble"]), "red") for s in state["sinks"] if s["trouble"]]
    lost = sum(state["given_up"].values())
    told = [worker["backlog"] for worker in state["workers"] if worker["backlog"] is not None]
    parts = [
        f"{state.get('rate', figures.get('rate', 0)):,.0f}/s",
        f"p99 {say_delay(figures.get('p99'))}",
        f"backlog {sum(told) + state['held']:,}",
        paint(f"given up {lost:,}", "red") if lost else "given up 0",
        f"written {state['written']:,}",
    ]
    sink = state["sinks"][0]
    if sink["size"] is not None:
        limit = f" of {say_size(sink['limit'])}" if sink["limit"] else ""
        parts.append(f"{say_size(sink['size'])}{limit}")
    lines.append("  ".join(parts))
    if state["workers"]:
        lines += _render_workers(state, colours, sort, bars)
    return lines


def _render_workers(
    state: dict[str, Any], colours: Colouring, sort: int, bars: dict[str, list[float]] | None
) -> list[str]:
    workers = [{"rate": 0.0, **worker} for worker in state["workers"]]
    workers.sort(key=_SORTS[sort][1])
    heads = [
        "PROGRAM",
        "PID",
        *([] if bars is None else ["RATE"]),
        "/S",
        "BACKLOG",
        "LOST",
        "SINCE",
    ]
    top = max((value for rates in (bars or {}).values() for value in rates), default=0)
    rows = []
    for worker in workers:
        key = f"{worker['id']} {worker['peer']}"
        drawn = [] if bars is None else [draw_bars(bars.get(key, []), top)]
        backlog = "-" if worker["backlog"] is None else f"{worker['backlog']:,}"
        program = tidy_line(worker["program"] or worker["peer"])[:30]
        rows.append([
            program, worker["pid"] or "-", *drawn, f"{worker['rate']:,.0f}", backlog,
            "-" if worker["is_stock"] else f"{worker['lost']:,}",
            say_age(state["made"] - worker["since"]),
        ])  # fmt: skip
    lines = table(heads, rows)
    lines[0] = colours.paint(lines[0], "dim")
    for index, worker in enumerate(workers, 1):
        if worker["lost"]:
            lines[index] = colours.paint(lines[index], "red")
    return lines


# -- --watch


def _watch(targets: list[Endpoint], colours: Colouring) -> int:
    state = _look(targets, twice=False)  # raises where nobody is there
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("--watch needs a terminal; use --json in a loop", file=sys.stderr)
        return 2
    sys.stdout.write("\x1b[?1049h\x1b[?25l")  # the other screen, no cursor
    try:
        with keys_at_once():
            _watch_on(targets, colours, state)
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
    return 0


def _watch_on(targets: list[Endpoint], colours: Colouring, state: dict[str, Any]) -> None:
    sort, is_paused = 0, False
    history: dict[str, list[float]] = {}
    before = state
    while True:
        try:
            state = ask_json(targets, "/status.json")
            _note_rates(before, state, history)
            before, trouble = state, ""
        except NobodyThereError as error:
            trouble = str(error)
        if not is_paused:
            lines = render_status(state, colours, sort=sort, bars=history)
            if trouble:
                lines.insert(0, colours.paint(trouble, "red"))
            lines.append("")
            lines.append(
                colours.paint(f"s sorts ({_SORTS[sort][0]})  Space pauses  q quits", "dim")
            )
            height = os.get_terminal_size().lines
            screen = "\x1b[K\r\n".join(lines[:height])
            sys.stdout.write(f"\x1b[H{screen}\x1b[J")
            sys.stdout.flush()
        until = time.monotonic() + 1
        while (left := until - time.monotonic()) > 0:
            key = read_key(left)
            if key in ("q", "\x03"):
                return
            if key == "s":
                sort = (sort + 1) % len(_SORTS)
                break
            if key == " ":
                is_paused = not is_paused
                break


def _note_rates(
    before: dict[str, Any], state: dict[str, Any], history: dict[str, list[float]]
) -> None:
    passed = state["made"] - before["made"]
    if passed < 0.5:
        return
    state["rate"] = (state["written"] - before["written"]) / passed
    sent = {f"{w['id']} {w['peer']}": w["records"] for w in before["workers"]}
    for worker in state["workers"]:
        key = f"{worker['id']} {worker['peer']}"
        worker["rate"] = max(worker["records"] - sent.get(key, worker["records"]), 0) / passed
        history.setdefault(key, []).append(worker["rate"])
        del history[key][:-10]
