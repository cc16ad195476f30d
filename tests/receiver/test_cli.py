"""The command line: options, environment, signals, the command it runs, exit codes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from loguru_stdbridge import __version__, install_bridge
from loguru_stdbridge.addresses import parse_address
from tests.support.pipes import FullPipe
from tests.support.processes import ReceiverProcess, run_python

COMMAND = [sys.executable, "-m", "loguru_stdbridge.receiver"]


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, cwd=cwd, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


LOG = (
    "import sys; from loguru import logger; from loguru_stdbridge import install_bridge; "
    "b = install_bridge(); logger.info('from the command'); b.close(); sys.exit(int(sys.argv[1]))"
)


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_is_run_and_its_status_is_ours(tmp_path, status):
    """The command finds the address in its environment, and its records are written at the end."""
    done = run(
        "app.log", "--format", "{message}", "--", sys.executable, "-c", LOG, status, cwd=tmp_path
    )
    assert done.returncode == status, done.stderr
    assert (tmp_path / "app.log").read_text() == "from the command\n"


def test_a_command_that_a_signal_ends(tmp_path):
    """The receiver ends with 128 + n after a command that signal n has ended, as a shell does."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = run("app.log", "--", sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGKILL


def test_a_command_that_is_not_there(tmp_path):
    """The receiver ends with 127 and names a command that cannot be found, as a shell does."""
    done = run("app.log", "--", "no-such-command", cwd=tmp_path)
    assert done.returncode == 127
    assert "no-such-command" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rotation", "nonsense"], ["--retention", "x y z"], ["--compression", "rar"],
        ["--level", "NONE"], ["--format", "<red>{message}"], ["--listen", "ftp://x"],
        ["--listen", "unix://relative"],
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_value_exits_with_78(tmp_path, arguments):
    """A bad value ends the receiver with 78, and the message shows the value."""
    done = run("app.log", *arguments, cwd=tmp_path)
    assert done.returncode == 78, done.stderr
    assert arguments[1].split("://")[0] in done.stderr


