"""A socket may lie deeper than an address has room for."""

from __future__ import annotations

import os
import socket

import pytest

from loguru_stdbridge.system.runtime import MAX_SOCKET_PATH, short_path


@pytest.mark.parametrize("depth", [0, 1, 15])
def test_a_socket_is_bound_and_reached_at_any_depth(tmp_path, depth):
    """A path that fits stays as it is; another one gets a short name for as long as it is used."""
    directory = tmp_path.joinpath(*["deep" * 10] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    path = str(directory / "name.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short_path(path) as short:
            assert (short == path) == (len(path) <= MAX_SOCKET_PATH)
            listener.bind(short)
        listener.listen()
        with short_path(path) as short:
            client.connect(short)
    assert os.path.exists(path)


def test_a_directory_that_is_not_there_is_told(tmp_path):
    """The error is the system's own."""
    with pytest.raises(FileNotFoundError), short_path(f"{tmp_path}/{'x' * 200}/name.sock"):
        pass
