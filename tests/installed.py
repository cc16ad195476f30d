"""Install the wheel and the sdist in fresh environments, and paste the README's lines there.

    python -m pip install build
    python -m tests.installed                    # a minute; needs a package index for loguru

Both are built from this checkout. Everything else happens in a temporary directory, with a Python that
sees nothing of the checkout. Of each it is tried out:

* the README's lines that name a file: the file they promise is there, and ends with what was logged;
* the console command: its overview, its ``check``, and ``receive`` with an injected program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent

PATIENCE = 30.0  # seconds

_IMPORT = "from loguru_stdbridge import install_bridge"


def readme_lines() -> str:
    """Return the README's first block of Python that names a file for the log."""
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?: {4}.*\n|\n)+)", text, re.MULTILINE)
    block = next(block for block in blocks if "install_bridge(sink=" in block)
    code = textwrap.dedent(block)
    return code if _IMPORT in code else f"{_IMPORT}\n{code}"


def build(directory: Path) -> list[Path]:
    """Build both distributions, and return their paths."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(directory), str(ROOT)],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return sorted(directory.iterdir())


def run(words: Sequence[object], directory: Path) -> str:
    """Run a command in a directory, with nothing of this checkout in its environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "LOGURU"))
    }
    done = subprocess.run(
        list(map(str, words)), cwd=directory, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr}"
        )
    return done.stdout


def try_out(distribution: Path, directory: Path) -> None:
    """Install one distribution in a new environment, and try it out; raise ``SystemExit``."""
    venv.create(directory / "venv", with_pip=True)
    programs = directory / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run([programs / "python", "-m", "pip", "install", "-q", distribution], directory)
    work = directory / "work"
    work.mkdir()
    script = f"{readme_lines()}\nfrom loguru import logger\nlogger.info('pasted')\n"
    (work / "pasted.py").write_text(script, encoding="utf-8")
    run([programs / "python", "pasted.py"], work)
    _expect("pasted", work / re.search(r'sink="([^"]+)"', script)[1])  # type: ignore[index]
    command = programs / "loguru-stdbridge"
    if "receive" not in run([command], work):
        raise SystemExit("the command shows no overview")
    run([command, "check", "other.log"], work)
    (work / "plain.py").write_text("import logging\nlogging.info('injected')\n", encoding="utf-8")
    run([command, "receive", "other.log", "--inject", "--", programs / "python", "plain.py"], work)
    _expect("injected", work / "other.log")


def _expect(text: str, file: Path) -> None:
    """Wait until the file ends with a line: a receiver may have been started for it just now."""
    deadline = time.monotonic() + PATIENCE
    found = ""
    while not found.endswith(f" - {text}\n"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{file} does not end with {text!r}, but with {found[-200:]!r}")
        threading.Event().wait(0.05)
        found = file.read_text(encoding="utf-8") if file.exists() else ""


def main() -> int:
    place = Path(tempfile.mkdtemp(prefix="lsb"))
    try:
        for number, distribution in enumerate(build(place / "dist")):
            directory = place / str(number)
            directory.mkdir()
            try_out(distribution, directory)
            print(f"{distribution.name}: installed, and its lines gave the files", flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)  # a receiver may still be there, for seconds
    return 0


if __name__ == "__main__":
    sys.exit(main())
