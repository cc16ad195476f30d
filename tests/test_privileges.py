"""A program that gives up its privileges: its journals, its way to the receiver, and what root reads.

Most of this needs root, who becomes another user here. Elsewhere the tests say so.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from loguru_stdbridge import ConfigurationError, JournalError, start_receiver
from loguru_stdbridge.addresses import LogName
from loguru_stdbridge.receiver import service
from loguru_stdbridge.receiver.sharing import SocketAccess, group_id, read_socket_access
from loguru_stdbridge.spool.directory import make_spool_dir
from loguru_stdbridge.spool.group import make_group_spool
from loguru_stdbridge.spool.journal import Journal
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.system.runtime import shared_directory
from tests.support.journals import ADDRESS, fill, of_orphan
from tests.support.processes import Account

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="needs root, who can become another user",
)
USER = GROUP = 12345  # of nobody: any numbers do
PRECIOUS = b"root:x:0:0:root:/root:/bin/sh\n" * 30
OTHER = 12346


@pytest.fixture
def public():
    """Make a directory that every user can reach; remove that of shared sockets where it is empty."""
    with tempfile.TemporaryDirectory(prefix="lsb", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)
    shared = shared_directory(os.geteuid())
    if shared is not None:
        with contextlib.suppress(OSError):
            os.rmdir(shared)


PROGRAM = """
import os, signal, sys
from loguru import logger
from loguru_stdbridge import install_bridge

user, group, early, patience = map(int, sys.argv[1:5])
bridge = install_bridge(level="INFO")
logger.remove()
if early:
    logger.info("worker master number 0 end")
    bridge.flush(20)

def work(name):
    if early:
        logger.info(f"worker {name} number 0 end")  # before it is another user, as Gunicorn's do
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    for number in range(early, 500):
        logger.info(f"worker {name} number {number} end")
    if name == "a":
        os._exit(0)
    if name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(0 if bridge.close(patience) else 3)

children = []
for name in "abc":
    pid = os.fork()
    if not pid:
        work(name)
    children.append(pid)
statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
print(statuses)
sys.exit(statuses[2])
"""


def receive(directory, *options, early=0, group=GROUP, patience=20):
    """Run the program under root's receiver; return what the two have said."""
    return subprocess.run(
        [sys.executable, "-m", "loguru_stdbridge.receiver", str(directory / "app.log"),
         "--format", "{message}", *options, "--",
         sys.executable, "-c", PROGRAM, str(USER), str(group), str(early), str(patience)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@needs_root
@pytest.mark.parametrize("early", [0, 1], ids=["silent before", "logs before"])
def test_every_record_of_a_program_that_changes_its_user_is_safe(public, early):
    """With a spool directory for its group, a program's records are in the file once, however it
    ends."""
    done = receive(
        public, "--spool-group", str(GROUP), "--spool-dir", f"{public}/spool", early=early
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, -9, 0]\n"
    assert "memory" not in done.stderr
    wanted = {**dict.fromkeys("abc", 500), **({"master": 1} if early else {})}
    Account(public / "app.log").check(wanted)
    assert {path.name for path in (public / "spool").iterdir()} == {"peers", "secret", "streams"}


@needs_root
def test_without_a_group_the_message_names_the_option(public):
    """A worker that may write no journal says which option of the receiver helps."""
    done = receive(public, "--spool-dir", f"{public}/spool", patience=0)
    assert "--spool-group GROUP" in done.stderr


@needs_root
def test_a_worker_outside_the_group_is_told_which_groups_it_has(public):
    """A worker that is no member of the spool's group says whose it is, and its own groups."""
    done = receive(
        public,
        "--spool-group",
        str(GROUP),
        "--spool-dir",
        f"{public}/spool",
        group=OTHER,
        patience=0,
    )
    assert f"is for group {GROUP}, and user {USER} has the groups {OTHER}" in done.stderr


@needs_root
def test_members_make_entries_and_see_none(public):
    """The directory has mode 1730 and the group; a member makes an entry, and cannot list."""
    spool = make_group_spool(public / "spool", GROUP)
    status = os.stat(spool)
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o1730, GROUP)
    code = (
        "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(12345)\n"
        "os.mkdir(f'{sys.argv[1]}/entry')\n"
        "try: os.listdir(sys.argv[1])\n"
        "except PermissionError: sys.exit(7)"
    )
    for group, expected in ((GROUP, 7), (OTHER, 1)):
        done = subprocess.run(
            [sys.executable, "-c", code, spool, str(group)], capture_output=True, check=False
        )
        assert done.returncode == expected, done.stderr


@needs_root
@pytest.mark.parametrize("name", ["peers", "streams", "secret"])
def test_what_a_member_has_made_in_the_receiver_s_place_is_refused(public, name):
    """A receiver does not use what is its own in the spool where somebody else has made it."""
    spool = Path(make_group_spool(public / "spool", GROUP))
    os.chown(spool / name, USER, GROUP)
    with pytest.raises(JournalError, match=f"{name} belongs to user {USER}"):
        make_group_spool(spool, GROUP)


@needs_root
def test_a_spool_that_the_group_cannot_reach_is_refused(public):
    """A directory above that keeps the group out is named, with the way out."""
    (public / "closed").mkdir(mode=0o700)
    with pytest.raises(JournalError, match=r"closed is closed to it \(mode 0700\).*--spool-dir"):
        make_group_spool(public / "closed" / "spool", GROUP)


@needs_root
def test_a_worker_takes_no_group_spool_of_a_third_user(public):
    """A worker refuses a directory of mode 1730 that is neither root's nor its own."""
    spool = make_group_spool(public / "spool", 0)
    os.chown(spool, USER, 0)
    with pytest.raises(JournalError, match=f"belongs to user {USER}"):
        make_spool_dir(spool)


def make_orphan(directory):
    """Return the path of a journal with two rows whose owner is dead."""
    journal = Journal.create(str(directory / "spool"), ADDRESS)
    fill(journal, 2)
    journal.close(remove=False)
    return Path(journal.path)


def give_away(journal):
    """Make a journal and its files another user's."""
    for path in (journal, *journal.iterdir()):
        os.chown(path, USER, GROUP)


@needs_root
def test_another_users_journal_is_read_and_removed(tmp_path):
    """An orphan of another user's is adopted, read, acknowledged and removed as any other."""
    journal = make_orphan(tmp_path)
    give_away(journal)
    assert of_orphan(journal) == [1, 2]
    orphan = Orphan.adopt(str(journal))
    orphan.acknowledge(2)
    orphan.remove()
    assert not journal.exists()


@needs_root
@pytest.mark.parametrize("name", ["meta", "lock", "log", "log.new", "segment"])
@pytest.mark.parametrize("kind", ["symbolic", "hard", "pipe"])
def test_no_file_that_another_users_journal_leads_to_is_touched(tmp_path, name, kind):
    """Whatever stands in the place of a journal's file, root's receiver changes nothing behind it."""
    journal = make_orphan(tmp_path)
    precious = tmp_path / "precious"
    precious.write_bytes(PRECIOUS)
    os.chmod(precious, 0o600)
    file = next(journal.glob("*.seg")) if name == "segment" else journal / name
    file.unlink(missing_ok=True)
    if kind == "symbolic":
        file.symlink_to(precious)
    elif kind == "hard":
        file.hardlink_to(precious) if hasattr(file, "hardlink_to") else os.link(precious, file)
    else:
        os.mkfifo(file)
    for path in (journal, *journal.iterdir()):
        if path != file or kind == "pipe":
            os.chown(path, USER, GROUP, follow_symlinks=False)
    try:
        orphan = Orphan.adopt(str(journal))
    except (OSError, JournalError):
        orphan = None
    if orphan is not None:
        orphan.belong_to(LogName("/a/log", "1" * 32))
        orphan.read(0, 1000)
        orphan.acknowledge(1)
        orphan.remove()
    assert precious.read_bytes() == PRECIOUS
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("mode", "group", "access"),
    [
        (None, None, (0o600, None)),
        (None, 7, (0o660, 7)),
        ("0666", None, (0o666, None)),
        ("660", 7, (0o660, 7)),
        (0o640, 7, (0o640, 7)),
    ],
)
def test_the_access_to_a_socket_is_read(mode, group, access):
    """Mode and group of a socket are read as ``chmod`` and ``chown`` read them."""
    assert read_socket_access(mode, group) == SocketAccess(*access)


@pytest.mark.parametrize("mode", ["rw", "99", "7777", -1, True])
def test_a_mode_that_is_none_is_refused(mode):
    """A mode that cannot be read is shown."""
    with pytest.raises(ConfigurationError, match=f"socket_mode={mode!r}"):
        read_socket_access(mode, None)


def test_a_group_that_there_is_not_is_refused():
    """A group that the system does not know is shown, with the option's name."""
    with pytest.raises(ConfigurationError, match="spool_group='no such group'"):
        group_id("spool_group", "no such group")


@needs_root
def test_the_sockets_of_a_receiver_have_mode_and_group(public):
    """The log's own socket and a named one have the mode and the group that were asked for."""
    path = public / "socket"
    receiver = start_receiver(
        public / "app.log", address=f"unix://{path}", socket_mode="0660", socket_group=GROUP
    )
    with receiver:
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, GROUP)


def test_a_receiver_that_is_not_root_s_says_what_it_cannot_read(public, monkeypatch):
    """A receiver with a group's spool that is not root's says what it cannot deliver."""
    told = []
    group = os.getegid()
    monkeypatch.setattr(service, "current_user", lambda: 1)
    with contextlib.closing(
        service.Service([{"sink": public / "app.log"}], [], spool_dir=public / "spool",
                        spool_group=group, report=told.append)
    ):  # fmt: skip
        (line,) = (text for text in told if "spool directory" in text)
    assert f"is for group {group}, and this receiver is not root's" in line
