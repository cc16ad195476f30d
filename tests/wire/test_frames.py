"""Frames: each stream whole, byte by byte, cut at random, and with bytes that follow."""

import random
import struct

import pytest

from loguru_stdbridge.exceptions import FrameError
from loguru_stdbridge.wire.frames import FrameDecoder, SkippedFrame, encode_frame

PAYLOADS = [b"", b"a", b"bc" * 50, b"\0\0\0\5", b"x" * 70_000]
STREAM = b"".join(encode_frame(payload) for payload in PAYLOADS)


def test_the_bytes_of_a_frame():
    """A frame is what SocketHandler writes: a big-endian length of 4 bytes and the payload."""
    assert encode_frame(b"abc") == b"\x00\x00\x00\x03abc"


def test_a_stream_is_decoded_whole():
    """All frames of one read come out in order, the empty one too."""
    decoder = FrameDecoder()
    assert decoder.feed(STREAM) == PAYLOADS
    assert decoder.pending_bytes == 0
    decoder.end()


def test_a_stream_is_decoded_byte_by_byte():
    """A stream cut at every byte gives its frames; the logging cookbook's receiver drops it there."""
    decoder = FrameDecoder()
    stream = STREAM[:2000]
    found = [p for i in range(len(stream)) for p in decoder.feed(stream[i : i + 1])]
    assert found == PAYLOADS[:4]


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_is_decoded_from_random_cuts(seed):
    """A stream cut at random gives the same payloads."""
    rng = random.Random(seed)
    decoder, found, position = FrameDecoder(), [], 0
    while position < len(STREAM):
        size = rng.choice([1, 3, 4, 5, 1000, 65536])
        found += decoder.feed(STREAM[position : position + size])
        position += size
    assert found == PAYLOADS, f"seed {seed}"


@pytest.mark.parametrize("cut", range(1, 7))
def test_an_end_inside_a_frame_is_an_error(cut):
    """A stream that ends inside a frame, its length prefix included, says so."""
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"abc")[:cut])
    with pytest.raises(FrameError, match="inside a frame"):
        decoder.end()


@pytest.mark.parametrize("length", [101, 2**31, 2**32 - 1, *struct.unpack(">2L", b"GET / HT")])
def test_a_length_beyond_the_limit_is_refused_before_it_is_allocated(length):
    """The error of a too large length has the length, the limit, and the payloads before it."""
    decoder = FrameDecoder(max_payload=100)
    with pytest.raises(FrameError, match=f"{length} bytes .* limit of 100") as caught:
        decoder.feed(encode_frame(b"good") + struct.pack(">L", length) + b"x" * 8)
    assert caught.value.completed == [b"good"]


@pytest.mark.parametrize("seed", range(20))
def test_a_frame_beyond_the_limit_is_read_past(seed):
    """A frame that is too large leaves a mark of its length, however it is cut, and no bytes."""
    rng = random.Random(seed)
    sizes = [rng.choice([0, 99, 100, 101, 5000, 9999, 10_000]) for _ in range(12)]
    stream = b"".join(encode_frame(bytes(size)) for size in sizes)
    decoder, found, position = FrameDecoder(100, 10_000), [], 0
    while position < len(stream):
        size = rng.choice([1, 3, 4, 5, 99, 1000, 65536])
        found += decoder.feed(stream[position : position + size])
        assert decoder.pending_bytes <= 104
        position += size
    assert found == [bytes(size) if size <= 100 else SkippedFrame(size) for size in sizes]
    decoder.end()
    decoder.feed(encode_frame(bytes(5000))[:50])
    with pytest.raises(FrameError, match="4954 bytes did not come"):
        decoder.end()


def test_the_limit_itself_is_taken():
    """A payload of exactly the limit is no error."""
    decoder = FrameDecoder(max_payload=100)
    assert decoder.feed(encode_frame(b"x" * 100)) == [b"x" * 100]


def test_an_incomplete_frame_is_counted():
    """The bytes held of an incomplete frame are counted, so that a receiver can bound them."""
    decoder = FrameDecoder()
    decoder.feed(encode_frame(b"a") + encode_frame(b"x" * 1000)[:500])
    assert decoder.pending_bytes == 500
