"""Spool directories on real disks that fill up, turn read-only or shut down under four workers.

::

    python -m tests.support.real_disks --seed 1

needs root, loop devices and ``mkfs.ext4``, ``mkfs.xfs`` and ``mkfs.btrfs`` (Debian: e2fsprogs,
xfsprogs, btrfs-progs). What is not there is said, and counts as not shown. For each file system and
each fault it prints what became of the records, in two scenes:

``live on``
    The workers go on logging through the fault. A receiver comes, and they end in order. Each record
    is in the file once, or is told there as given up.
``killed``
    The workers are killed after the fault, and the disk is mounted anew. A receiver delivers what the
    journals hold. Each record whose log call had returned before the fault is in the file.

The disks have the least size that each file system allows: 8 MB, 16 MB for btrfs with ``--mixed``,
and 300 MB for XFS, of which a file takes all room but 8 MB.

All of it plays in a mount namespace of its own. Another process that makes a namespace meanwhile, as
a container does, would copy the mount: an ``umount`` here would leave the disk mounted there, and
the next ``mount`` would find the file system that was shut down.

The faults
----------
``full``
    The disk has 3 MB left, and the workers log more than that.
``read-only``
    The file system turns read-only by an error: ext4 with ``errors=remount-ro``, by an error that is
    made in ``/sys/fs/ext4``; btrfs when a write fails, since there is no room for its image. The
    kernel refuses to remount a disk on which a journal is open ("busy"). XFS shuts down instead. A
    tmpfs knows no errors.
``read-only from the start``
    The disk is mounted read-only before the workers start: their journals are in memory.
``shut down``
    ``XFS_IOC_GOINGDOWN``, which ext4 has, too, and btrfs from Linux 6.19 on, writes what is in the page
    cache and lets nothing through after that.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.processes import Account, ReceiverProcess, free_address
from tests.support.waiting import wait_until
from tests.support.workers import Worker, given_up

MEGABYTE = 1 << 20
ROOM = 8 * MEGABYTE
"""Bytes of a disk that are free at first, or up to twice as many."""

LEAST = {"tmpfs": 8, "ext4": 8, "xfs": 300, "btrfs": 16}
"""Megabytes of the smallest file system that its ``mkfs`` makes."""

FAULTS = ("full", "read-only", "read-only from the start", "shut down")

_GOING_DOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
_AFTER_A_SYNC = 0  # XFS_FSOP_GOING_FLAGS_DEFAULT

WORKERS = 4

_ALONE = "REAL_DISKS_ARE_ALONE"
"""Set where the mounts are seen by this process alone."""

WORKER = """
import select
weight.append("x" * WEIGHT)
number = 0

def log_until_told():
    global number
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        if number < MOST:
            log(number, number + 20)
            number += 20
    sys.stdin.readline()

