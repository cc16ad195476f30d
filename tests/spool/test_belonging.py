"""A journal finds the log that it belongs to, and no other."""

from __future__ import annotations

from loguru_stdbridge.addresses import LogName, parse_address
from loguru_stdbridge.spool.belonging import belongs, describe_origin, read_origin
from loguru_stdbridge.system.host import HostFacts, directory_id

HERE = HostFacts(machine="m", boot="b", network="1", mounts="1")
CONTAINER = HERE._replace(network="2", mounts="2")
LOG = LogName("/logs/app.log", "a" * 32, "8:1")
TCP = parse_address("tcp://127.0.0.1:9020")
BY_PATH = parse_address("log:///logs/app.log")


def is_taken(address, *, host=HERE, directory="", log=None, by=LOG, serves=False):
    """Whether the receiver of ``by``, on HERE, takes a journal of this origin."""
    origin = read_origin(address, "", log)._replace(host=host, directory=directory)
    return belongs(origin, by, lambda wanted: serves, HERE)


def test_a_greeted_journal_follows_its_log_to_any_address_and_path():
    """A greeted journal belongs to the log with the same id, wherever that log is now."""
    moved = LogName("/elsewhere/app.log", LOG.id, "9:9")
    assert is_taken(TCP, host=CONTAINER, log=LOG, by=moved)


def test_a_greeted_journal_is_not_taken_by_the_log_that_listens_there_now():
    """A greeted journal is not given to another log behind the same port."""
    other = LogName("/logs/other.log", "b" * 32, "8:1")
    assert not is_taken(TCP, log=LOG, by=other, serves=True)


def test_a_log_whose_ledger_was_lost_is_known_by_its_path():
    """A log that lost its ledger, and so its id, is known by its path and directory."""
    assert is_taken(TCP, log=LOG, by=LOG._replace(id="b" * 32))


def test_a_log_of_the_same_path_in_another_container_is_another():
    """A log of the same path in another container is another log."""
    theirs = LOG._replace(id="b" * 32, directory="8:2")
    assert not is_taken(TCP, host=CONTAINER, log=theirs)


def test_a_journal_that_names_a_log_is_taken_by_that_log():
    """A journal that was never greeted belongs to the log whose path its program named."""
    assert is_taken(BY_PATH, directory="8:1")
    assert not is_taken(parse_address("log:///logs/other.log"), directory="8:1", serves=True)


def test_a_directory_made_anew_is_the_same_place_on_the_same_host():
    """A log's directory that was removed and made again is the same place on the same host."""
    assert is_taken(BY_PATH, directory="8:77")
    assert not is_taken(BY_PATH, directory="8:77", host=CONTAINER)


def test_a_container_made_anew_finds_what_the_old_one_left():
    """A new container with the same volume finds the journals that the old one left."""
    assert is_taken(BY_PATH, directory="8:1", host=CONTAINER)


def test_the_same_directory_number_on_another_machine_says_nothing():
    """Equal device and inode numbers on two machines do not make one place."""
    assert not is_taken(BY_PATH, directory="8:1", host=HERE._replace(machine="n"))


def test_a_loopback_port_of_another_host_is_another_port():
    """A loopback port of one container is not that of another, even with a shared spool."""
    assert is_taken(TCP, serves=True)
    assert not is_taken(TCP, serves=True, host=CONTAINER)
    assert is_taken(parse_address("tcp://logs.example:9020"), serves=True, host=CONTAINER)


def test_an_address_that_nobody_serves_is_left_alone():
    """A journal for another port waits for that port's receiver."""
    assert not is_taken(TCP)


def test_journals_of_the_first_version_are_taken_by_their_address():
    """A journal of the first version, which names no host, is taken by its address."""
    origin = read_origin(TCP, "", None)
    assert origin.host == HostFacts()
    assert belongs(origin, LOG, lambda wanted: wanted == TCP)


def test_what_a_journal_keeps_of_its_place_is_read_back(tmp_path):
    """The text that a journal keeps of its place gives the facts again, and odd text none."""
    address = parse_address(f"log://{tmp_path}/app.log")
    origin = read_origin(address, describe_origin(address), None)
    assert origin.directory == directory_id(str(tmp_path))
    assert belongs(origin, LogName(address.path, "", origin.directory), lambda wanted: False)
    for odd in ("nonsense", "[1]", "{}", "null", '["a"]', "[" * 2000):
        assert read_origin(address, odd, None).host == HostFacts()
