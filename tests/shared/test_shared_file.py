"""A file that many processes write without a server: whole lines, rotation, locks, forks, failures."""

from __future__ import annotations

import errno
import gzip
import logging
import logging.config
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loguru import logger

from loguru_stdbridge import (
    ConfigurationError,
    LedgerHeldError,
    SharedFileHandler,
    SharedFileSink,
    start_receiver,
)
from loguru_stdbridge.shared import log_table, shared_log
from loguru_stdbridge.shared import turn as turn_module
from loguru_stdbridge.shared.chores import Chores
from loguru_stdbridge.shared.log_file import CurrentFile
from loguru_stdbridge.system import file_systems
from loguru_stdbridge.system.common_lock import CommonLock
from loguru_stdbridge.system.short_calls import calls
from tests.support.shared_files import CASES, kill_once, play, play_gunicorn
from tests.support.shared_writer import POINTS

_added: list[int] = []


@pytest.fixture
def path(tmp_path):
    yield tmp_path / "app.log"
    remove()


def add(path, **words):
    remove()
    add_sink(SharedFileSink(path, **words))


def add_sink(sink, **words):
    _added.append(logger.add(sink, format="{message}", catch=False, **words))


def remove():
    while _added:
        logger.remove(_added.pop())


def text_of(path):
    """Return what is in the log and its rotated files."""
    parts = []
    for file in sorted(path.parent.glob("app.*")):
        data = file.read_bytes()
        parts.append(gzip.decompress(data) if file.suffix == ".gz" else data)
    return b"".join(parts).decode()


def replace_write(monkeypatch, write):
    """Have ``write(descriptor, data)`` take the place of all writes to files."""
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(calls, "write", lambda descriptor, data, size: write(descriptor, data))


def hold_elsewhere(path):
    """Return a process that holds the log's common lock until it is killed."""
    code = (
        "import sys; from loguru_stdbridge.system.common_lock import CommonLock as C; "
        "lock = C(sys.argv[1]); lock.open(); assert lock.claim() and lock.take(5); "
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path.parent / f".{path.name}.lock")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    return process


# -- several processes


@pytest.mark.parametrize("case", ["size", "fork"])
def test_processes_that_share_a_file_lose_nothing(tmp_path, case):
    """Processes that rotate, compress and fork write each line once, whole, and in order."""
    words, more = CASES[case]
    outcome = play(tmp_path / "app.log", 3, 1500, {**words, "rotation": "30 KB"}, more)
    assert outcome.is_whole, outcome
    assert outcome.files > 3
    hidden = [name for name in os.listdir(tmp_path) if name.startswith(".")]
    assert hidden == [".app.log.lock"]


def test_workers_of_gunicorn_share_a_file(tmp_path):
    """Workers of Gunicorn, forked after the sink was added, write each line once."""
    words = {"rotation": "30 KB", "compression": "gz", "retention": 1000}
    outcome = play_gunicorn(tmp_path / "app.log", 4, 300, words, workers=2, preload=True)
    assert outcome.is_whole, outcome


@pytest.mark.parametrize(
    "point", ["in the middle of a line", "with an empty work directory", "after the rename"]
)
def test_a_killed_writer_harms_nobody_else(tmp_path, point):
    """A writer that is killed at a point loses at most its line under way, and leaves no rest."""
    assert point in POINTS
    assert kill_once(tmp_path / "app.log", point, 1) == ""


def test_a_lock_ends_with_its_process(path):
    """A process that is killed with the lock leaves it free."""
    add(path)
    holder = hold_elsewhere(path)
    holder.kill()
    holder.communicate()
    logger.info("after the kill")
    assert path.read_text() == "after the kill\n"


def test_a_lock_that_is_not_let_go_of_is_waited_for_for_a_bounded_time(path, capfd):
    """A line that waits in vain goes to stderr, and the next one in the file tells of it."""
    add(path, lock_timeout=0.05)
    holder = hold_elsewhere(path)
    logger.info("in vain")
    holder.kill()
    holder.communicate()
    logger.info("later")
    told = capfd.readouterr().err
    assert re.search("not in the file.*has held.*in vain", told)
    notice, later = path.read_text().splitlines()
    assert f"1 records of process {os.getpid()} are missing here" in notice
    assert later == "later"