log_until_told()  # the fault comes meanwhile
tell(logged=number)
log_until_told()  # the receiver comes meanwhile
tell(logged=number, flushed=bridge.flush(60))
"""


HEAVY = {"WEIGHT": "3000", "MOST": "10 ** 9"}
LIGHT = {"WEIGHT": "300", "MOST": "2500"}
"""How many characters a worker's record has, and how many records it logs at most. The disk holds
3,780 of the heavy ones. It has room for all of the light ones: where the workers are killed, what is
in memory since the disk is full is lost by right."""


class NotHere(Exception):
    """This machine does not have what a disk or a fault needs."""


class Disk:
    """A file system of its own, mounted at a directory that belongs to nobody else."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.path = directory / "disk"
        self.path.mkdir()
        self._store = directory / "store"  # of the image: a tmpfs that can be filled
        self._store.mkdir()
        self._image = self._store / "image"
        self._ballast = self.path / "ballast"
        self._device = ""

    @contextlib.contextmanager
    def mounted(self, fault: str) -> Iterator[Disk]:
        """Make the file system and mount it, for the given fault to come."""
        try:
            self._make()
            self.mount(*(["-o", "errors=remount-ro"] if self.kind == "ext4" else []))
            os.chmod(self.path, 0o700)
            if self.free() > 2 * ROOM:
                self.fill(but=ROOM)
            if fault == "read-only from the start":
                _run("mount", "-o", "remount,ro", str(self.path))
            yield self
        finally:
            self.unmount()
            if self._device:
                _run("losetup", "-d", self._device)
            _unmount(self._store)

    def _make(self) -> None:
        if self.kind == "tmpfs":
            return
        size = LEAST[self.kind] + 4
        _run("mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(self._store))
        maker = shutil.which(f"mkfs.{self.kind}", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if maker is None:
            raise NotHere(f"mkfs.{self.kind} is not installed")
        with open(self._image, "wb") as image:
            image.truncate(LEAST[self.kind] * MEGABYTE)
        options = {"ext4": ["-F"], "xfs": ["-f"], "btrfs": ["-f", "--mixed"]}[self.kind]
        _run(maker, "-q", *options, str(self._image))
        self._device = _run("losetup", "--find", "--show", str(self._image)).strip()

    def mount(self, *options: str) -> None:
        """Mount it."""
        if self.kind == "tmpfs":
            size = LEAST["tmpfs"]
            _run("mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0700", "tmpfs", str(self.path))
            return
        _run("mount", "-t", self.kind, *options, self._device, str(self.path))

    def unmount(self) -> None:
        """Unmount it, if it is mounted."""
        _unmount(self.path)

    def free(self) -> int:
        """Return the bytes that are free."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, but: int) -> None:
        """Take all room but some bytes."""
        with open(self._ballast, "ab") as file:
            while (left := self.free() - but) > 0:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), min(left, MEGABYTE))
                except OSError:
                    return
                file.seek(0, os.SEEK_END)

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def revive(self) -> None:
        """Mount it anew, without the fault; what was written before that is there."""
        self.unmount()
        (self._store / "ballast").unlink(missing_ok=True)
        self.mount()

    def strike(self, fault: str) -> None:
        """Let the fault happen."""
        if fault == "full":
            self.fill(but=0)
        elif fault == "shut down":
            self._go_down()
        elif fault == "read-only":
            _run("sync", "-f", str(self.path))
            if self.kind == "ext4":
                self._raise_error()
            else:
                self._starve()

    def _starve(self) -> None:
        """Let the device answer each write to a new place with an error."""
        ballast = open(self._store / "ballast", "wb", buffering=0)
        with ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(65536)):
                pass
        try:
            wait_until(self._is_read_only, 30)
        except AssertionError:
            raise NotHere("btrfs has found room for all that it had to write") from None

    def _is_read_only(self) -> bool:
        subprocess.run(["sync", "-f", str(self.path)], stderr=subprocess.DEVNULL, check=False)
        return "ro" in _options_of(self.path)

    def _go_down(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _AFTER_A_SYNC))
        except OSError as error:
            raise NotHere(f"the kernel cannot shut {self.kind} down: {error}") from error
        finally:
            os.close(descriptor)

    def _raise_error(self) -> None:
        trigger = Path("/sys/fs/ext4") / os.path.basename(self._device) / "trigger_fs_error"
        try:
            trigger.write_text("a test of loguru_stdbridge")
        except OSError as error:
            raise NotHere(f"the kernel lets nobody raise an error of ext4: {error}") from error

    def offers(self, fault: str) -> str:
        """Return why there is no such fault on this kind of disk; "" where there is."""
        if fault == "read-only" and self.kind == "tmpfs":
            return "a tmpfs has no errors, and is busy while a journal is open"
        if fault == "read-only" and self.kind == "xfs":
            return "XFS shuts down where others turn read-only"
        if fault == "shut down" and self.kind == "tmpfs":
            return "a tmpfs has no disk that could fail"
        return ""


def _options_of(path: Path) -> list[str]:
    """Return the options of the mount at ``path``; none where nothing is mounted."""
    with open("/proc/mounts") as mounts:  # a file system that is shut down tells nothing itself
        fields = next((f for f in map(str.split, mounts) if f[1] == str(path)), None)
    return [] if fields is None else fields[3].split(",")


def _unmount(path: Path) -> None:
    if _options_of(path):
        _run("umount", "--lazy", str(path))  # a loop device may let its image go a little later


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise NotHere(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NotHere(f"{' '.join(command)}: {error.stderr.strip()[:200]}") from None
    return done.stdout


def pause(seconds: float) -> None:
    """Let the workers log for a while: when the fault comes among their calls is random."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: False, seconds)


def live_on(disk: Disk, fault: str, directory: Path, chance: random.Random) -> str:
    """Let the workers log through the fault; return what was found. Raises ``AssertionError``."""
    sink, address = directory / "app.log", free_address()
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(address, name, disk, HEAVY)) for name in "abcd"[:WORKERS]
        ]
        _let_log(workers, disk, chance)
        if fault == "full":
            pause(chance.uniform(0, 0.2))
        disk.strike(fault)
        pause(chance.uniform(0.3, 0.6))
        for worker in workers:
            worker.go_on()
        for worker in workers:
            worker.stands()
        spool = {"LOGURU_STDBRIDGE_SPOOL_DIR": str(directory / "another spool")}
        receiver = ReceiverProcess(sink, "--format", "{message}", listen=address, **spool)
        stack.enter_context(receiver)
        pause(chance.uniform(0.1, 0.3))
        for worker in workers:
            worker.go_on()
        ends = [worker.stands() for worker in workers]
        for worker in workers:
            status = worker.process.wait(60)
            assert status == 0, f"a worker ended with {status}: {worker.process.communicate()[1]}"
        assert receiver.stop() == 0, receiver.stderr.read_text()
    return _balance(Account(sink), ends)


