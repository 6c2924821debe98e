"""How two processes prove that they know a secret: each split, each broken bit, each old answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm

from remoteobj.identity.secret import Secret
from remoteobj.transport.challenge import NONCE_BYTES, Challenge, NotProven
from tests import loopback

SECRET = Secret(b"s" * 32)
MINE, THEIRS = b"m" * NONCE_BYTES, b"t" * NONCE_BYTES


def caller(secret: Secret = SECRET, nonce: bytes = MINE) -> Challenge:
    return Challenge(secret, nonce, is_daemon=False)


def daemon(secret: Secret = SECRET, nonce: bytes = THEIRS) -> Challenge:
    return Challenge(secret, nonce, is_daemon=True)


def give(side: Challenge, data: bytes) -> bytes:
    """Have one side read what it asks for, and nothing else; returns what it says."""
    said = b""
    while side.missing and data:
        part, data = data[: side.missing], data[side.missing :]
        said += side.received(part)
    assert not data, "more was sent than it asks for"
    return said


def recorded() -> tuple[bytes, bytes, bytes]:
    """Return what is said in a conversation."""
    here, there = caller(), daemon()
    hello = here.greeting()
    reply = give(there, hello)
    answer = give(here, reply)
    assert give(there, answer) == b""
    assert here.missing == there.missing == 0
    return hello, reply, answer


def test_what_is_said_is_what_the_document_says() -> None:
    secret = SECRET.reveal()
    hello, reply, answer = recorded()
    assert hello == loopback.HELLO + MINE
    assert reply == loopback.REPLY + THEIRS + loopback.proof(secret, loopback.DAEMON, MINE, THEIRS)
    assert answer == loopback.proof(secret, loopback.CALLER, MINE, THEIRS)
    assert (len(hello), len(reply), len(answer)) == (40, 72, 32)
    assert daemon().greeting() == b""


@calm
@given(st.lists(st.integers(1, 40)))
def test_it_may_come_in_any_parts(sizes: list[int]) -> None:
    hello, reply, answer = recorded()
    here, there = caller(), daemon()
    said = {id(here): b"", id(there): b""}
    for side, data in ((there, hello), (here, reply), (there, answer)):
        left = data
        for size in [*sizes, *([1] * len(data))]:
            part = left[: min(size, side.missing)]
            left = left[len(part) :]
            if part:
                said[id(side)] += side.received(part)
    assert said == {id(here): answer, id(there): reply}
    assert here.missing == there.missing == 0


@calm
@given(st.integers(0, 143), st.integers(1, 255))
def test_no_byte_of_it_may_be_another(place: int, change: int) -> None:
    hello, reply, answer = recorded()
    said = bytearray(hello + reply + answer)
    said[place] ^= change
    hello, reply, answer = bytes(said[:40]), bytes(said[40:112]), bytes(said[112:])
    here, there = caller(), daemon()
    with pytest.raises(NotProven):
        mine = give(there, hello)
        give(here, mine if place < 40 else reply)
        give(there, answer)


@calm
@given(st.binary(min_size=32, max_size=32))
def test_another_secret_is_none(other: bytes) -> None:
    here, there = caller(Secret(other)), daemon()
    if other == SECRET.reveal():
        return
    reply = give(there, here.greeting())
    with pytest.raises(NotProven, match="does not know the secret"):
        give(here, reply)
    answer = loopback.proof(other, loopback.CALLER, MINE, THEIRS)
    with pytest.raises(NotProven, match="does not know the secret"):
        give(there, answer)


def test_an_old_conversation_is_of_no_use_to_either_side() -> None:
    hello, reply, answer = recorded()
    again = daemon(nonce=b"u" * NONCE_BYTES)
    give(again, hello)
    with pytest.raises(NotProven):
        give(again, answer)
    with pytest.raises(NotProven):
        give(caller(nonce=b"n" * NONCE_BYTES), reply)


def test_what_one_side_proves_is_no_proof_of_the_other() -> None:
    there = daemon()
    proof = give(there, caller().greeting())[-32:]
    with pytest.raises(NotProven, match="does not know"):  # the daemon's own, sent back
        give(there, proof)
    poser = caller()
    with pytest.raises(NotProven, match="how such a conversation begins"):  # its own words
        give(poser, poser.greeting() + bytes(32))
    with pytest.raises(NotProven, match="does not know"):  # what it would prove itself
        give(
            caller(),
            loopback.REPLY
            + THEIRS
            + loopback.proof(SECRET.reveal(), loopback.CALLER, MINE, THEIRS),
        )


@calm
@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_a_proof_or_refused(data: bytes, is_daemon: bool) -> None:
    side = daemon() if is_daemon else caller()
    try:
        while side.missing and data:
            part, data = data[: side.missing], data[side.missing :]
            side.received(part)
    except NotProven:
        return
    assert side.missing > 0
