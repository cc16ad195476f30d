"""What the package says on stderr: one line, which no terminal obeys and no application sees."""

from __future__ import annotations

import io

import pytest

from loguru_stdbridge.system.stderr import tell_operator


def test_a_message_is_one_line_of_printable_ascii(capfd):
    """Escape sequences, new lines, and what a terminal's encoding may lack are escaped."""
    tell_operator("me", "\x1b[2J\n\r\x7f\x9b é 漢 \ud83d \\ 'quoted'")
    assert capfd.readouterr().err == (
        "me: \\x1b[2J\\x0a\\x0d\\x7f\\x9b \\xe9 \\u6f22 \\ud83d \\ 'quoted'\n"
    )


class Broken:
    def write(self, text):
        raise OSError("closed")


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_stderr_that_fails_is_no_error(monkeypatch, stream):
    """A message that cannot be written is lost, and its caller goes on."""
    monkeypatch.setattr("sys.__stderr__", stream)
    tell_operator("me", "lost")


def test_a_message_does_not_go_to_the_stream_of_an_application(monkeypatch, capfd):
    """An application's own sys.stderr may log, and so would the message: for ever."""
    logging_stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", logging_stream)
    tell_operator("me", "hello")
    assert logging_stream.getvalue() == ""
    assert capfd.readouterr().err == "me: hello\n"
