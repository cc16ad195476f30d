"""Line formats: which formats may go over the wire, and what names one."""

import pytest

from loguru_stdbridge.record.line_format import (
    MAX_FORMAT,
    LineFormat,
    make_line_format,
    plain_format,
    split_time,
)

DEFAULT = (
    "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> | <level>{level: <8}</level> | "
    "<cyan>{name}</cyan>:<cyan>{function}</cyan>:<cyan>{line}</cyan> - <level>{message}</level>"
)


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        (DEFAULT, ("time", "level", "name", "function", "line", "message")),
        ("{message}", ("message",)),
        ("no field at all", ()),
        ("{{literal}} {level.no:>3} {level.icon} {file.path} {thread.id} {process.name!r:>12}",
         ("level", "file", "thread", "process")),
        ("{time:[year 2024] YYYY}", ("time",)),
        ("{elapsed} {exception} {module}", ("elapsed", "exception", "module")),
        ("<b><LIGHT-RED>{line: <8}</LIGHT-RED></b> <lvl>{name:<9}</> <k><Y>x</Y></k>", ("line", "name")),
    ],
)  # fmt: skip
def test_a_plain_format_is_taken(template, fields):
    """A format of record fields, their documented attributes and short specifications is taken."""
    line_format = make_line_format(template, 20)
    assert line_format is not None
    assert line_format.fields == fields


@pytest.mark.parametrize(
    "template",
    [
        "{process.__init__.__globals__}", "{message.__class__}", "{level.no.real}", "{file.id}",
        "{extra}", "{extra[user]}", "{extra.__class__}", "{0}", "{}", "{unknown}", "{message[0]}",
        "{message:>999999999}", "{message:.99999}", "{line:05000d}", "{time!s:>99999999}",
        "{message}" * 5, "{line:>999}{level:>999}" * 30, "{line:c}", "{level.no:>3c}",
        "{message:{line}}", "{", "}", "{message!x}", "<sparkling>{message}</sparkling>", "<fg #00005f>{message}</fg #00005f>", "x" * (MAX_FORMAT + 1), 5, None, b"{message}",
    ],
)  # fmt: skip
def test_a_format_that_reaches_further_is_none(template):
    """A format that reaches an application's objects, takes gigabytes or may raise is refused."""
    assert make_line_format(template, 20) is None


@pytest.mark.parametrize("level", [True, 20.0, "INFO", None])
def test_a_level_is_a_number(level):
    """A line format whose level is no number is refused."""
    assert make_line_format("{message}", level) is None


def test_the_id_names_format_and_level():
    """The id is equal on both sides, differs for any other format, and is plain hex digits."""
    assert LineFormat("{message}", 20).id == make_line_format("{message}", 20).id
    ids = {LineFormat(text, level).id for text in ("{message}", "{line}") for level in (10, 20)}
    assert len(ids) == 4
    assert all(len(format_id) == 16 and int(format_id, 16) >= 0 for format_id in ids)


@pytest.mark.parametrize(
    ("template", "plain"),
    [
        (DEFAULT, "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {name}:{function}:{line} - {message}"),
        ("{message:<>10} {{<b>{level!r:>3}</b>}}", "{message:<>10} {{{level!r:>3}}}"),
        ("{file.path} < {line}", "{file.path} < {line}"),
    ],
)  # fmt: skip
def test_the_plain_format_has_no_markup(template, plain):
    """The plain format lacks the markup of the literal text, and nothing else."""
    assert plain_format(template) == plain


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8}", ("", "YYYY-MM-DD HH:mm:ss.SSS", " | {level: <8}")),
        ("{{{{time:HH}} {time:HH} {{}}\n", ("{{time:HH} ", "HH", " {{}}\n")),
        ("{time:HH}{time:x}", ("", "HH", "{time:x}")),
        *((template, None) for template in (
            "no field", "", "{message} {time:HH}", "{time}", "{time!s:HH}", "{time:HH.SSSS}", "{time:HH Z}",
            "{time:HH!UTC}", "{time:%H}", "{time:x}", "{time:X}", "{time:[at] HH}",
        )),
    ],
)  # fmt: skip
def test_a_time_is_split_off_where_its_text_can_be_kept(template, parts):
    """A time is split off if it stands first, shows no more than milliseconds, and no zone."""
    assert split_time(template) == parts