def _balance(account: Account, ends: Sequence[dict[str, Any]]) -> str:
    """Hold the file against what the workers count."""
    logged, dropped = (
        sum(end["logged"] for end in ends), sum(sum(end["dropped"].values()) for end in ends),
    )  # fmt: skip
    reasons = sorted({reason for end in ends for reason in end["dropped"]})
    told, doubled = sum(given_up(account)), [k for k, n in account.found.items() if n > 1]
    found = f"{logged:,} logged, {len(account.found):,} written, {dropped:,} given up"
    found += f" ({', '.join(reasons)})" if reasons else ""
    assert sum(end["accepted"] for end in ends) == logged, f"not all was accepted: {found}"
    assert not any(end["pending"] for end in ends), f"records wait: {found}"
    assert len(account.found) + dropped == logged, f"records are missing untold: {found}"
    assert told == dropped, f"{told} are told in the log: {found}"
    assert not doubled and not account.out_of_order, f"doubled {doubled[:5]}: {found}"
    return found


def killed(disk: Disk, fault: str, directory: Path, chance: random.Random) -> str:
    """Kill the workers after the fault; return what was found. Raises ``AssertionError``."""
    sink, address = directory / "app.log", free_address()
    notes = {name: directory / f"note-{name}" for name in "abcd"[:WORKERS]}
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(address, name, disk, LIGHT, note))
            for name, note in notes.items()
        ]
        _let_log(workers, disk, chance)
        assert len(_journals(disk.path / "spool")) == WORKERS, "a worker has no journal on the disk"
        before = {name: note.stat().st_size for name, note in notes.items()}
        disk.strike(fault)
        pause(chance.uniform(0, 0.3))
        assert all(worker.process.poll() is None for worker in workers), "the fault ended a worker"
        for worker in workers:
            worker.process.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.process.wait(60)
    logged = {name: note.stat().st_size for name, note in notes.items()}
    if fault != "full":
        disk.revive()
    disk.empty()
    spool = {"LOGURU_STDBRIDGE_SPOOL_DIR": str(disk.path / "spool")}
    with ReceiverProcess(sink, "--format", "{message}", listen=address, **spool) as receiver:
        wait_until(lambda: not _journals(disk.path / "spool"), 60, "the journals are delivered")
        assert receiver.stop() == 0, receiver.stderr.read_text()
    account = Account(sink)
    verdict = account.verdict(before)
    lost = (
        f"{len(verdict.lost)} of {sum(before.values())} from before the fault: {verdict.lost[:5]}"
    )
    assert not verdict.lost, f"lost {lost}\n{receiver.stderr.read_text()}"
    assert not verdict.doubled, f"doubled {verdict.doubled[:5]}"
    written = len(account.found)
    return f"{sum(logged.values()):,} logged, {sum(before.values()):,} before, {written:,} written"