# -- one process


def test_rotation_and_retention_are_loguru_s(path):
    """Rotated files have loguru's names, and a retention leaves as many as loguru's."""
    names = {}
    for kind in ("shared", "own"):
        directory = path.parent / kind
        file = directory / "app.log"
        remove()
        sink = SharedFileSink(file, rotation=100, retention=3) if kind == "shared" else file
        more = {} if kind == "shared" else {"rotation": 100, "retention": 3}
        add_sink(sink, **more)
        for number in range(60):
            logger.info("line number {}", number)
        remove()
        files = sorted(os.listdir(directory))
        names[kind] = [len(name) for name in files if name != ".app.log.lock"]
    assert names["shared"] == names["own"]
    assert len(names["own"]) == 4


def test_a_path_with_a_time_names_one_file_for_all(path, tmp_path):
    """Processes whose path depends on the time write the file that one of them has begun."""
    template = tmp_path / "app_{time:YYYY-MM-DD_HH-mm-ss-SSSSSS}.log"
    outcome_of = "import sys; from tests.support.shared_writer import main; main()"
    add(template, rotation=200)
    logger.info("first")
    command = [sys.executable, "-c", outcome_of, "other", str(template), "1"]
    subprocess.run(command, input="\n", check=True, text=True, capture_output=True)
    logger.info("third")
    (file,) = tmp_path.glob("app_*.log")
    assert [line.split()[0] for line in file.read_text().splitlines()] == [
        "first",
        "other",
        "third",
    ]
    logger.info("x" * 200)
    assert len(list(tmp_path.glob("app_*.log"))) == 2


def test_a_file_that_was_moved_away_is_made_anew(path):
    """A line comes into the file that is at the path now."""
    add(path)
    logger.info("before")
    path.rename(path.with_name("app.moved"))
    logger.info("after")
    assert path.read_text() == "after\n"


def test_a_removed_lock_file_is_made_anew(path, monkeypatch):
    """A lock file that somebody has removed is there again, and protects the file."""
    monkeypatch.setattr(shared_log, "PLACE_CHECK", 0.0)
    add(path)
    os.unlink(path.parent / ".app.log.lock")
    logger.info("line")
    assert (path.parent / ".app.log.lock").exists()
    assert path.read_text() == "line\n"


def test_a_torn_end_is_completed_by_a_line_break(path):
    """A line that another process has left half begins no other line."""
    add(path)
    logger.info("whole")
    with open(path, "ab") as file:
        file.write(b"half of a li")
    logger.info("next")
    assert path.read_text() == "whole\nhalf of a li\nnext\n"


def test_raw_text_of_one_process_stays_on_its_line(path):
    """Raw pieces without a line's end stay together where nobody else writes."""
    add(path)
    logger.opt(raw=True).info("one, ")
    logger.opt(raw=True).info("two\n")
    assert path.read_text() == "one, two\n"


