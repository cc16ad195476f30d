"""Looks at a stream before it is used: makes it where that is asked for, and tells what may lose
records. A stream that is there is never altered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .address import SETTINGS_FORM, EngineAddress
from .link import REQUEST_TIMEOUT, EngineError

_NO_STREAM = 10059  # the server's code for a stream that is not there
_NO_CONSUMER = 10014


class StreamAbsentError(EngineError):
    """The stream, or the consumer, is not there."""


async def request(connection: Any, name: str, fields: Mapping[str, Any] | None = None) -> Any:
    """Ask JetStream's API, and return the decoded answer. Raises :class:`EngineError`."""
    payload = b"" if fields is None else json.dumps(fields).encode()
    answer = await connection.request(f"$JS.API.{name}", payload, timeout=REQUEST_TIMEOUT)
    decoded = json.loads(answer.data)
    error = decoded.get("error")
    if error is None:
        return decoded
    text = f"{error.get('description', 'an error')} ({error.get('err_code', error.get('code'))})"
    if error.get("err_code") in (_NO_STREAM, _NO_CONSUMER):
        raise StreamAbsentError(text)
    if error.get("err_code") in (10076, 10039):
        raise EngineError(f"no JetStream there for this account: {text}")
    raise EngineError(f"{name}: {text}")


async def stream_settings(
    connection: Any, address: EngineAddress, create: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the stream's settings; make it if it is missing and ``create`` has its own."""
    try:
        return await _settings(connection, address.stream)
    except StreamAbsentError as error:
        if create is None:
            raise EngineError(
                f"there is no stream {address.stream!r}: make it with --nats-create "
                f"{SETTINGS_FORM}, or with nats stream add {address.stream}"
            ) from error
    subject = address.subject if address.subject and "*" not in address.subject else ""
    subjects = [f"{subject.removesuffix('.>') or address.stream}.>"]
    fields = {"name": address.stream, "subjects": subjects, **create}
    await request(connection, f"STREAM.CREATE.{address.stream}", fields)
    return await _settings(connection, address.stream)


async def _settings(connection: Any, stream: str) -> dict[str, Any]:
    answer = await request(connection, f"STREAM.INFO.{stream}")
    return {**answer["config"], "first_seq": answer["state"]["first_seq"]}


def find_risks(settings: Mapping[str, Any], outage: float) -> list[str]:
    """Return what in a stream's settings may lose records, each with the way out."""
    risks = []
    if settings.get("storage") == "memory":
        risks.append("its storage is memory: a restart of the servers loses every record in it")
    age = (settings.get("max_age") or 0) / 1e9
    if age and age < outage:
        risks.append(
            f"it keeps messages for {age:g} s, and its reader may be away for {outage:g} s "
            "(?outage=): what is older is removed unread. Give it a longer max_age"
        )
    bounds = {
        "max_bytes": settings.get("max_bytes", -1),
        "max_msgs": settings.get("max_msgs", -1),
        "max_msgs_per_subject": settings.get("max_msgs_per_subject", -1),
    }
    if settings.get("discard") != "new":
        for name, bound in bounds.items():
            if bound is not None and bound > 0 and (name != "max_bytes" or bound < 1_000_000_000):
                risks.append(
                    f"{name}={bound} removes its oldest messages, read or not (discard=old): give "
                    "it room for the longest outage of its reader"
                )
    elif any(bound is not None and bound > 0 for bound in bounds.values()):
        risks.append(
            "discard=new: a full stream takes nothing more; the records then wait in the workers' "
            "journals, which drop what they have no room for"
        )
    if settings.get("no_ack"):
        risks.append("no_ack: it confirms nothing, so no record would ever be acknowledged")
    if settings.get("num_replicas", 1) < 2:
        risks.append("num_replicas=1: the records in it share the fate of one server's disk")
    return risks
