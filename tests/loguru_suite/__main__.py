"""Run the tests of a checkout of Loguru through the bridge, and compare."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import loguru_stdbridge

from .differences import DIFFERENCES

HERE = Path(__file__).parent
NOTHING_TO_DO = (
    "no checkout of Loguru is given: its tests are in no package. Clone its repository, and run "
    "python -m tests.loguru_suite DIRECTORY"
)
LEFT_OUT = ("typesafety", "test_type_hinting.py")
"""Tests of Loguru's type stubs, which no record passes."""


class Verdict(NamedTuple):
    """What the comparison has found."""

    equal: int
    """Tests that pass through the bridge, are skipped, or fail both ways."""

    on_purpose: Mapping[str, str]
    """Tests that fail through the bridge alone and are listed, with the reason."""

    different: list[str]
    """Those that are not listed."""

    become_equal: list[str]
    """Entries of the list of which no test fails."""


def judge(
    bridged: Mapping[str, str], plain: Mapping[str, str], listed: Mapping[str, str]
) -> Verdict:
    """Compare outcomes; ``plain`` has those of the tests that fail through the bridge.

    ``listed`` has patterns of names, and reasons.
    """
    on_purpose, different, used = {}, [], set()
    for test, outcome in bridged.items():
        if outcome != "failed" or plain.get(test) == "failed":
            continue
        pattern = next((each for each in listed if matches(test, each)), None)
        if pattern is None:
            different.append(test)
        else:
            on_purpose[test] = listed[pattern]
            used.add(pattern)
    known = {each for each in listed if any(matches(test, each) for test in bridged)}
    equal = len(bridged) - len(on_purpose) - len(different)
    return Verdict(equal, on_purpose, different, sorted(known - used))


def matches(test: str, pattern: str) -> bool:
    """Return whether a test's name is meant: brackets are no pattern, ``*`` stands for anything."""
    return fnmatch.fnmatchcase(test, pattern.replace("[", "[[]"))


def run_tests(checkout: Path, *, bridged: bool, only: list[str]) -> dict[str, Any]:
    """Run the tests of ``checkout``; return the outcome of each, and the sinks that it bridged."""
    with tempfile.TemporaryDirectory(prefix="loguru-suite-") as place:
        (Path(place) / "loguru_stdbridge").symlink_to(Path(loguru_stdbridge.__file__).parent)
        outcomes = Path(place) / "outcomes.json"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("LOGURU_")
        }
        environment.update(
            PYTHONPATH=os.pathsep.join([str(checkout), str(HERE), place]),
            BRIDGE_SUITE_OUTCOMES=str(outcomes),
            BRIDGE_SUITE="1" if bridged else "",
        )
        command = [
            sys.executable, "-m", "pytest", "-q", "--tb=line", "-o", "addopts=",
            "-p", "through_the_bridge", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning",
            *(f"--ignore=tests/{name}" for name in LEFT_OUT), *(only or ["tests"]),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 1) or not outcomes.exists():  # 1: some tests have failed
            raise SystemExit(f"pytest has not run in {checkout}:\n{done.stdout}{done.stderr}")
        found: dict[str, Any] = json.loads(outcomes.read_text())
        return found


def check(checkout: Path, only: list[str]) -> bool:
    """Run a checkout's tests, and print the verdict; return whether all is as listed."""
    found = run_tests(checkout, bridged=True, only=only)
    outcomes = found["outcomes"]
    failing = sorted({test.partition("[")[0] for test in outcomes if outcomes[test] == "failed"})
    plain = run_tests(checkout, bridged=False, only=failing)["outcomes"] if failing else {}
    through = sum(1 for count in found["bridged"].values() if count)
    verdict = judge(outcomes, plain, DIFFERENCES)
    print(f"{checkout}: {len(outcomes)} tests, {through} of them through the bridge")
    print(f"  the same outcome: {verdict.equal}")
    print(f"  different on purpose: {len(verdict.on_purpose)}")
    reasons: dict[str, list[str]] = {}
    for test, reason in verdict.on_purpose.items():
        reasons.setdefault(reason, []).append(test)
    for reason, tests in sorted(reasons.items()):
        print(f"    {len(tests):3} {reason}")
    for test in verdict.different:
        print(f"  DIFFERENT: {test}")
    for pattern in verdict.become_equal:
        print(f"  EQUAL BY NOW, take it off the list: {pattern}")
    return not verdict.different and not verdict.become_equal


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.loguru_suite", description=__doc__)
    parser.add_argument("checkout", nargs="*", type=Path)
    parser.add_argument(
        "--only", action="append", default=[], help="a file of tests, as tests/x.py"
    )
    options = parser.parse_args()
    if not options.checkout:
        print(NOTHING_TO_DO)
        return 0
    fine = [check(path.resolve(), options.only) for path in options.checkout]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
