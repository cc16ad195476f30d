"""A receiver's files are those that ``logger.add`` would have made, whoever renders the lines."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import threading

import pytest
from loguru import logger

from loguru_stdbridge import ConfigurationError, install_bridge, start_receiver
from loguru_stdbridge.sink_words import parse_sink_words, read_sink_words
from tests.support.processes import ReceiverProcess

pytestmark = pytest.mark.usefixtures("quiet_loguru")


def at_one_time(record):
    """Give a record the same time in every run."""
    record["time"] = type(record["time"]).fromtimestamp(1.7e9, datetime.timezone.utc)
    record["elapsed"] = datetime.timedelta(seconds=1)


def files_in(directory):
    """Return the bytes of each file in a directory, hidden ones left out; those in an archive."""
    return {
        path.name: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in sorted(directory.iterdir())
        if not path.name.startswith(".")
    }


@pytest.fixture(params=["worker", "receiver"])
def beside(request, tmp_path):
    """Return a function that makes calls with a local sink and through a bridge, side by side.

    It returns the files of both. The first calls may be made before the receiver has greeted.
    """

    def run(calls, *, name="app.log", before=lambda directory: None, **options):
        options.setdefault("format", "{message}")
        places = [tmp_path / "local", tmp_path / "bridge"]
        for place in places:
            place.mkdir()
            before(place)
        handler = logger.add(places[0] / name, catch=False, **options)
        with start_receiver(
            places[1] / name, address="tcp://127.0.0.1:0", render=request.param, spool_dir=False,
            **options,
        ) as receiver:  # fmt: skip
            with install_bridge(
                receiver.address, stdlib=False, spool_dir=tmp_path / "spool"
            ) as bridge:
                calls(logger.patch(at_one_time))
                logger.remove(handler)
                assert bridge.flush(20)
        return [files_in(place) for place in places]

    return run


@pytest.mark.parametrize("newline", [None, "", "\r", "\r\n"])
def test_a_line_ends_as_the_sink_says(beside, newline):
    """A line ends with the sink's ``newline``, a message of several lines and a raw one too."""

    def calls(log):
        log.info("one\ntwo\r\nthree é")
        log.opt(raw=True).info("raw\n")
        log.info("four")

    local, bridge = beside(calls, newline=newline)
    assert bridge == local
    assert local["app.log"]


def test_files_rotate_at_the_same_line_with_every_newline(beside):
    """A line end of two bytes counts for the size at which a file is rotated."""

    def calls(log):
        for number in range(60):
            log.info("line {}", number)

    local, bridge = beside(calls, newline="\r\n", rotation=100)
    assert sorted(bridge.values()) == sorted(local.values())
    assert len(local) > 5


@pytest.mark.parametrize(
    ("option", "told"),
    [({"newline": "x"}, "newline='x'.*or leave it out"), ({"errors": "x"}, "errors='x'.*replace")],
)
def test_an_impossible_newline_and_unknown_errors_are_refused(tmp_path, option, told):
    """A ``newline`` that no file can have, and unknown ``errors``, are refused with a way out."""
    with pytest.raises(ConfigurationError, match=told):
        start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", **option)


def has_lists():
    """Return whether this loguru takes a list of rotations."""
    try:
        logger.remove(logger.add(os.devnull, rotation=["1 MB"], delay=True))
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(
    "rotation",
    [
        ["1 week", 60],
        [70, lambda message, file: message.record["message"] == "line 7"],
        [["1 day", "10 MB"], 60],
    ],
    ids=["time and size", "size and function", "a list in a list"],
)
def test_several_rotations_cut_the_same_files(beside, rotation, tmp_path):
    """A list of rotations cuts the files of a local sink, or is refused as by loguru."""

    def calls(log):
        for number in range(30):
            log.info("line {}", number)

    if has_lists():
        local, bridge = beside(calls, rotation=rotation)
        assert sorted(bridge.values()) == sorted(local.values())
        assert len(local) > 3
    else:
        with pytest.raises(TypeError, match="type: 'list'"):
            start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", rotation=rotation)


