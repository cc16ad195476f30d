"""A test suite that runs in several processes."""

import os

import said


def test_says():
    """Everything is said once."""
    said.say()
    said.warn()
    said.end_child()


def test_fails():
    """An exception is raised."""
    said.fail()


def test_dies():
    """The worker ends."""
    os._exit(1)