def _journals(spool: Path) -> list[str]:
    return [name for name in os.listdir(spool) if len(name) == 32]


def _worker(
    address: str, name: str, disk: Disk, load: Mapping[str, str], note: Path | None = None
) -> Worker:
    noting = "" if note is None else _NOTING.replace("NOTE", repr(str(note)))
    # A directory that cannot be made is refused where it is named, so the default one is set.
    os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"] = str(disk.path / "spool")
    code = WORKER
    for word, value in load.items():
        code = code.replace(word, value)
    return Worker(noting + code, address, name=name)


_NOTING = """
note = os.open(NOTE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
log_all = log
def log(first, last):
    for number in range(first, last):
        log_all(number, number + 1)
        os.write(note, b".")
"""


def _let_log(workers: Sequence[Worker], disk: Disk, chance: random.Random) -> None:
    """Wait until each worker logs, and a little longer."""
    for worker in workers:
        wait_until(lambda w=worker: _has_begun(w, disk), 60, "a worker logs")  # type: ignore[misc]
    pause(chance.uniform(0.05, 0.3))


def _has_begun(worker: Worker, disk: Disk) -> bool:
    assert worker.process.poll() is None, worker.process.communicate()[1].decode()
    threads = os.listdir(f"/proc/{worker.process.pid}/task")
    return len(threads) > 1  # the sender's is started by the first log call


def main(argv: Sequence[str] | None = None) -> int:
    """Play everything; return 1 where anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.real_disks", description=__doc__)
    parser.add_argument("--kinds", default=",".join(LEAST), help="of file systems")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--scenes", default="live on,killed")
    parser.add_argument("--rounds", type=int, default=3, help="of each scene")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(argv)
    if os.environ.get(_ALONE) is None and shutil.which("unshare") is not None:
        arguments = sys.argv[1:] if argv is None else list(argv)
        command = ["unshare", "--mount", sys.executable, "-m", "tests.support.real_disks"]
        return subprocess.call([*command, *arguments], env={**os.environ, _ALONE: "1"})
    print(f"seed {options.seed}", flush=True)
    chance, failures = random.Random(options.seed), 0
    for kind in options.kinds.split(","):
        for fault in options.faults.split(","):
            for number in range(options.rounds):
                for name in options.scenes.split(","):
                    told = play({"live on": live_on, "killed": killed}[name], kind, fault, chance)
                    failures += told.startswith("WRONG")
                    print(f"{kind}, {fault}, {name}, {number + 1}: {told}", flush=True)
    return 1 if failures else 0


def play(scene: Any, kind: str, fault: str, chance: random.Random) -> str:
    """Play one scene on a new disk; return what was found, or why it was not played."""
    with tempfile.TemporaryDirectory(prefix="lsb") as name:
        directory = Path(name)
        disk = Disk(kind, directory)
        missing = disk.offers(fault)
        if missing:
            return f"not played: {missing}"
        try:
            with disk.mounted(fault):
                if scene is killed and (kind, fault) == ("btrfs", "read-only"):
                    return "not played: after failed writes its image may not mount any more"
                if scene is killed and fault == "read-only from the start":
                    return "not played: nothing is on this disk"
                return str(scene(disk, fault, directory, chance))
        except NotHere as error:
            return f"not played: {error}"
        except AssertionError as error:
            return f"WRONG: {error}"


if __name__ == "__main__":
    sys.exit(main())
