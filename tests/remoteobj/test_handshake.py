"""What peers agree on when they connect: versions of today, of yesterday, and strangers."""

from __future__ import annotations

import contextlib

import hypothesis.strategies as st
import pytest
from hypothesis import given
from servants import Connect, Warehouse

from remoteobj import ConnectionLost, Daemon, WireError, handshake
from remoteobj.handshake import STOCK, Agreement, agree, answer_of, offer, read_answer

NEW, BOTH, OLD = ("binary",), ("binary", "serpent"), ("serpent",)


@pytest.mark.parametrize(
    ("caller", "daemon", "version"),
    [
        ((1, 1), (1, 1), 1),
        ((3, 2), (2, 1), 2),  # the daemon is one release behind
        ((2, 1), (3, 2), 2),  # the caller is
    ],
)
def test_neighbouring_releases_speak_the_older_version(
    caller: tuple[int, int], daemon: tuple[int, int], version: int
) -> None:
    offered = offer(version=caller[0], oldest=caller[1])
    assert agree(offered, version=daemon[0], oldest=daemon[1]).version == version


def test_releases_too_far_apart_are_told_which_side_to_update() -> None:
    with pytest.raises(WireError, match="update remoteobj-farm where the call comes from"):
        agree(offer(version=1, oldest=1), version=3, oldest=2)
    with pytest.raises(WireError, match="update remoteobj-farm where the object is"):
        agree(offer(version=4, oldest=3), version=2, oldest=1)


@pytest.mark.parametrize(
    ("caller", "daemon", "codec"),
    [(BOTH, BOTH, "binary"), (BOTH, OLD, "serpent"), (OLD, BOTH, "serpent"), (NEW, OLD, "serpent")],
)
def test_the_best_codec_that_both_speak_is_chosen(
    caller: tuple[str, ...], daemon: tuple[str, ...], codec: str
) -> None:
    agreement = agree(offer(codecs=caller), codecs=daemon)
    assert agreement.codec == codec
    assert read_answer(answer_of(agreement), codecs=caller) == agreement


def test_who_offers_nothing_is_a_stock_peer() -> None:
    assert agree(None) == STOCK
    assert read_answer(None) == STOCK


def test_a_codec_that_was_not_offered_is_refused() -> None:
    with pytest.raises(WireError, match="'marshal', which was not offered"):
        read_answer({"version": 1, "codec": "marshal"})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(anything)
def test_any_offer_gives_an_agreement_or_our_error(offered: object) -> None:
    for read in (agree, read_answer):
        with contextlib.suppress(WireError):
            assert isinstance(read(offered), Agreement)


def test_a_caller_from_another_time_is_refused_in_words(
    daemon: Daemon, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = daemon.register(Warehouse())
    monkeypatch.setattr(handshake, "offer", lambda _: offer(version=9, oldest=8))
    with pytest.raises(ConnectionLost, match=r"update remoteobj-farm where the object is") as lost:
        connect(uri).add(1)
    assert lost.value.executed == "no"
