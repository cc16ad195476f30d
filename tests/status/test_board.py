"""The board counts what was written, keeps the newest, and shows nothing too early."""

from __future__ import annotations

import threading
import time

from loguru_stdbridge.receiver.writer import Writer
from loguru_stdbridge.record.row import Row
from loguru_stdbridge.sink.replay import Replay
from loguru_stdbridge.status import board as board_module
from loguru_stdbridge.status.board import MAX_LEVELS, Board, Histogram
from loguru_stdbridge.status.pieces import Piece, split_pieces
from tests.receiver.test_writer import FORMAT_ID, ONE, TWO, Sink, rendered, row


def line(text, no=20, name="INFO", at=0):
    return [4, at or time.time_ns(), no, name, FORMAT_ID, f"{text}\n"]


def numbers(chunks):
    return [number for chunk in chunks for number in range(chunk.first, chunk.last + 1)]


def test_records_are_counted_by_source_and_level():
    """A board counts rendered rows and whole records by source and level, and errors apart."""
    board = Board()
    board.show([Piece(ONE, [line("a"), line("b", 40, "ERROR")], 10), Piece(None, [row("c")], 5)])
    assert board.counts == {("worker", "INFO"): 1, ("worker", "ERROR"): 1, ("stock", "INFO"): 1}
    assert board.errors == 1
    assert board.written == 3


def test_what_the_sink_leaves_out_is_not_shown():
    """A board shows no record that the sink's level has left out."""
    board = Board()
    board.show([Piece(ONE, [None, row("b"), None], 10, True), Piece(ONE, [None], 1, True)])
    assert board.written == 1
    assert [each.message for chunk in board.take() for each in chunk.rows] == ["b"]


def test_levels_that_peers_make_up_are_bounded():
    """A board counts so many names of levels apart, and the rest together, whatever their type."""
    board = Board()
    names = [*map(str, range(3 * MAX_LEVELS)), "x" * 1000, ["list"], None, 7]
    for name in names:
        board.show([Piece(ONE, [line("a", 20, name)], 10)])
    assert len(board.counts) == MAX_LEVELS + 1
    assert sum(board.counts.values()) == board.written == len(names)


def test_the_oldest_go_where_nobody_looks(monkeypatch):
    """A board that nobody reads keeps the newest records, within its bounds."""
    monkeypatch.setattr(board_module, "MAX_ROWS_KEPT", 100)
    board = Board()
    for _ in range(50):
        board.show([Piece(ONE, [line("a")] * 7, 70)])
    kept = numbers(board.take())
    assert kept[-1] == 350
    assert 100 <= len(kept) < 107
    monkeypatch.setattr(board_module, "MAX_BYTES_KEPT", 1000)
    for _ in range(50):
        board.show([Piece(ONE, [line("a")], 300)])
    assert numbers(board.take()) == [398, 399, 400]


def test_a_reader_beside_the_loop_misses_nothing_that_was_kept(monkeypatch):
    """A reader that takes while the loop shows gets numbers that rise, and what it misses is gone."""
    monkeypatch.setattr(board_module, "MAX_ROWS_KEPT", 50)
    board = Board()
    taken = []
    done = threading.Event()

    def read():
        while not done.is_set():
            taken.extend(numbers(board.take()))
        taken.extend(numbers(board.take()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3000):
        board.show([Piece(ONE, [line("a")] * 3, 30)])
    done.set()
    reader.join()
    assert taken == sorted(set(taken))
    assert taken[-1] == 9000
    assert board._fresh_rows - board._taken_rows == 0
    assert board._fresh_bytes - board._taken_bytes == 0


def test_the_writer_shows_what_is_in_the_file_and_nothing_else():
    """A writer shows its records after their write; after one that failed, those that are written."""
    sink, board = Sink(), Board()
    writer = Writer(
        Replay(format="{message}", level=20), sink, lambda text: None, format_id=FORMAT_ID
    )
    writer.take_rows(ONE, 1, [rendered("held before\n")])
    writer.show_to(board)
    writer.take_rows(ONE, 2, [rendered("a\n"), rendered("b\n")])
    writer.take(row("too low")._replace(level_no=10, level_name="DEBUG"), TWO, 1)
    writer.take_stock([row("c"), row("d")])
    assert board.take() == []
    sink.fails_after = 4
    writer.write()
    shown = [each for chunk in board.take() for each in chunk.rows]
    assert [each[5] for each in shown] == ["a\n", "b\n"]
    assert writer.trouble == "no room"
    assert writer.errors == 1
    assert writer.lines == 3
    sink.fails_after, writer.retry_at = None, 0.0
    writer.write()
    shown = [each for chunk in board.take() for each in chunk.rows]
    assert [each.message for each in shown] == ["c", "d"]
    assert all(isinstance(each, Row) for each in shown)
    assert writer.trouble == ""
    assert writer.lines == 5
    assert board.written == 4


def test_pieces_are_split_where_a_write_has_failed():
    """Pieces are split behind any number of records, and none is lost or doubled."""
    pieces = [Piece(ONE, [1, 2, 3], 30), Piece(None, [4], 10), Piece(TWO, [5, 6], 20)]
    for count in range(8):
        before, behind = split_pieces(pieces, count)
        assert [x for p in before for x in p.rows] == [1, 2, 3, 4, 5, 6][:count]
        assert [x for p in behind for x in p.rows] == [1, 2, 3, 4, 5, 6][count:]
        assert sum(p.size for p in [*before, *behind]) == 60


def test_a_histogram_counts_what_is_not_above_each_bound():
    """A histogram's counts are cumulative, and a value on a bound is below it."""
    histogram = Histogram([1, 2])
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.add(value)
    assert histogram.cumulative() == [2, 4, 5]
    assert histogram.total == 8


def test_a_loop_that_hangs_is_told_from_one_that_turns():
    """A board tells that the loop has not turned for long, and waits for no picture of it."""
    board = Board()
    assert board.is_turning
    board.turned_at -= 60
    assert not board.is_turning
    assert board.picture(60) is None