@pytest.mark.parametrize("kind", ["gz", "function"])
@pytest.mark.parametrize("old", ["an old line\n", None])
def test_a_file_that_got_no_line_is_compressed_at_the_end(beside, kind, old):
    """A file without a rotation is compressed when its receiver ends, also without a new line."""
    seen = []

    def note(path):
        seen.append(os.path.basename(path))

    def before(directory):
        if old is not None:
            (directory / "app.log").write_text(old)

    options = {"compression": "gz" if kind == "gz" else note}
    local, bridge = beside(lambda log: None, before=before, **options)
    assert bridge == local
    assert list(local) == ["app.log.gz" if kind == "gz" else "app.log"]
    assert seen == ([] if kind == "gz" else ["app.log", "app.log"])


@pytest.mark.parametrize("kind", ["gz", "function"])
def test_a_watched_file_that_was_removed_is_compressed_at_the_end(beside, tmp_path, kind):
    """A watched file that somebody has removed is made anew at the end, and compressed."""
    seen = []

    def calls(log):
        for place in ("local", "bridge"):
            os.remove(tmp_path / place / "app.log")

    options = {"compression": "gz" if kind == "gz" else lambda path: seen.append(path)}
    local, bridge = beside(calls, watch=True, **options)
    assert bridge == local
    assert list(local) == ["app.log.gz" if kind == "gz" else "app.log"]
    assert len(seen) == (2 if kind == "function" else 0)


def test_an_archive_in_the_way_is_set_aside_under_loguru_s_name(beside):
    """An archive of the same name gets the date of its creation, as loguru has it."""

    def before(directory):
        (directory / "app.log.gz").write_bytes(gzip.compress(b"older\n", mtime=0))
        os.utime(directory / "app.log.gz", (1.6e9, 1.6e9))

    local, bridge = beside(lambda log: log.info("newer"), before=before, compression="gz")
    assert bridge == local
    assert sorted(local.values()) == [b"newer\n", b"older\n"]


class RefusedError(KeyError):
    """An exception of the application's."""


def is_division(record):
    return record["exception"].type is ZeroDivisionError


def is_lookup(record):
    return issubclass(record["exception"].type, LookupError)


def has_value(record):
    value = record["exception"].value
    return isinstance(value, ArithmeticError) and str(value) == "division by zero"


@pytest.mark.parametrize("wanted", [is_division, is_lookup, has_value])
def test_a_filter_may_ask_for_an_exception_s_type(beside, wanted):
    """A filter that asks for a builtin exception, or for what derives from one, finds it."""

    def calls(log):
        for raised in (ZeroDivisionError("division by zero"), RefusedError("x"), IndexError("i"),
                       UnicodeDecodeError("utf8", b"", 0, 1, "r"), OSError(2, "no")):  # fmt: skip
            log.opt(exception=raised).error("{}", type(raised).__name__)

    local, bridge = beside(calls, filter=wanted)
    assert bridge == local
    assert local["app.log"]


def test_a_class_of_the_application_s_says_that_it_is_a_stand_in(tmp_path):
    """A class that is no builtin stands for the application's, under its name and another module."""
    seen = []

    def look(record):
        seen.append(record["exception"].type)
        return True

    with start_receiver(tmp_path / "a.log", address="tcp://127.0.0.1:0", filter=look) as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            for kind in (type("ZeroDivisionError", (ValueError,), {}), RefusedError):
                logger.opt(exception=kind("x")).error("failed")
            assert bridge.flush(20)
    assert [f"{kind.__module__}.{kind.__name__}" for kind in seen[-2:]] == [
        "another_process.ZeroDivisionError", "another_process.RefusedError"
    ]  # fmt: skip
    assert issubclass(seen[-2], ValueError) and seen[-2] is not ZeroDivisionError


