"""A blob on its way: who asks for a piece gets it when it has come, or hears that it will not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from masterslave.blobs.segments import Arena
from masterslave.protocol.fetching import MAX_PIECE_BYTES, PieceAsk, pieces_of
from masterslave.slave.coming import Coming

SIZES = [MAX_PIECE_BYTES + 10, 5]


def ask(part: int, offset: int, size: int) -> PieceAsk:
    return PieceAsk("", b"d", part, offset, size)


def filled(count: int) -> Coming:
    coming = Coming(Arena(), SIZES)
    for number, piece in enumerate(coming.pieces[:count]):
        coming.add(piece, bytes([number]) * piece.size)
    return coming


def test_pieces_follow_each_other() -> None:
    at = [(piece.part, piece.offset, piece.size) for piece in pieces_of(SIZES)]
    assert at == [(0, 0, MAX_PIECE_BYTES), (0, MAX_PIECE_BYTES, 10), (1, 0, 5)]


@pytest.mark.parametrize("has_ended", [False, True])
def test_what_has_come_is_given_and_no_more(has_ended: bool) -> None:
    coming = filled(2)
    if has_ended:
        coming.end()
    assert coming.read(ask(0, MAX_PIECE_BYTES, 10), 0) == b"\1" * 10
    assert coming.read(ask(0, MAX_PIECE_BYTES - 1, 2), 0) == b"\0\1"
    for later in (ask(0, MAX_PIECE_BYTES + 9, 2), ask(1, 0, 5), ask(9, 0, 1)):
        assert coming.read(later, 0) == (b"" if has_ended else None)


@pytest.mark.parametrize("comes", [False, True])
def test_who_waits_is_told_at_once(comes: bool) -> None:
    coming = filled(1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(coming.read, ask(0, MAX_PIECE_BYTES, 10), 30.0)
        threading.Event().wait(0.05)
        assert not answer.done()
        if comes:
            coming.add(coming.pieces[1], b"x" * 10)
        else:
            coming.end()
        assert answer.result(timeout=5) == (b"x" * 10 if comes else b"")
