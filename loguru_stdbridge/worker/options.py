"""The options of a channel, checked once: what tells one channel from another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from ..addresses import Address, AddressLike, default_address, log_address, parse_address
from ..exceptions import ConfigurationError
from ..sink_words import SINK_WORDS, SinkWords, read_handlers, read_sink_words
from ..spool.total import DEFAULT_TOTAL
from ..system.tls_files import TlsFiles, read_tls_files
from ..system.users import find_user
from .levels import with_level_numbers

WhenFull = Literal["drop_oldest", "drop_newest", "block"]
Peer = Literal["bridge", "stock"]
MAX_BLOCK_TIMEOUT = 86400.0  # seconds: a log call that waits longer was meant otherwise
MIN_SPOOL_LIMIT = 1 << 20
"""Bytes: two segments of a size that is worth a file."""


class ChannelOptions(NamedTuple):
    """Where a channel leads and how it keeps records. Equal options mean the same channel.

    See :func:`loguru_stdbridge.install_bridge` for their meaning.
    """

    address: Address
    spool_dir: str | Literal[False] | None = None
    spool_limit: int | None = None
    spool_total: int = DEFAULT_TOTAL
    when_full: WhenFull = "drop_oldest"
    block_timeout: float = 10.0
    peer: Peer = "bridge"
    receiver_user: int | None = None  # user id
    sink: SinkWords | None = None  # of the receiver that is started where none answers
    tls: TlsFiles | None = None  # of a tls:// address
    server: bool = True  # False: this process writes the file of ``sink`` itself

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``check_options`` that give these options, in another process,
        too: texts, numbers, booleans and ``None``."""
        arguments = {**self._asdict(), "address": str(self.address)}
        del arguments["tls"]
        for name, value in {} if self.tls is None else self.tls._asdict().items():
            arguments[f"tls_{name}"] = value
        if self.sink is not None:
            del arguments["sink"]
            arguments.update(self.sink.as_arguments(), address=None)
            if not self.server:
                del arguments["linger"]
        return arguments


def check_options(
    address: AddressLike | None,
    *,
    spool_dir: str | os.PathLike[str] | bool | None = None,
    spool_limit: int | None = None,
    spool_total: int | None = None,
    when_full: WhenFull = "drop_oldest",
    block_timeout: float = 10.0,
    peer: Peer = "bridge",
    receiver_user: int | str | None = None,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_crl: str | os.PathLike[str] | None = None,
    tls_hostname: str | None = None,
    sink: str | os.PathLike[str] | None = None,
    handlers: Sequence[Mapping[str, Any]] | None = None,
    server: bool = True,
    **sink_words: Any,
) -> ChannelOptions:
    """Return the options of a channel; ``address=None`` is the default address.

    Raises :class:`AddressError` or :class:`ConfigurationError` that shows the value and what is
    allowed.
    """
    words = None
    check_flags(server=server)
    if not server:
        if sink is None and handlers is None:
            raise ConfigurationError(
                "server=False without a file: name it with sink=, since nobody else writes it"
            )
        if "linger" in sink_words:
            raise ConfigurationError("linger= with server=False: there is no receiver to stay")
    sink_words = with_level_numbers(sink_words)
    if sink is not None or handlers is not None:
        name, named = ("handlers", handlers) if sink is None else ("sink", sink)
        if address is not None:
            raise ConfigurationError(
                f"address={address!r} and {name}={named!r}: name the receiver or the file, not both"
            )
        if sink is None:
            assert handlers is not None
            told = [
                with_level_numbers(handler) if isinstance(handler, Mapping) else handler
                for handler in (handlers if isinstance(handlers, (list, tuple)) else ())
            ]
            words = read_handlers(told or handlers, sink_words)
        elif handlers is not None:
            raise ConfigurationError(
                f"sink={sink!r} and handlers={handlers!r}: name all files in handlers="
            )
        else:
            words = read_sink_words(sink, sink_words)
        target = log_address(words.path)
    elif sink_words:
        for name in sink_words:
            if name not in SINK_WORDS and name not in _OTHER_FILE_WORDS:
                raise TypeError(f"install_bridge() has no option {name}=")
        names = ", ".join(sorted(sink_words))
        raise ConfigurationError(
            f"{names}: the receiver's to know; give it to the receiver, or name the file with "
            "sink= and have its receiver started"
        )
    else:
        target = default_address() if address is None else parse_address(address)
    if target.has_port and target.port == 0:
        raise ConfigurationError(f"{target} names no port: a worker needs the receiver's own")
    _check_choice("when_full", when_full, get_args(WhenFull))
    if type(block_timeout) not in (int, float) or not 0 <= block_timeout <= MAX_BLOCK_TIMEOUT:
        raise ConfigurationError(
            f"block_timeout={block_timeout!r}: seconds, from 0 to {MAX_BLOCK_TIMEOUT:.0f}"
        )
    if peer == "auto":  # type: ignore[comparison-overlap]
        raise ConfigurationError(
            "peer='auto': a silent receiver cannot be told from a stock one; leave peer= out for a "
            "loguru_stdbridge receiver, or say peer='stock'"
        )
    _check_choice("peer", peer, get_args(Peer))
    if spool_limit is not None and (
        not isinstance(spool_limit, int) or spool_limit < MIN_SPOOL_LIMIT
    ):
        raise ConfigurationError(
            f"spool_limit={spool_limit!r}: a whole number of bytes, 1048576 (1 MiB) at least"
        )
    if spool_total is None:
        spool_total = DEFAULT_TOTAL
    elif type(spool_total) is not int or spool_total < MIN_SPOOL_LIMIT:
        raise ConfigurationError(
            f"spool_total={spool_total!r}: a whole number of bytes, 1048576 (1 MiB) at least"
        )
    place: str | Literal[False] | None = None
    if spool_dir is False:
        place = False
    elif spool_dir is not None and spool_dir is not True:
        try:
            place = os.fsdecode(spool_dir)
        except TypeError:
            raise ConfigurationError(
                f"spool_dir={spool_dir!r}: the path of a directory, None or False"
            ) from None
    user = None if receiver_user is None else _user_id(receiver_user)
    tls_options = {
        "tls_ca": tls_ca,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_crl": tls_crl,
        "tls_hostname": tls_hostname,
    }
    tls = read_tls_files(tls_options) if target.scheme == "tls" else None
    given = next((name for name, value in tls_options.items() if value is not None), None)
    if given is not None and tls is None:
        raise ConfigurationError(
            f"{given}={tls_options[given]!r} with {target}, which is no TLS: use a tls:// address"
        )
    return ChannelOptions(
        target,
        place,
        spool_limit,
        spool_total,
        when_full,
        block_timeout,
        peer,
        user,
        words,
        tls,
        server,
    )


_OTHER_FILE_WORDS = (
    "buffering", "catch", "context", "delay", "enqueue", "linger", "mode", "watch"
)  # fmt: skip
"""Words of loguru's for files, beside those that another process can be told, and our own."""


def check_flags(**flags: object) -> None:
    """Raise :class:`ConfigurationError` for an option that is neither True nor False.

    A text such as ``"no"`` would count as true.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name}={value!r}: True or False")


def _user_id(user: int | str) -> int:
    if isinstance(user, int):
        return user
    number = find_user(user)
    if number is None:
        raise ConfigurationError(
            f"receiver_user={user!r}: the name or the number of a user of this system"
        )
    return number


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name}={value!r}: one of {', '.join(map(repr, choices))}")
