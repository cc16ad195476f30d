"""What each path of the status listener answers. No sockets here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from ..spool.inspection import inspect_spool
from .board import Board
from .listener import Visitor
from .metrics import CONTENT_TYPE, render_metrics
from .requests import Refused, Request, make_answer, make_error
from .state import ReceiverState

JOURNALS_AGE = 10.0
"""Seconds for which a look at the spool's journals counts."""


class Answers:
    """Answers for one receiver. Used by the listener's one thread."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting: dict[str, tuple[int, int]] = {}
        self._looked_at = float("-inf")
        self._paths: dict[str, Callable[[Visitor, Request], None]] = {
            "/healthz": self._answer_health,
            "/readyz": self._answer_readiness,
            "/metrics": self._answer_metrics,
            "/status.json": self._answer_status,
        }

    def answer(self, visitor: Visitor, request: Request) -> None:
        """Answer a request; see :class:`~loguru_stdbridge.status.listener.Answerer`."""
        path = self._paths.get(request.path)
        if path is None:
            raise Refused(make_error(HTTPStatus.NOT_FOUND))
        path(visitor, request)

    def turn(self, visitors: Sequence[Visitor], until: float) -> float | None:
        """Feed the viewers; see :class:`~loguru_stdbridge.status.listener.Answerer`."""
        return None

    def close(self) -> None:
        """Let go of what is open."""

    def _answer_health(self, visitor: Visitor, request: Request) -> None:
        if self._board.is_turning:
            _answer_text(visitor, request, HTTPStatus.OK, "alive")
        else:
            still = time.monotonic() - self._board.turned_at
            _answer_text(
                visitor, request, HTTPStatus.SERVICE_UNAVAILABLE,
                f"the receiver's loop has not turned for {still:.0f} s",
            )  # fmt: skip

    def _answer_readiness(self, visitor: Visitor, request: Request) -> None:
        state = self._board.picture()
        if not self._board.is_turning or state is None:
            self._answer_health(visitor, request)
        elif state.is_ready:
            _answer_text(visitor, request, HTTPStatus.OK, "ready")
        else:
            _answer_text(
                visitor, request, HTTPStatus.SERVICE_UNAVAILABLE, " ".join(state.trouble.split())
            )

    def _answer_metrics(self, visitor: Visitor, request: Request) -> None:
        state = self._state()
        text = render_metrics(state, self._board, self._journals(state))
        body = text.encode("utf-8", "backslashreplace")
        visitor.answer(
            make_answer(HTTPStatus.OK, body, CONTENT_TYPE, is_head=request.is_head)
        )  # fmt: skip

    def _answer_status(self, visitor: Visitor, request: Request) -> None:
        fields = self._state().as_fields()
        fields["epoch"] = self._board.epoch
        body = json.dumps(fields, ensure_ascii=True).encode("ascii")
        visitor.answer(
            make_answer(HTTPStatus.OK, body, "application/json", is_head=request.is_head)
        )  # fmt: skip

    def _state(self) -> ReceiverState:
        state = self._board.picture()
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