@pytest.fixture
def own_levels():
    """Let a test add and edit levels, and take them out again."""
    core = logger._core
    names = ("levels", "levels_lookup", "levels_ansi_codes")
    saved = {name: dict(getattr(core, name)) for name in names}
    yield
    for name, value in saved.items():
        setattr(core, name, value)


@pytest.fixture
def audit(own_levels):
    """Add a level as an application does."""
    logger.level("AUDIT", no=27, color="<yellow>", icon="@")


def log_around_audit(log):
    for level in ("INFO", "AUDIT", 26, 28, "ERROR"):
        log.log(level, "at {}", level)


@pytest.mark.parametrize("options", [{"level": "AUDIT"}, {"filter": {"": "AUDIT"}}])
def test_a_level_of_the_application_s_is_known_to_a_receiver_in_its_process(beside, audit, options):
    """A level that the application has added may be a sink's ``level``, and stand in ``filter``."""
    local, bridge = beside(log_around_audit, **options)
    assert bridge == local
    assert local["app.log"] == b"at AUDIT\nat 28\nat ERROR\n"


def test_a_level_of_the_application_s_is_told_to_a_process_of_its_own(tmp_path, audit):
    """A receiver in another process gets the numbers of such levels, and the other four words."""
    sink = tmp_path / "app.log"
    with install_bridge(
        sink=sink, format="<level>{message}</level>", filter={"": "AUDIT", "noisy": False},
        colorize=True, encoding="ascii", errors="replace", newline="\r\n", linger=0.1,
        stdlib=False,
    ) as bridge:  # fmt: skip
        log_around_audit(logger)
        logger.log("AUDIT", "é")
        assert bridge.flush(20)
    lines = sink.read_bytes().split(b"\r\n")
    assert lines[0] == b"\x1b[33mat AUDIT\x1b[0m"
    assert lines[1:] == [b"at 28\x1b[0m", b"\x1b[31m\x1b[1mat ERROR\x1b[0m",
                         b"\x1b[33m?\x1b[0m", b""]  # fmt: skip


def test_a_level_that_nobody_here_knows_is_refused_with_a_way_out(tmp_path):
    """A receiver that does not know a level's name says so, and asks for its number."""
    with pytest.raises(ConfigurationError, match="'NOWHERE' does not exist; .* give its number"):
        start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", level="NOWHERE")


WORDS = {
    "rotation": ["1 MB", "00:00", 1000], "filter": {"": 27, "shop": False, "a.b": "INFO"},
    "colorize": True, "errors": "replace", "newline": "\r\n",
}  # fmt: skip


def test_the_words_go_to_another_process_and_back(tmp_path):
    """Lists, mappings and line ends are texts on the command line, and come out as they were."""
    words = read_sink_words(tmp_path / "app.log", WORDS)
    assert parse_sink_words(dict(words.words)) == WORDS
    again = read_sink_words(tmp_path / "app.log", dict(words.words))
    assert again.command_line() == words.command_line()
    assert "--colorize" in words.command_line() and "--newline=crlf" in words.command_line()


@pytest.mark.parametrize(("text", "way_out"), [("{x", '{"": "INFO"'), ('{"a": 1', "no JSON")])
def test_a_filter_that_is_no_json_is_refused(text, way_out):
    """A ``--filter`` that begins like a mapping and is none is refused with an example."""
    with pytest.raises(ConfigurationError, match=way_out):
        parse_sink_words({"filter": text})


