"""Try the situations that concurrent-log-handler documents one by one, theirs beside ours.

::

    python -m tests.support.beside_clh        # as root, for the disk and the owner

Each situation runs in processes of their own, first with ``ConcurrentRotatingFileHandler``, then with
``SharedFileHandler``. What comes out is a table.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from .shared_writer import FILLER

THEIRS, OURS = "theirs", "ours"


def make_handler(kind: str, path: Path, size: int = 0, **more: Any) -> logging.Handler:
    """Make the handler of one kind; ``size`` is the bytes of a file, 0 for no rotation."""
    if kind == THEIRS:
        from concurrent_log_handler import ConcurrentRotatingFileHandler

        gzip = more.pop("gzip", False)
        return ConcurrentRotatingFileHandler(  # type: ignore[no-any-return]
            str(path), "a", maxBytes=size, backupCount=1000, use_gzip=gzip, **more
        )
    from loguru_stdbridge import SharedFileHandler

    compression = "gz" if more.pop("gzip", False) else None
    return SharedFileHandler(
        path, rotation=size or None, retention=1000, compression=compression, **more
    )


def log_lines(handler: logging.Handler, name: str, records: int) -> None:
    log = logging.Logger(name)
    log.addHandler(handler)
    for number in range(records):
        log.warning("%s %d %s", name, number, FILLER)


def run(work: Callable[[], object]) -> tuple[int, str]:
    """Run ``work`` in a forked child; return its exit status and what it said."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read().decode("utf-8", "replace")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def files_of_both(path: Path) -> list[Path]:
    return [file for file in path.parent.iterdir() if file.name.startswith(path.name[:3])]


def lines_in(path: Path) -> dict[str, int]:
    """Count whole and torn lines, wherever the files of either kind are."""
    import gzip
    import re

    found = {"whole": 0, "torn": 0}
    for file in files_of_both(path):
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
        for line in data.decode("utf-8", "replace").splitlines():
            found["whole" if re.fullmatch(rf"\w+ \d+ {FILLER}", line) else "torn"] += 1
    return found


def others_hold(kind: str, path: Path, gzip: bool = False) -> str:
    """Four processes rotate a file that an idle one holds open."""
    reader, writer = os.pipe()

    def hold() -> None:
        handler = make_handler(kind, path, 20_000, gzip=gzip)
        log_lines(handler, "idle", 1)
        os.write(writer, b".")
        signal.pause()

    idle = os.fork()
    if idle == 0:
        with contextlib.suppress(BaseException):
            hold()
        os._exit(1)
    os.read(reader, 1)
    children = []
    for index in range(4):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                handler = make_handler(kind, path, 20_000, gzip=gzip)
                log_lines(handler, f"w{index}", 500)
                handler.close()
                os._exit(0)
            os._exit(1)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    os.kill(idle, signal.SIGKILL)
    os.waitpid(idle, 0)
    found = lines_in(path)
    return f"{found['whole']} of 2001 lines, {found['torn']} torn, statuses {set(statuses)}"


def rotated_with_gzip(kind: str, path: Path) -> str:
    return others_hold(kind, path, gzip=True)


def no_rotation(kind: str, path: Path) -> str:
    """``maxBytes=0``, or no ``rotation``: the file is never rotated."""
    status, told = run(lambda: log_lines(make_handler(kind, path), "w", 500))
    files = [file.name for file in files_of_both(path)]
    return (
        f"{lines_in(path)['whole']} of 500 lines in {len(files)} file, status {status} {told[:60]}"
    )


def read_only(kind: str, path: Path) -> str:
    """Another user opens a log in a directory that only its owner may write."""
    path.parent.chmod(0o755)
    make_handler(kind, path.with_name("elsewhere.log")).close()  # loads what the other user cannot

    def work() -> None:
        os.setuid(65534)
        log_lines(make_handler(kind, path), "w", 1)

    status, told = run(work)
    last = told.strip().splitlines()[-1:] or [""]
    return f"status {status}, {last[0][:110]}"


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    place = directory / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def full_disk(kind: str, path: Path) -> str:
    """The disk fills in the middle of a line; then there is room again."""
    with small_disk(path.parent) as place:
        log = place / "app.log"
        ballast = place / "ballast"
        ballast.write_bytes(b"x" * 49_152)

        def work() -> None:
            handler = make_handler(kind, log)
            log_lines(handler, "w", 400)
            ballast.unlink()
            log_lines(handler, "after", 50)
            handler.close()

        status, told = run(work)
        found = lines_in(log)
        text = log.read_text("utf-8", "replace")
        after = text.count("after ")
        notice = "are missing here" in text
        return (
            f"{found['torn'] - notice} torn lines, {after} of 50 lines after it, "
            f"{'the file tells what is missing' if notice else 'the file tells nothing'}, "
            f"status {status}, {len(told.splitlines())} lines on stderr"
        )


def umask_and_owner(kind: str, path: Path) -> str:
    """A log for a group: mode 660, another owner; theirs by options, ours by ``opener``."""

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags, 0o660)
        os.fchmod(descriptor, 0o660)
        os.fchown(descriptor, 65534, 65534)
        return descriptor

    def work() -> None:
        os.umask(0o077)
        more: dict[str, Any] = {"opener": opener}
        if kind == THEIRS:
            more = {"owner": ["nobody", "nogroup"], "chmod": 0o660}
        log_lines(make_handler(kind, path, 5_000, **more), "w", 200)

    status, told = run(work)
    shown = {
        f"{stat.S_IMODE(file.stat().st_mode):o} uid {file.stat().st_uid}"
        for file in files_of_both(path)
    }
    return f"status {status}, {sorted(shown)} {told[:80]}".strip()


def killed_with_the_lock(kind: str, path: Path) -> str:
    """A process is killed in the middle of its write; another one goes on."""

    def die() -> None:
        handler = make_handler(kind, path)
        log_lines(handler, "w", 3)
        if kind == THEIRS:
            handler.format = lambda record: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        else:
            from loguru_stdbridge.system.short_calls import calls

            calls.write = lambda descriptor, data, size: os.kill(os.getpid(), 9) or 0
        log_lines(handler, "w", 1)

    status, _ = run(die)
    after, told = run(lambda: log_lines(make_handler(kind, path), "x", 3))
    locks = [file.name for file in path.parent.iterdir() if "lock" in file.name]
    return f"killed ({status}), {lines_in(path)['whole']} of 6 lines, status {after}, left: {locks}"


SITUATIONS: dict[str, Callable[[str, Path], str]] = {
    "rotation while others hold the file": others_hold,
    "the same with gzip": rotated_with_gzip,
    "no rotation (maxBytes=0)": no_rotation,
    "read-only directory": read_only,
    "full disk, then room again": full_disk,
    "umask and owner": umask_and_owner,
    "killed with the lock": killed_with_the_lock,
}


def main() -> int:
    """Print what each does in each situation."""
    for name, situation in SITUATIONS.items():
        print(name)
        for kind in (THEIRS, OURS):
            with tempfile.TemporaryDirectory() as directory:
                try:
                    said = situation(kind, Path(directory) / "app.log")
                except Exception as error:
                    said = f"cannot be tried here: {type(error).__name__}: {error}"
            print(f"    {kind + ':':8}{said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
