"""Other processes of a Windows machine, and what tells the machine from others."""

from __future__ import annotations

from typing import Any

from .kernel import function, last_error

_SYNCHRONIZE = 0x00100000
_ACCESS_DENIED = 5
_TIMEOUT = 258


def is_alive(pid: int) -> bool:
    """Return whether a process of that number is there."""
    if not 0 < pid <= 0xFFFFFFFF:
        return False
    handle = function("OpenProcess")(_SYNCHRONIZE, 0, pid)
    if not handle:
        return last_error() == _ACCESS_DENIED
    try:
        return bool(function("WaitForSingleObject")(handle, 0) == _TIMEOUT)
    finally:
        function("CloseHandle")(handle)


def machine_id() -> str:
    """Return what tells this machine from others; ``""`` where it is not known."""
    try:
        winreg: Any = __import__("winreg")
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        path = r"SOFTWARE\Microsoft\Cryptography"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path, 0, access) as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    except (ImportError, OSError):
        return ""
