"""What each path of the status listener answers. No sockets here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from ..record.level_order import LevelOrder, load_orders
from ..spool.inspection import inspect_spool
from .board import Board
from .log_files import open_listed
from .looking import Look
from .metrics import CONTENT_TYPE, render_metrics
from .page import load_page
from .requests import Refused, Request, make_answer, make_error, make_head
from .state import ReceiverState
from .viewers import Viewers
from .visitors import Visitor

OnLevel = Callable[[str, int, LevelOrder], int]
"""Takes an order, with the program and the process that it concerns (``""``, 0: any)."""

JOURNALS_AGE = 10.0
"""Seconds for which a look at the spool's journals counts."""

_PART = 128 * 1024  # bytes of a file that are read at a time


class Answers:
    """Answers for one receiver. Used by the listener's one thread."""

    def __init__(
        self,
        board: Board,
        template: str | None,
        *,
        shows_files: bool = False,
        on_level: OnLevel | None = None,
    ) -> None:
        """``template`` is the sink's format. ``shows_files``: the log's files can be fetched.
        ``on_level`` has workers send records of lower levels; it returns how many were told."""
        self._on_level = on_level
        self._board = board
        self._shows_files = shows_files
        self._look = Look(board)
        self._viewers = Viewers(board, self._look, template, shows_files=shows_files)
        self._waiting: dict[str, tuple[int, int]] = {}
        self._looked_at = float("-inf")
        self._paths: dict[str, Callable[[Visitor, Request], None]] = {
            "/": self._answer_page,
            "/events": self._viewers.admit,
            "/healthz": self._answer_health,
            "/readyz": self._answer_readiness,
            "/metrics": self._answer_metrics,
            "/status.json": self._answer_status,
        }

    def answer(self, visitor: Visitor, request: Request) -> None:
        """Answer a request; see :class:`~loguru_stdbridge.status.visitors.Answerer`."""
        path = self._paths.get(request.path)
        if request.is_order:
            self._take_order(visitor, request)
        elif path is not None:
            path(visitor, request)
        elif request.path.startswith("/files/"):
            self._answer_file(visitor, request)
        else:
            raise Refused(make_error(HTTPStatus.NOT_FOUND))

    def turn(self, visitors: Sequence[Visitor], until: float) -> float | None:
        """Feed the viewers; see :class:`~loguru_stdbridge.status.visitors.Answerer`."""
        return self._viewers.turn(visitors, until)

    def close(self) -> None:
        """Say to the loop that nobody looks any more."""
        self._board.end()

    def _answer_page(self, visitor: Visitor, request: Request) -> None:
        body, policy = load_page()
        more = {"Content-Security-Policy": policy}
        kind = "text/html; charset=utf-8"
        visitor.answer(make_answer(HTTPStatus.OK, body, kind, more, is_head=request.is_head))

    def _answer_health(self, visitor: Visitor, request: Request) -> None:
        if self._board.is_turning:
            _answer_text(visitor, request, HTTPStatus.OK, "alive")
        else:
            still = time.monotonic() - self._board.turned_at
            why = f"the receiver's loop has not turned for {still:.0f} s"
            _answer_text(visitor, request, HTTPStatus.SERVICE_UNAVAILABLE, why)

    def _answer_readiness(self, visitor: Visitor, request: Request) -> None:
        state = self._look()
        if not self._board.is_turning or state is None:
            self._answer_health(visitor, request)
        elif state.is_ready:
            _answer_text(visitor, request, HTTPStatus.OK, "ready")
        else:
            why = " ".join(state.trouble.split())
            _answer_text(visitor, request, HTTPStatus.SERVICE_UNAVAILABLE, why)

    def _answer_metrics(self, visitor: Visitor, request: Request) -> None:
        state = self._state()
        text = render_metrics(state, self._board, self._journals(state))
        body = text.encode("utf-8", "backslashreplace")
        visitor.answer(make_answer(HTTPStatus.OK, body, CONTENT_TYPE, is_head=request.is_head))

    def _answer_status(self, visitor: Visitor, request: Request) -> None:
        state = self._state()
        fields = {**state.as_fields(), "epoch": self._board.epoch}
        fields["figures"] = self._viewers.history.figures(state)
        fields["viewers"] = self._viewers.count
        body = json.dumps(fields, ensure_ascii=True).encode("ascii")
        kind = "application/json"
        visitor.answer(make_answer(HTTPStatus.OK, body, kind, is_head=request.is_head))

    def _answer_file(self, visitor: Visitor, request: Request) -> None:
        name = request.path[len("/files/") :]
        if not self._shows_files:
            raise Refused(make_error(HTTPStatus.NOT_FOUND, "files are shown with --status-files"))
        found = None
        for sink in self._state().sinks:
            found = found or open_listed(sink.path, name)
        if found is None:
            raise Refused(make_error(HTTPStatus.NOT_FOUND))
        descriptor, size = found
        more = {"Content-Disposition": "attachment"}
        visitor.answer(make_head(HTTPStatus.OK, "application/octet-stream", size, more))
        file = os.fdopen(descriptor, "rb", buffering=0)
        if request.is_head:
            file.close()
            return
        left = size

        def read_part() -> bytes:
            nonlocal left
            data = file.read(min(_PART, left))
            left -= len(data)
            return data

        visitor.more, visitor.file = read_part, file

    def _take_order(self, visitor: Visitor, request: Request) -> None:
        """Have workers send records of lower levels for a while."""
        query = request.query
        try:
            if self._on_level is None:
                raise ValueError("this receiver takes none")
            given = [query.get("logger", ""), int(query["level"]), float(query["seconds"])]
            if given[2] == 0:
                order = LevelOrder(query.get("logger", ""), int(query["level"]), 0.0)
            else:
                (order,) = load_orders([given])
            pid = int(query.get("pid", "0"))
        except (ValueError, KeyError) as error:
            raise Refused(make_error(HTTPStatus.BAD_REQUEST, f"no order: {error}")) from error
        told = self._on_level(query.get("program", ""), pid, order)
        body = json.dumps({"told": told}).encode("ascii")
        visitor.answer(make_answer(HTTPStatus.OK, body, "application/json"))

    def _state(self) -> ReceiverState:
        state = self._look()
        if state is None:
            raise Refused(make_error(HTTPStatus.SERVICE_UNAVAILABLE, "the receiver is busy"))
        return state

    def _journals(self, state: ReceiverState) -> dict[str, tuple[int, int]]:
        """Return the journals without an owner, by the log that they wait for: count, bytes."""
        if state.spool_dir is None or time.monotonic() - self._looked_at < JOURNALS_AGE:
            return self._waiting
        waiting: dict[str, tuple[int, int]] = {}
        for journal in inspect_spool(state.spool_dir):
            if not journal.is_owned:
                count, size = waiting.get(journal.wanted, (0, 0))
                waiting[journal.wanted] = (count + 1, size + journal.bytes)
        self._waiting, self._looked_at = waiting, time.monotonic()
        return waiting


def _answer_text(visitor: Visitor, request: Request, status: int, text: str) -> None:
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    visitor.answer(make_answer(status, body, is_head=request.is_head))