def test_the_command_line_has_the_words_for_each_sink(tmp_path):
    """The command line takes ``--filter``, ``--colorize``, ``--errors``, ``--newline`` per sink."""
    options = [
        "--format", "<red>{message}</red>", "--colorize", "--newline", "crlf",
        "--filter", json.dumps({"": "INFO", __name__: "WARNING"}),
        "--sink", str(tmp_path / "b.log"), "--format", "{message}", "--filter", __name__,
        "--encoding", "ascii", "--errors", "xmlcharrefreplace",
    ]  # fmt: skip
    with ReceiverProcess(tmp_path / "a.log", *options) as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            logger.info("é one")
            logger.warning("é two")
            assert bridge.flush(20)
    assert (tmp_path / "a.log").read_bytes() == "\x1b[31mé two\x1b[0m\r\n".encode()
    assert (tmp_path / "b.log").read_bytes() == b"&#233; one\n&#233; two\n"


class Money:
    """A value whose class formats it in its own ways."""

    def __format__(self, specification):
        if specification == "wrong":
            raise ValueError("no such form")
        return {"": "3.5", "long": "3.50 EUR", "two": "3.5\n0"}.get(specification, "?")

    def __str__(self):
        return "money"


class Ratio(float):
    """A subclass of a builtin, as numerical packages have them."""

    def __repr__(self):
        return f"Ratio({float(self)})"


class Stamp(datetime.datetime):
    """A datetime of a class of its own."""


@pytest.mark.parametrize(
    "template",
    [
        "{extra[m]} {extra[m]:long} {extra[m]!s:>7} {message}",
        "{extra[r]:.2f} {extra[r]} {extra[r]!r} {extra[l][1]:two} {extra[d][k]}",
        "{extra[t]:%d.%m.%Y} {own:long} {own} {message:>20}",
    ],
)
@pytest.mark.parametrize("serialize", [False, True])
def test_a_value_s_own_format_is_called_with_the_sink_s_specification(beside, template, serialize):
    """A value of any class is formatted by its own class, as the sink's format says."""

    def calls(log):
        log = log.patch(lambda record: record.update(own=Money()))
        values = {"m": Money(), "r": Ratio(2 / 3), "t": Stamp(2024, 5, 6)}
        log.bind(**values, l=[1, Money()], d={"k": Money()}).info("x")
        log.bind(**values, l=["a", Money()], d={"k": 5.5}).opt(exception=KeyError("k")).info("y")

    options = {"serialize": True} if serialize else {}
    local, bridge = beside(calls, format=template, **options)
    if serialize:
        texts = [[json.loads(line)["text"] for line in found["app.log"].splitlines()]
                 for found in (local, bridge)]  # fmt: skip
        assert texts[0] == texts[1]
    else:
        assert bridge == local


def log_colors(log):
    """Log marked messages of every kind."""
    log = log.opt(colors=True)
    log.info("plain <red>red</red> <bold>bold <green>green</green></bold>")
    log.warning("<level>of the level</level> and {} and <bg #00ff00>{}</bg #00ff00>", "<red>", 5)
    log.info("no marks \\<red> é <fg 200>é</fg 200>")
    log.opt(raw=True).info("<yellow>raw</yellow> and <level>level</level>\n")
    log.patch(lambda record: record.update(message="<blue>changed</blue>")).info("<red>x</red>")
    log.opt(lazy=True).info("<cyan>{}</cyan>", lambda: "late")
    log.opt(exception=ValueError("v")).error("<red>failed</red>")
    log.opt(colors=False).info("<red>no markup</red> \x1b[31m own codes \x1b[0m")
    log.log(35, "<level>by number</level>")


@pytest.mark.parametrize(
    "template",
    ["<level>{message}</level>", "<blue>{message}</blue> {message:.>90}| <level>{level}</level>",
     "{message}", lambda record: "<green>{message} <level>{level}</level></green>\n{exception}"],
)  # fmt: skip
@pytest.mark.parametrize("colorize", [True, False])
def test_the_colors_of_a_message_are_those_of_a_local_sink(beside, template, colorize):
    """Markup of ``opt(colors=True)`` is painted as in a local sink, or taken out as there."""
    local, bridge = beside(log_colors, format=template, colorize=colorize)
    assert bridge == local
    assert (b"\x1b[31mred" in local["app.log"]) == colorize


