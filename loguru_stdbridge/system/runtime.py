"""Where a log's own socket is: a directory of this user's, found without being told.

Every receiver listens on a Unix socket that is named after its log. A worker that knows the log's
path finds it there, whatever else the receiver listens on.

Why nobody else can stand in for a receiver
-------------------------------------------
The directory belongs to this user and is closed to all others (mode 0700). A directory that is not
so is passed over, and so is a symbolic link. Only root and this user can put a socket into it.

Why both sides find the same directory
--------------------------------------
Not every process of a user has the same environment: cron sets no ``XDG_RUNTIME_DIR``. A receiver
takes the first directory that it can use. A worker tries all that are there, in the same order. No
variable but ``XDG_RUNTIME_DIR`` has a say, ``TMPDIR`` neither. Where none of these can be made (a
service that may write its log's directory and nothing else), a hidden directory beside the log
takes their part.

A receiver whose socket others may use, too (``--socket-group``), has it in another directory, at a
fixed place for each user. A worker looks there for its own user, for root and for the user that
``receiver_user=`` names: those to whom it gives records. It asks the system who listens before it
sends one.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib

_FOLDER = "loguru_stdbridge"


def runtime_directories(*, make: bool = False, beside: str = "") -> list[str]:
    """Return the directories for sockets that this user can trust, best first.

    ``beside`` is the path of a log: a directory beside it comes last. With ``make``, the first one
    that can be made, or is there and can be written, is alone returned. The list is empty where
    there is none, or the system has no Unix sockets.
    """
    found = []
    for parent, name in _candidates(beside):
        path = os.path.join(parent, name)
        if make:
            try:
                os.mkdir(path, 0o700)
            except OSError:
                pass  # it is there already, or cannot be made: the look tells
        if _is_safe(path) and (not make or os.access(path, os.W_OK | os.X_OK)):
            found.append(path)
            if make:
                break
    return found


def shared_directory(user: int, *, make: bool = False) -> str | None:
    """Return the directory for sockets of ``user``'s receivers that others may use, or ``None``.

    Everybody may look a name up in it, nobody may list it, and its owner alone may change it. With
    ``make`` it is made, for this process's own user.
    """
    places = [("/tmp", f"{_FOLDER}-{user}.shared")]
    if user == 0:
        places.insert(0, ("/run", _FOLDER))
    for place in places:
        path = os.path.join(*place)
        with contextlib.suppress(OSError, ValueError):
            if make and not os.path.lexists(path):
                os.mkdir(path, 0o700)
                os.chmod(path, 0o711)
            status = os.lstat(path)
            closed = not status.st_mode & 0o022
            if stat.S_ISDIR(status.st_mode) and status.st_uid == user and closed:
                return path
    return None


def log_socket_name(log_path: str, network: str) -> str:
    """Return the file name of a log's socket.

    ``log_path`` is the log's resolved path. ``network`` is the network namespace: containers that
    share the directory may each have a log of that path.
    """
    text = f"{network}\0{log_path}".encode("utf-8", "surrogateescape")
    return f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}.sock"


def messages_path(sink: str) -> str:
    """Return the path of the file for the messages of a receiver that nobody's stderr hears.

    It is hidden beside the sink.
    """
    directory, name = os.path.split(sink)
    return os.path.join(directory, f".{name}.receiver")


def _candidates(beside: str) -> list[tuple[str, str]]:
    """Return parent and name of each directory that may be used."""
    if not hasattr(os, "getuid"):
        return []
    user = os.getuid()
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    parents = [named] if os.path.isabs(named) else []
    parents.append(f"/run/user/{user}")
    found = [(parent, _FOLDER) for parent in dict.fromkeys(parents)]
    found.append(("/tmp", f"{_FOLDER}-{user}"))
    if beside:
        found.append((os.path.dirname(beside), f".{_FOLDER}-{user}"))
    return found


def _is_safe(path: str) -> bool:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    return (
        stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    )