@pytest.mark.parametrize("words", [{}, {"rotation": lambda message, file: False}])
def test_a_full_disk_leaves_no_half_line(path, monkeypatch, capfd, words):
    """A write that fails half-way is cut off, told on stderr, and told in the file later.

    With a function as ``rotation`` no line goes the short way.
    """
    add(path, **words)
    logger.info("before")
    real = os.write

    def fill(descriptor, data):
        if bytes(data) not in (b"lost for good\n", b"st for good\n"):
            return real(descriptor, data)
        if not fill.is_full:
            fill.is_full = True
            return real(descriptor, data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    fill.is_full = False
    replace_write(monkeypatch, fill)
    logger.info("lost for good")
    monkeypatch.undo()
    assert path.read_text() == "before\n"
    logger.info("after")
    before, notice, after = path.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert "1 records" in notice and "No space left" in notice
    assert re.search("not in the file.*lost for good", capfd.readouterr().err)


def test_a_rotation_that_fails_keeps_the_lines(path, monkeypatch, capfd):
    """Lines go on into the same file where a rotation is refused, and it is told once."""

    def refuse(file):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(CurrentFile, "rotate", refuse)
    add(path, rotation=10)
    for number in range(5):
        logger.info("line {}", number)
    assert len(path.read_text().splitlines()) == 5
    assert capfd.readouterr().err.count("a rotation of") == 1


def test_a_signal_handler_that_logs_in_a_log_call_loses_nothing(path, monkeypatch):
    """A record that is logged with the lock held waits for the outer call, in loguru too."""
    add(path)
    logger.info("first")  # from here on loguru's own lock is set aside
    real = os.write
    pending = [True]

    def interrupt(descriptor, data):
        if pending and bytes(data) == b"outer\n":
            pending.clear()
            logger.info("inner")
        return real(descriptor, data)

    replace_write(monkeypatch, interrupt)
    logger.info("outer")
    assert path.read_text() == "first\nouter\ninner\n"


@pytest.mark.parametrize("is_late", [False, True])
def test_an_exception_in_the_middle_of_a_write_costs_no_other_thread_s_line(
    path, monkeypatch, is_late
):
    """A line of a batch that a signal handler's exception has cut short is written once."""
    handler = SharedFileHandler(path)
    log = handler._log
    guard = log._turn
    real = os.write

    def interrupt(descriptor, data):
        monkeypatch.undo()
        if is_late:
            real(descriptor, data)
        raise KeyboardInterrupt

    guard.waiting.append(turn_module.Line("of another thread\n"))
    replace_write(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        log.write("own\n")
    log.write("next\n")
    handler.close()
    assert path.read_text() == "of another thread\nown\nnext\n"


def test_threads_that_wait_share_one_lock(path, monkeypatch):
    """Lines of threads that wait for the lock are written in one write, each thread's in order."""
    handler = SharedFileHandler(path)
    root = logging.getLogger("shared-threads")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    writes = []
    real = os.write
    replace_write(monkeypatch, lambda fd, data: writes.append(data) or real(fd, data))
    guard = handler._log._turn
    count = 6
    threads = [
        threading.Thread(target=lambda name=name: [root.info("%s %s", name, n) for n in range(3)])
        for name in range(count)
    ]
    with guard.mutex:
        for thread in threads:
            thread.start()
        while len(guard.waiting) < count:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    root.removeHandler(handler)
    handler.close()
    assert max(data.count(b"\n") for data in writes) >= count
    lines = path.read_text().splitlines()
    for name in range(count):
        assert [line for line in lines if line.startswith(f"{name} ")] == [
            f"{name} {n}" for n in range(3)
        ]


def test_a_forked_child_opens_its_own(path):
    """A child that is forked while its parent holds everything writes its own line, once."""
    add(path)
    logger.info("before")
    guard = None
    for log in log_table._logs.logs.values():
        guard = log._turn
    with guard.mutex:
        assert guard.lock.take(5)
        child = os.fork()
        if child == 0:
            try:
                logger.info("child")
            finally:
                os._exit(0)
        guard.lock.release()
    os.waitpid(child, 0)
    logger.info("parent")
    assert path.read_text() == "before\nchild\nparent\n"


def test_two_users_of_one_file_share_it(path):
    """A sink of loguru's and a handler of logging's on one file, however named, write one log."""
    add(path)
    link = path.parent / "link.log"
    link.symlink_to(path)
    handler = SharedFileHandler(link)
    logger.info("loguru")
    handler.emit(logging.makeLogRecord({"msg": "logging"}))
    handler.close()
    logger.info("loguru again")
    assert path.read_text() == "loguru\nlogging\nloguru again\n"
    with pytest.raises(ConfigurationError, match="rotation=10"):
        SharedFileSink(path, rotation=10)


def test_dict_config_makes_the_handler(path):
    """The handler is made by ``dictConfig`` with plain keyword arguments, and rotates by time."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "file": {
                    "class": "loguru_stdbridge.SharedFileHandler",
                    "filename": str(path),
                    "rotation": "1 day",
                    "retention": 5,
                }
            },
            "loggers": {"shared-dict": {"handlers": ["file"], "level": "INFO"}},
        }
    )
    named = logging.getLogger("shared-dict")
    named.propagate = False
    named.info("line")
    (handler,) = named.handlers
    named.removeHandler(handler)
    copy = pickle.loads(pickle.dumps(handler))
    copy.emit(logging.makeLogRecord({"msg": "of the copy"}))
    copy.close()
    handler.close()
    assert path.read_text() == "line\nof the copy\n"


def test_a_user_s_rotation_function_sees_the_file_with_every_line_before(path):
    """A rotation function gets loguru's message and the open file, which holds what came before."""
    seen = []

    def rotate(message, file):
        seen.append((message.record["message"], os.stat(file.name).st_size))
        return message.record["message"] == "third"

    add(path, rotation=rotate)
    for text in ("first", "second", "third"):
        logger.info(text)
    assert seen == [("first", 0), ("second", 6), ("third", 13)]
    assert path.read_text() == "third\n"


def test_a_file_without_a_rotation_is_compressed_by_its_last_user(path):
    """As in loguru, a file without a rotation is compressed when it is closed."""
    add(path, compression="gz")
    logger.info("line")
    remove()
    assert gzip.decompress((path.parent / "app.log.gz").read_bytes()) == b"line\n"
    assert not path.exists()


def test_what_a_killed_program_has_left_is_compressed_by_the_next(path):
    """A program that opens the log compresses the rotated file that waits in a work directory."""
    work = path.parent / ".app.2026-01-01_00-00-00_000000.log.closing"
    work.mkdir(parents=True)
    (work / "app.2026-01-01_00-00-00_000000.log").write_bytes(b"old\n")
    (work / "app.2026-01-01_00-00-00_000000.log.gz").write_bytes(b"half an archive")
    add(path, rotation="1 GB", compression="gz")
    archive = path.parent / "app.2026-01-01_00-00-00_000000.log.gz"
    assert gzip.decompress(archive.read_bytes()) == b"old\n"
    assert not work.exists()


def test_a_compression_that_somebody_works_on_is_left_to_him(path):
    """A work directory whose lock is held is not touched."""
    from loguru_stdbridge.sink.internals import read_sink_path
    from loguru_stdbridge.system.locks import let_go, take_directory_lock

    work = path.parent / ".app.2026-01-01_00-00-00_000000.log.closing"
    work.mkdir(parents=True)
    file = work / "app.2026-01-01_00-00-00_000000.log"
    file.write_bytes(b"old\n")
    lock_path = str(path.parent / ".app.log.lock")
    chores = Chores(read_sink_path(path), lock_path, "gz", None, print)
    lock = take_directory_lock(str(work), lock_path)
    chores.finish_all()
    assert os.listdir(work) == [file.name]
    let_go(lock)
    chores.finish_all()
    assert not work.exists()


def test_a_compressed_file_that_others_have_open_is_no_trouble(path, monkeypatch):
    """A work directory that cannot go yet, since its file is open, is removed by a later look."""
    from loguru_stdbridge.sink import archive
    from loguru_stdbridge.sink.internals import read_sink_path

    work = path.parent / ".app.2026-01-01_00-00-00_000000.log.closing"
    work.mkdir(parents=True)
    (work / "app.2026-01-01_00-00-00_000000.log").write_bytes(b"old\n")
    told = []
    lock_path = str(path.parent / ".app.log.lock")
    chores = Chores(read_sink_path(path), lock_path, "gz", None, told.append)
    monkeypatch.setattr(archive.shutil, "rmtree", lambda *args, **options: None)
    chores.finish_all()
    monkeypatch.undo()
    assert work.exists()
    (work / "app.2026-01-01_00-00-00_000000.log").write_bytes(b"old\n")  # as Wine shows it
    chores.finish_all()
    assert os.listdir(path.parent) == ["app.2026-01-01_00-00-00_000000.log.gz"]
    assert told == []


# -- a receiver


def test_a_receiver_keeps_a_shared_file_out(path):
    """Opening a log that a receiver writes raises, and names the receiver."""
    with (
        start_receiver(path, address="tcp://127.0.0.1:0"),
        pytest.raises(LedgerHeldError, match=f"receiver of process {os.getpid()}"),
    ):
        SharedFileSink(path)


def test_a_shared_file_keeps_a_receiver_out(path):
    """A receiver of a log that idle programs share is refused, and told why."""
    add(path)
    with pytest.raises(LedgerHeldError, match="without a server"):
        start_receiver(path, address="tcp://127.0.0.1:0")
    remove()
    with start_receiver(path, address="tcp://127.0.0.1:0"):
        pass


# -- where locks lie


@pytest.mark.parametrize(
    "kind, is_told",
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("9p", True), ("ext4", False)],
)
def test_a_file_system_whose_locks_may_lie_is_told_once(path, monkeypatch, capfd, kind, is_told):
    """Opening on a file system of other machines warns once, names it and points to the bridge."""
    monkeypatch.setattr(shared_log, "file_system_of", lambda directory: kind)
    monkeypatch.setattr(shared_log, "_warned", set())
    for _ in range(2):
        add(path)
        remove()
    told = capfd.readouterr().err
    assert told.count(kind) == told.count("install_bridge") == is_told


def test_the_deepest_mount_tells_the_file_system(tmp_path):
    """The file system of a path is that of the mount that lies nearest above it."""
    place = os.path.realpath(tmp_path)
    mounts = tmp_path / "mountinfo"
    escaped = place.replace(" ", "\\040")
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        f"22 21 0:40 / {escaped} rw,relatime shared:2 - nfs4 server:/logs rw\n"
        f"23 21 0:41 / {escaped}x rw,relatime shared:2 - tmpfs tmpfs rw\n"
    )
    inside = Path(place) / "logs"
    assert file_systems.file_system_of(str(inside), str(mounts)) == "nfs4"
    assert file_systems.file_system_of("/", str(mounts)) == "ext4"
    assert file_systems.file_system_of("/", str(tmp_path / "none")) == ""


