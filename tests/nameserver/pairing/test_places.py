"""Who is listened to at the join port, and who makes room."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from nameserver.pairing.places import Places

MOST, EACH, SILENT_S, CROWDED_S = 4, 3, 1.0, 0.25


def make() -> Places[str]:
    return Places(MOST, EACH, SILENT_S, CROWDED_S)


def fill(places: Places[str], guests: str, address: str, now: float) -> list[str | None]:
    """Have these come; returns who may talk."""
    for guest in guests:
        places.wait(guest, address)
    return [places.next(now)[0] for _ in guests]


def test_one_address_has_some_of_the_places() -> None:
    places = make()
    assert fill(places, "abcd", "10.0.0.1", 0.0) == ["a", "b", "c", None]
    assert fill(places, "x", "10.0.0.2", 0.0) == ["x"]
    assert places.leave("a")
    assert places.next(0.0) == ("d", None)


def test_a_newcomer_drives_out_the_longest_silent_of_a_crowd() -> None:
    places = make()
    fill(places, "abc", "10.0.0.1", 0.0)
    fill(places, "x", "10.0.0.2", 0.0)
    places.hear("a", 0.2)
    places.wait("guest", "10.0.0.3")
    assert places.next(0.2) == (None, None)
    assert places.next(CROWDED_S) == ("guest", "b")
    assert "b" not in places.talking


def test_where_all_have_one_place_the_silent_go_later() -> None:
    places = make()
    for guest in "abcd":
        fill(places, guest, guest, 0.0)
    places.hear("a", 0.5)
    places.wait("guest", "e")
    assert places.next(SILENT_S - 0.01) == (None, None)
    assert places.next(SILENT_S) == ("guest", "b")


def test_it_is_the_turn_of_who_talks_least() -> None:
    places = make()
    fill(places, "ab", "10.0.0.1", 0.0)
    places.wait("c", "10.0.0.1")
    places.wait("x", "10.0.0.2")
    assert places.next(0.0) == ("x", None)
    assert places.next(0.0) == ("c", None)
    places.wait("d", "10.0.0.1")
    assert places.leave("d")
    assert not places.leave("d")
    assert places.next(9.0) == (None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["come", "next", "hear", "leave"])),
        max_size=200,
    ),
    st.integers(0, 5),
)
def test_never_more_than_there_are_places_and_nobody_is_lost(
    steps: list[tuple[str, str]], which: int
) -> None:
    places, now, here = make(), 0.0, dict[str, str]()
    for number, (address, step) in enumerate(steps):
        now += 0.1
        if step == "come":
            here[f"{address}{number}"] = address
            places.wait(f"{address}{number}", address)
        elif step == "next":
            guest, going = places.next(now)
            if going is not None:
                assert guest is not None
                del here[going]
            assert guest is None or guest in places.talking
        elif here:
            guest = sorted(here)[which % len(here)]
            if step == "hear":
                places.hear(guest, now)
            else:
                assert places.leave(guest)
                del here[guest]
        held = Counter(here[guest] for guest in places.talking)
        assert len(places.talking) <= MOST
        assert all(count <= EACH for count in held.values())
    waiting = set(iter(places.forget_one, None))
    assert waiting | set(places.talking) == set(here)
