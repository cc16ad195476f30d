"""What in a stream's settings may lose records."""

from __future__ import annotations

import pytest

from loguru_stdbridge.engine.stream import find_risks

SOUND = {"storage": "file", "num_replicas": 3, "discard": "old", "max_age": 7 * 86400 * 10**9}


def test_a_sound_stream_has_no_risk():
    """Nothing is told of a stream on three disks that keeps longer than its reader is away."""
    assert find_risks({**SOUND, "max_bytes": 50 * 10**9, "max_msgs": -1}, 86400) == []


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"storage": "memory"}, "storage is memory"),
        ({"max_age": 3600 * 10**9}, "keeps messages for 3600 s"),
        ({"max_bytes": 10**6}, "max_bytes=1000000 removes"),
        ({"max_msgs": 1000}, "max_msgs=1000 removes"),
        ({"discard": "new", "max_bytes": 10**9}, "discard=new"),
        ({"no_ack": True}, "no_ack"),
        ({"num_replicas": 1}, "num_replicas=1"),
    ],
)
def test_a_setting_that_may_lose_records_is_told(setting, told):
    """Each setting that may lose records is one risk, with its value."""
    (risk,) = find_risks({**SOUND, **setting}, 86400)
    assert told in risk