@pytest.mark.parametrize(
    "words",
    [
        {"mode": "w"},
        {"enqueue": True},
        {"lock_timeout": 0},
        {"encoding": "utf-16"},
        {"rotation": "x"},
    ],
)
def test_a_word_that_cannot_be_followed_is_refused(path, words):
    """A word with no meaning for a shared file raises an error that shows it."""
    with pytest.raises(ValueError, match=next(iter(words))):
        SharedFileSink(path, **words)
    assert not path.exists()


def test_a_stopped_claim_is_free(tmp_path):
    """A claim for one alone needs that nobody else has any."""
    locks = [CommonLock(str(tmp_path / ".app.log.lock")) for _ in range(2)]
    for lock in locks:
        lock.open()
    assert locks[0].claim() and locks[1].claim()
    if locks[0].claim(alone=True):
        pytest.skip("this system has no claims")
    locks[1].close()
    assert locks[0].claim(alone=True)
    locks[0].close()


def test_a_killed_process_is_gone_for_good(path):
    """SIGKILL with the lock held leaves nothing that a later program trips over."""
    holder = hold_elsewhere(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    add(path)
    logger.info("line")
    assert path.read_text() == "line\n"


_DAEMON = """
import os, sys
from loguru import logger
from loguru_stdbridge import SharedFileSink
logger.remove()
logger.add(SharedFileSink(sys.argv[1], rotation="1 MB"), format="{message}")
logger.info("before")
os.closerange(3, 100)
own = [os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(8)]
logger.info("after")
logger.remove()
for descriptor in own:
    os.write(descriptor, b".")
"""


def test_a_program_that_closes_all_descriptors_goes_on(path):
    """Lines of a program that has become a daemon go into the log, and into no file of its own."""
    own = path.with_name("own.txt")
    subprocess.run([sys.executable, "-c", _DAEMON, str(path), str(own)], check=True)
    assert path.read_text() == "before\nafter\n"
    assert own.read_text() == "........"
