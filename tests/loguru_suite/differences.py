"""The tests of Loguru's that fail through the bridge on purpose, each with the reason.

A name is a pattern: ``*`` stands for anything, for the parameters of a test above all.
"""

from __future__ import annotations

FAILS_ELSEWHERE = "what fails in the receiver does not reach the log call"
WRITTEN_ALL_THE_SAME = "a record that a sink cannot format is written in a simpler form, not lost"
REFUSED = "refused at the start: a receiver keeps old lines, and writes many of them at once"
BACKGROUND = "a compression goes on in the background, while lines go into the next file"
OWN_NAMES_ONLY = "a retention removes only files whose names are this log's"
LEDGER_BESIDE = "the receiver's ledger lies in the log's directory, which is not empty then"

DIFFERENCES: dict[str, str] = {
    f"tests/{test}": reason
    for reason, tests in {
        FAILS_ELSEWHERE: [
            "test_filesink_compression.py::test_exception_during_compression_at_remove[*",
            "test_filesink_compression.py::test_exception_during_compression_at_rotation_not_caught*",
            "test_filesink_retention.py::test_exception_during_retention_at_remove[*",
            "test_filesink_retention.py::test_exception_during_retention_at_rotation*",
            "test_filesink_rotation.py::test_exception_during_rotation*",
        ],
        WRITTEN_ALL_THE_SAME: [
            "test_add_option_catch.py::test_unprintable_record",
            "test_configure.py::test_reset_previous_extra",
            "test_configure.py::test_reset_previous_patcher",
            "test_datetime.py::test_invalid_time_format*",
        ],
        REFUSED: [
            "test_add_option_kwargs.py::test_file_auto_buffering",
            "test_add_option_kwargs.py::test_file_line_buffering",
            "test_add_option_kwargs.py::test_file_mode_w",
            "test_filesink_watch.py::test_file_manually_changed",
        ],
        BACKGROUND: [
            "test_filesink_compression.py::test_exception_during_compression_at_rotation[*",
        ],
        OWN_NAMES_ONLY: [
            "test_filesink_retention.py::test_retention_time*",
        ],
        LEDGER_BESIDE: [
            "test_filesink_watch.py::test_file_folder_deleted",
        ],
    }.items()
    for test in tests
}