def fail(value):
    quotient = {"a": "two\nlines", "b": value}
    return 1 / quotient["b"]


class Shown:
    """Counts how often it is shown, and shows characters that tracebacks are drawn with."""

    count = 0

    def __repr__(self):
        Shown.count += 1
        return "a └ b │ c\nsecond line"


def log_tracebacks(log):
    """Log exceptions of several kinds, from a thread: its tracebacks do not show the whole test."""
    thread = threading.Thread(target=_log_tracebacks, args=(log,))
    thread.start()
    thread.join()


def _log_tracebacks(log):
    shown = Shown()
    for number in range(2):
        try:
            assert fail(number), shown
            fail(shown and 0)
        except Exception:
            log.exception("caught {}", number)
    try:
        try:
            fail(0)
        except ZeroDivisionError as error:
            raise RefusedError("the cause: a colon") from error
    except RefusedError:
        log.opt(exception=True, colors=True).warning("<red>with</red> a cause")

    @log.catch(reraise=False)
    def caught():
        raise ValueError("in a decorator")

    caught()
    log.opt(exception=SyntaxError("bad", ("f.py", 1, 2, "a b\n"))).error("never raised")


@pytest.mark.parametrize("colorize", [False, True])
@pytest.mark.parametrize("encoding", ["utf8", "cp1252", "cp437"])
def test_a_traceback_is_painted_and_drawn_as_in_a_local_sink(beside, colorize, encoding):
    """A traceback has the sink's colours, and the drawings that its encoding has."""
    options = {"colorize": colorize, "encoding": encoding, "errors": "backslashreplace"}
    options["level"] = 0  # a traceback shows the logger, which shows the levels of its sinks
    local, bridge = beside(log_tracebacks, format="<red>{message}</red>", **options)
    assert bridge == local
    assert (b"\x1b[" in local["app.log"]) == colorize
    drawn = "└ {'a'".encode() if encoding == "utf8" else b"-> {'a'"
    if encoding != "cp437" and not colorize:
        assert drawn in local["app.log"]


def test_a_value_in_a_traceback_is_shown_once(tmp_path):
    """The ``repr`` of a variable is called as often as by one local sink, whatever is rendered."""
    counts = []
    for way in ("local", "bridge"):
        Shown.count = 0
        if way == "local":
            handler = logger.add(tmp_path / "local.log")
            log_tracebacks(logger)
            logger.remove(handler)
        else:
            address = "tcp://127.0.0.1:1"  # nobody is there, so every look is rendered
            bridge = install_bridge(address, stdlib=False, spool_dir=tmp_path / "spool")
            log_tracebacks(logger)
            bridge.close(0)
        counts.append(Shown.count)
    assert counts[0] == counts[1] > 0


def test_the_looks_of_an_unknown_receiver_s_tracebacks_are_all_there(tmp_path):
    """What is logged before any receiver was there is painted by the one that comes later."""
    logs = [tmp_path / "local.log", tmp_path / "bridge.log"]
    options = {"format": "{message}", "colorize": True, "encoding": "ascii", "errors": "replace"}
    handler = logger.add(logs[0], **options)
    address = f"unix://{tmp_path}/socket"
    with install_bridge(address, stdlib=False, spool_dir=tmp_path / "spool") as bridge:
        log_tracebacks(logger)
        logger.remove(handler)
        with start_receiver(logs[1], address=address, **options):
            assert bridge.flush(20)
    local, bridged = (path.read_bytes() for path in logs)
    assert bridged == local


