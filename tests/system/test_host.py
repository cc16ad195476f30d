"""A process knows its host, and two sets of host facts tell whether two hosts are one."""

from __future__ import annotations

import os

from loguru_stdbridge.system.host import HostFacts, directory_id, host_facts

HERE = HostFacts(machine="m", boot="b", network="1", mounts="1")


def test_a_process_knows_the_same_of_its_host_each_time():
    """A process gets the same facts about its host each time it asks."""
    facts = host_facts()
    assert facts == host_facts()
    assert facts.has_same_files(host_facts())


def test_another_machine_is_another_host():
    """Different machine ids tell two hosts apart, whatever else agrees."""
    other = HERE._replace(machine="n")
    assert not HERE.is_same_machine(other)
    assert not HERE.is_same_host(other)
    assert not HERE.has_same_files(other)


def test_a_container_of_the_same_machine_is_another_host():
    """A container with a network namespace of its own is another host for loopback ports."""
    assert not HERE.is_same_host(HERE._replace(network="2"))
    assert HERE.is_same_machine(HERE._replace(network="2"))


def test_a_mount_namespace_tells_files_apart_and_ports_not():
    """A process with mounts of its own shares the ports of its host but perhaps not its files."""
    other = HERE._replace(mounts="2")
    assert HERE.is_same_host(other)
    assert not HERE.has_same_files(other)


def test_namespaces_are_not_compared_after_a_reboot():
    """Namespaces of two boots are not compared, since each boot numbers them anew."""
    assert HERE.has_same_files(HostFacts(machine="m", boot="c", network="7", mounts="9"))


def test_what_is_not_known_tells_nothing_apart():
    """A host of which nothing is known may be this one."""
    assert HERE.has_same_files(HostFacts())
    assert HostFacts().has_same_files(HERE)


def test_a_directory_keeps_its_identity_when_it_is_renamed(tmp_path):
    """A renamed directory keeps its identity, and a new one in its place has another."""
    logs = tmp_path / "logs"
    logs.mkdir()
    before = directory_id(str(logs))
    logs.rename(tmp_path / "logs.old")
    logs.mkdir()
    assert directory_id(str(tmp_path / "logs.old")) == before
    assert directory_id(str(logs)) != before


def test_a_directory_that_is_not_there_has_no_identity(tmp_path):
    """A directory that is not there has an empty identity and raises nothing."""
    assert directory_id(str(tmp_path / "missing")) == ""
    assert directory_id(os.fsdecode(b"nul\0byte")) == ""