def test_runtime_failures_exit_with_1(tmp_path):
    """The receiver ends with 1 if its address is in use, or its sink is held or cannot be written."""
    with ReceiverProcess(tmp_path / "first.log") as receiver:
        done = run("other.log", "--listen", receiver.address, cwd=tmp_path)
        assert done.returncode == 1
        assert (
            f"loguru_stdbridge.receiver: cannot listen on {receiver.address}: process {receiver.process.pid}, which writes "
            f"{tmp_path}/first.log, listens there already; end it, or name another address"
        ) in done.stderr
        done = run("first.log", "--listen", "tcp://127.0.0.1:0", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == (
            f"loguru_stdbridge.receiver: {tmp_path}/first.log is written by process "
            f"{receiver.process.pid} already; end that one, name another file, or wait for it with "
            "--standby\n"
        )
    (tmp_path / "file").write_text("")
    done = run("file/app.log", "--listen", "tcp://127.0.0.1:0", cwd=tmp_path)
    assert done.returncode == 1
    assert "file" in done.stderr


def test_the_version_is_told(tmp_path):
    """``--version`` shows the version and ends with 0."""
    assert __version__ in run("--version", cwd=tmp_path).stdout


def test_the_environment_gives_options_and_the_command_line_wins(tmp_path):
    """Each option can be an environment variable, and the command line wins."""
    environment = {
        "LOGURU_STDBRIDGE_SINK": "environment.log",
        "LOGURU_STDBRIDGE_FORMAT": "env {message}",
        "LOGURU_STDBRIDGE_SERIALIZE": "0",
        "LOGURU_STDBRIDGE_LISTEN": "tcp://127.0.0.1:0",
    }
    done = run("--", sys.executable, "-c", LOG, 0, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "environment.log").read_text() == "env from the command\n"
    done = run(
        "own.log", "--format", "own {message}", "--", sys.executable, "-c", LOG, 0,
        cwd=tmp_path, **environment,
    )  # fmt: skip
    assert (tmp_path / "own.log").read_text() == "own from the command\n"
    done = run("app.log", cwd=tmp_path, LOGURU_STDBRIDGE_FSYNC="perhaps")
    assert done.returncode == 2
    assert "perhaps" in done.stderr


def test_the_ready_file_names_every_address(tmp_path):
    """The ready file names the TCP port and the Unix socket, once clients can connect."""
    sock = f"unix://{tmp_path}/log.sock"
    with ReceiverProcess(tmp_path / "app.log", "--listen", sock) as receiver:
        first, second = sorted(receiver.ready.read_text().split())
        assert first.startswith("tcp://127.0.0.1:") and not first.endswith(":0")
        assert second == sock
        for address in (first, second):
            code = (
                "import sys; from loguru import logger; from loguru_stdbridge import install_bridge; "
                "b = install_bridge(sys.argv[1]); logger.info('x'); assert b.close(20)"
            )
            assert run_python(code, address)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
def test_a_signal_drains_and_reports(tmp_path, eventually, number):
    """A receiver that is told to end writes what clients had sent, tells the counts, ends with 0."""
    import pickle
    import socket

    from loguru_stdbridge.wire.frames import encode_frame

    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        host, _, port = receiver.address[6:].rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            frame = encode_frame(pickle.dumps({"msg": "sent", "levelno": 20}, 1))
            client.sendall(frame * 20_000)
            receiver.process.send_signal(number)
            assert receiver.process.wait(30) == 0
    assert (tmp_path / "app.log").read_text() == "sent\n" * 20_000
    assert "20000 records" in receiver.stderr.read_text()


def test_hangup_reopens_the_sink(tmp_path, eventually):
    """After a rename and SIGHUP, as logrotate does it, the next line goes to a new file."""
    sink = tmp_path / "app.log"
    code = (
        "import sys; from loguru import logger; from loguru_stdbridge import install_bridge; "
        "b = install_bridge(sys.argv[1]); logger.info(sys.argv[2]); assert b.close(20)"
    )
    with ReceiverProcess(sink, "--format", "{message}") as receiver:
        assert run_python(code, receiver.address, "before")[0] == 0
        sink.rename(tmp_path / "moved.log")
        receiver.process.send_signal(signal.SIGHUP)
        eventually(sink.exists, 20, "a new file")
        assert run_python(code, receiver.address, "after")[0] == 0
        assert receiver.stop() == 0
    assert (tmp_path / "moved.log").read_text() == "before\n"
    assert sink.read_text() == "after\n"


def test_a_signal_goes_to_the_command(tmp_path, eventually):
    """A signal to the receiver ends its command, and the receiver ends with the command's status."""
    code = (
        "import signal, sys, pathlib, threading\n"
        "signal.signal(signal.SIGTERM, lambda *a: sys.exit(7))\n"
        "pathlib.Path('started').touch()\n"
        "threading.Event().wait(60)"
    )
    process = subprocess.Popen(
        [*COMMAND, "app.log", "--", sys.executable, "-c", code],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    eventually(Path(tmp_path / "started").exists, 30, "the command runs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 7


def test_a_stderr_that_nobody_reads_stops_nobody(tmp_path, spool_dir, eventually):
    """The receiver goes on writing records, and tells its own words when stderr is read again."""
    pipe = FullPipe()
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [*COMMAND, "app.log", "--listen", "tcp://127.0.0.1:0", "--ready-file", ready],
        stderr=pipe.writer,
        cwd=tmp_path,
    )
    try:
        eventually(ready.exists, 30, "it is ready")
        address = parse_address(ready.read_text().split()[0])
        for number in range(2, 12):
            with socket.socket() as stranger:
                stranger.settimeout(30)
                stranger.bind((f"127.0.0.{number}", 0))
                stranger.connect((address.host, address.port))
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert stranger.recv(1) == b""
        with install_bridge(address) as bridge:
            logger.info("needle")
            assert bridge.flush(30)
        assert "needle" in (tmp_path / "app.log").read_text()
        told = pipe.read()
        process.terminate()
        pipe.stream.close()
        with open(pipe.reader, closefd=False) as rest:
            os.set_blocking(pipe.reader, True)
            told += rest.read().lstrip("x")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        pipe.close()
    assert told.count("refused from 127.0.0.") == 10
    assert "ended: 1 records" in told


HOOKED = """
import os, signal, sys
import subprocess
from loguru_stdbridge.receiver import cli
from loguru_stdbridge.system.live_file import LiveFile

def hook(owner, name, when):
    original = getattr(owner, name)
    def hooked(*arguments, **options):
        if when == "before":
            os.kill(os.getpid(), signal.SIGTERM)
        result = original(*arguments, **options)
        if when == "after":
            os.kill(os.getpid(), signal.SIGTERM)
        return result
    setattr(owner, name, hooked)

hook({"cli": cli, "LiveFile": LiveFile, "subprocess": subprocess}[sys.argv[1]], *sys.argv[2:4])
sys.exit(cli.main(sys.argv[4:]))
"""


@pytest.mark.parametrize(
    ("owner", "name", "when"),
    [("cli", "_open", "before"), ("cli", "_open", "after"), ("LiveFile", "write", "after"),
     ("subprocess", "Popen", "before"), ("subprocess", "Popen", "after")],
)  # fmt: skip
@pytest.mark.parametrize("command", [False, True], ids=["alone", "with a command"])
def test_a_signal_at_the_start_is_not_lost(tmp_path, owner, name, when, command):
    """A signal at any instant of the start ends the receiver, and its command if it was started."""
    if owner == "subprocess" and not command:
        return
    arguments = [owner, name, when, str(tmp_path / "app.log"), "--listen", "tcp://127.0.0.1:0"]
    arguments += ["--ready-file", str(tmp_path / "ready")]
    if command:
        arguments += ["--", sys.executable, "-c", "import threading; threading.Event().wait(60)"]
    status, _, err = run_python(HOOKED, *arguments, timeout=30)
    assert status in (0, 128 + signal.SIGTERM), err


@pytest.mark.parametrize(
    "number", ["SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGHUP"]
)
def test_what_servers_are_told_by_signals_goes_to_the_command(tmp_path, eventually, number):
    """The command gets the signals that servers are controlled by, and the receiver goes on."""
    code = (
        "import signal, sys, pathlib, threading\n"
        f"signal.signal(signal.{number}, lambda *a: pathlib.Path('got').touch())\n"
        "pathlib.Path('started').touch()\n"
        "while not pathlib.Path('done').exists(): threading.Event().wait(0.01)\n"
        "sys.exit(5)"
    )
    process = subprocess.Popen(
        [*COMMAND, "app.log", "--", sys.executable, "-c", code],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    eventually(Path(tmp_path / "started").exists, 30, "the command runs")
    process.send_signal(getattr(signal, number))
    eventually(Path(tmp_path / "got").exists, 30, "the command got it")
    (tmp_path / "done").touch()
    assert process.wait(30) == 5


def test_a_ready_file_that_cannot_be_written_is_told(tmp_path):
    """A receiver that is interrupted at its start runs no command and shows no traceback."""
    done = run("app.log", "--listen", "tcp://127.0.0.1:0", "--ready-file", "no/such/file", "--",
               sys.executable, "-c", "open('ran', 'w')", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1
    assert "ready file" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()


ENVIRONMENT = {
    "ROTATION": ("1 KB", lambda d: len(list(d.glob("app.*.log"))) > 1),
    "RETENTION": ("1", lambda d: len(list(d.glob("app.*.log"))) == 1),
    "COMPRESSION": ("gz", lambda d: list(d.glob("app.*.log.gz"))),
    "FORMAT": ("<<{message}>>", lambda d: (d / "app.log").read_text().endswith(" end>>\n")),
    "LEVEL": ("ERROR", lambda d: (d / "app.log").read_text() == ""),
    "SERIALIZE": ("yes", lambda d: (d / "app.log").read_text().startswith('{"text": ')),
    "ENCODING": ("ascii", lambda d: b"\\xe9" in (d / "app.log").read_bytes()),
    "SPOOL_DIR": ("own-spool", lambda d: (d / "own-spool").is_dir()),
    "FSYNC": ("1", lambda d: (d / "app.log").read_text()),
    "RENDER": ("receiver", lambda d: (d / "app.log").read_text()),
    "GRACE": ("2.5", lambda d: (d / "app.log").read_text()),
    "READY_FILE": ("ready", lambda d: (d / "seen").read_text().startswith("log:///")),
    "LISTEN": (
        "tcp://127.0.0.1:0 tcp://localhost:0",
        lambda d: len((d / "seen").read_text().split()) == 2,
    ),
    "INJECT": ("1", lambda d: len((d / "app.log").read_text().splitlines()) == 200),
    "STANDBY": ("on", lambda d: (d / "app.log").read_text()),
}
MANY = (
    "from loguru import logger; from loguru_stdbridge import install_bridge; logger.remove()\n"
    "with install_bridge() as bridge:\n"
    "    for number in range(200): logger.info('number {} é end', number)\n"
    "    assert bridge.flush(30)\n"
    "import glob, shutil\n"
    "for ready in glob.glob('r*y') + glob.glob('r'): shutil.copy(ready, 'seen')"
)


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_every_option_has_an_environment_variable(tmp_path, name):
    """An option from the environment does what the option on the command line does."""
    value, shows = ENVIRONMENT[name]
    options = [] if name == "READY_FILE" else ["--ready-file", "r"]
    if name in ("RETENTION", "COMPRESSION"):
        options += ["--rotation", "1 KB"]
    done = run("app.log", *options, "--", sys.executable, "-c", MANY, cwd=tmp_path,
               **{f"LOGURU_STDBRIDGE_{name}": value})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert shows(tmp_path)


@pytest.mark.parametrize(("name", "value", "status"), [
    ("GRACE", "soon", 2), ("SERIALIZE", "maybe", 2), ("ROTATION", "nonsense", 78), ("RENDER", "nowhere", 78),
    ("LISTEN", "ftp://x", 78), ("LEVEL", "NONE", 78), ("ENCODING", "utf-16", 78),
])  # fmt: skip
def test_a_bad_variable_is_named_or_its_value_shown(tmp_path, name, value, status):
    """A bad value in the environment is refused as on the command line."""
    done = run("app.log", "--ready-file", "r", cwd=tmp_path, **{f"LOGURU_STDBRIDGE_{name}": value})
    assert done.returncode == status, done.stderr
    assert value.split("://")[0] in done.stderr