def test_several_sinks_have_each_its_look(tmp_path):
    """Two sinks of one receiver show the same traceback, each with its colours and drawings."""
    looks = {"a": {"colorize": True}, "b": {"encoding": "ascii", "errors": "replace"}, "c": {}}
    handlers = [{"sink": tmp_path / f"{name}.log", "format": "{message}", "level": 0, **look}
                for name, look in looks.items()]  # fmt: skip
    added = [logger.add(tmp_path / f"local {name}.log", format="{message}", level=0, **look)
             for name, look in looks.items()]  # fmt: skip
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0") as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            log_tracebacks(logger)
            assert bridge.flush(20)
            log_tracebacks(logger)
    for handler in added:
        logger.remove(handler)
    for name in looks:
        local, bridged = (tmp_path / f"local {name}.log", tmp_path / f"{name}.log")
        assert bridged.read_bytes() == local.read_bytes()


def test_a_level_s_look_may_change_at_any_time(beside, own_levels):
    """A level that the application edits later has its new colour and icon from then on."""

    def calls(log):
        for color, icon in (("<red>", "1"), ("<blue>", "2"), ("<yellow><bold>", "3")):
            logger.level("INFO", color=color, icon=icon)
            log.info("painted")
            log.opt(exception=ValueError("v")).info("painted, too")
        logger.level("INFO", color="<bold>", icon="i")

    template = "<level>{message}</level> {level.icon}"
    local, bridge = beside(calls, format=template, colorize=True)
    assert bridge == local


def test_a_level_by_number_is_not_painted_as_one_of_that_name(beside, own_levels):
    """``logger.log(15)`` has no colour, also where a level is named ``Level 15``."""
    logger.level("Level 15", no=33, color="<red>", icon="!")

    def calls(log):
        for level in (15, "Level 15"):
            log.log(level, "painted")
            log.opt(exception=ValueError("v")).log(level, "painted, too")
            log.opt(raw=True, colors=True).log(level, "<level>raw</level>\n")

    template = "<level>{message}</level> {level} {level.icon}"
    local, bridge = beside(calls, format=template, colorize=True, level=0)
    assert bridge == local
    assert b"\x1b[31mpainted" in local["app.log"] and b"\npainted" in b"\n" + local["app.log"]


def test_a_call_below_the_sink_s_level_evaluates_nothing(tmp_path):
    """Once the receiver has told its sinks' least level, a call below it is none for loguru."""
    handlers = [{"sink": tmp_path / "a.log", "level": "ERROR"},
                {"sink": tmp_path / "b.log", "level": "INFO"}]  # fmt: skip
    called = []
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0") as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            logger.info("greeted")
            assert bridge.flush(20)
            assert logger._core.min_level == 20
            accepted = bridge.stats().accepted
            logger.opt(lazy=True).debug("{}", lambda: called.append("evaluated"))
            logger.debug("{} {} {}", "too few")
            assert (called, bridge.stats().accepted) == ([], accepted)
    assert logger._core.min_level == float("inf")


def test_another_level_is_taken_at_once(tmp_path):
    """A receiver that comes with another level is followed, up and down, in every logger call."""
    address = f"unix://{tmp_path}/socket"
    seen = []
    with install_bridge(address, stdlib=False, spool_dir=tmp_path / "spool") as bridge:
        for level in ("INFO", "ERROR", "TRACE"):
            with start_receiver(tmp_path / "a.log", address=address, level=level):
                logger.critical("greeted")
                assert bridge.flush(20)
                handler = logger.add(lambda message: None, level="WARNING")
                seen.append(logger._core.min_level)
                logger.remove(handler)
                seen.append(logger._core.min_level)
            logger.critical("waits")
    assert seen == [20, 20, 30, 40, 5, 5]


def test_a_level_that_is_asked_for_is_sent_all_the_same(tmp_path):
    """``install_bridge(level=...)`` says what is sent, whatever the sink takes."""
    with start_receiver(tmp_path / "a.log", address="tcp://127.0.0.1:0", level="ERROR") as receiver:
        with install_bridge(receiver.address, stdlib=False, level="DEBUG") as bridge:
            logger.error("greeted")
            assert bridge.flush(20)
            logger.debug("sent")
            assert bridge.stats().accepted == 2
