"""A spool's secret is made once, and an answer is right for one nonce and one address only."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.spool import proof as module
from loguru_stdbridge.spool.proof import (
    ReceiverProof,
    answer_nonce,
    make_secret,
    prepare_to_prove,
    read_secret,
)

LOOPBACK = parse_address("tcp://127.0.0.1:9020")
ELSEWHERE = parse_address("tcp://receiver.example:9020")


def proof_of(spool, address=ELSEWHERE):
    prepare_to_prove(str(spool), address)
    return ReceiverProof.of(str(spool), address)


def test_a_secret_is_its_user_s_alone(tmp_path):
    """The secret has 32 random bytes and mode 0600, and stays what it is."""
    assert read_secret(str(tmp_path)) is None
    secret = make_secret(str(tmp_path))
    assert len(secret) == 32 and make_secret(str(tmp_path)) == secret == read_secret(str(tmp_path))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert make_secret(str(tmp_path / "other")) != secret


def test_a_secret_that_is_used_stays_young(tmp_path):
    """A receiver that answers sets the times of an old secret anew: cleaners go by them."""
    make_secret(str(tmp_path))
    os.utime(tmp_path / "secret", (1e9, 1e9))
    assert answer_nonce(str(tmp_path), "nonce", "place")
    assert (tmp_path / "secret").stat().st_mtime > 1e9


def test_many_that_make_a_secret_at_once_have_the_same(tmp_path, monkeypatch):
    """Of several receivers that make a secret at the same time one is first, and all take its."""
    everybody_looked = threading.Barrier(4)
    first_look, found = threading.local(), set()

    def look_together(spool_dir):
        if not hasattr(first_look, "over"):
            first_look.over = True
            everybody_looked.wait()
            return None
        return read_secret(spool_dir)

    monkeypatch.setattr(module, "read_secret", look_together)
    numbers = iter(range(1000, 2000))
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))  # each a process of its own
    threads = [
        threading.Thread(target=lambda: found.add(make_secret(str(tmp_path)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {read_secret(str(tmp_path))}
    assert os.listdir(tmp_path) == ["secret"]


def test_a_secret_that_is_cut_is_none(tmp_path):
    """A file of another size is no secret, for the worker and for the receiver."""
    (tmp_path / "secret").write_bytes(b"short")
    assert make_secret(str(tmp_path)) is None
    assert answer_nonce(str(tmp_path), "nonce", "place") == ""


def test_a_spool_that_is_gone_has_no_secret(tmp_path):
    """A receiver whose spool cannot be written, or that has none, has no answer."""
    assert answer_nonce(str(tmp_path / "gone"), "nonce", "place") == ""
    assert answer_nonce(None, "nonce", "place") == ""


def test_an_answer_is_right_for_its_nonce_its_address_and_its_spool(tmp_path):
    """The answer to another nonce, at another address or of another spool is wrong."""
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
        make_secret(str(tmp_path / name))
    proof = proof_of(tmp_path / "ours")
    nonce = proof.new_nonce()
    assert nonce != proof.new_nonce() and len(nonce) == module.MAX_NONCE
    right = answer_nonce(str(tmp_path / "ours"), nonce, "10.0.0.1 9020")
    assert proof.is_right(nonce, "10.0.0.1 9020", right)
    assert not proof.is_right(proof.new_nonce(), "10.0.0.1 9020", right)
    assert not proof.is_right(nonce, "10.0.0.1 9021", right)
    assert not proof.is_right(
        nonce, "10.0.0.1 9020", answer_nonce(str(tmp_path / "other"), nonce, "10.0.0.1 9020")
    )
    for wrong in ("", "\udcff", "0" * 64, right.upper()):
        assert not proof.is_right(nonce, "10.0.0.1 9020", wrong)


@pytest.mark.parametrize("address", [LOOPBACK, ELSEWHERE])
def test_a_proof_is_required_at_an_address_where_it_was_given(tmp_path, monkeypatch, address):
    """A proof is required at the address where it was given, of all workers of the spool."""
    monkeypatch.setattr(module, "can_tell_listeners", lambda: False)
    make_secret(str(tmp_path))
    proof = proof_of(tmp_path, address)
    assert not proof.is_required()
    proof.require()
    assert proof.is_required() and proof_of(tmp_path, address).is_required()
    assert not proof_of(tmp_path, parse_address("tcp://127.0.0.1:9021")).is_required()
    (tmp_path / "secret").unlink()
    assert not proof.is_required()


def test_a_loopback_address_of_another_host_is_another_one(tmp_path, monkeypatch):
    """A proof that was given in another container says nothing of this one's loopback address."""
    monkeypatch.setattr(module, "can_tell_listeners", lambda: False)
    make_secret(str(tmp_path))
    near, far = proof_of(tmp_path, LOOPBACK), proof_of(tmp_path, ELSEWHERE)
    for proof in (near, far):
        proof.require()
        facts = json.loads(Path(proof.note).read_text())
        facts[2] = "4026531999"  # the network namespace
        Path(proof.note).write_text(json.dumps(facts))
    assert far.is_required() and not near.is_required()
    Path(near.note).write_text("[[[")
    assert not near.is_required()


def test_where_the_system_tells_no_proof_is_asked_for(tmp_path):
    """At a loopback address of a system that tells who listens, a worker needs no proof."""
    make_secret(str(tmp_path))
    assert module.can_tell_listeners() == os.path.exists("/proc/self/net/tcp")
    assert ReceiverProof.of(None, ELSEWHERE) is None
    assert ReceiverProof.of(str(tmp_path), parse_address("unix:///s")) is None
