from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nameserver import BadName, NamingError
from nameserver.record import check_name, make_record
from remoteobj import BadURI

LETTERS = string.ascii_letters + string.digits + "-_"
HERE = "PYRO:x@127.0.0.1:4711"


def is_name(text: str) -> bool:
    """The rule once more, in other words than the code's."""
    words = text.split(".")
    return len(text) <= 200 and all(word and set(word) <= set(LETTERS) for word in words)


@settings(database=None)
@given(st.text(alphabet=LETTERS + ". /\n\u00e9", max_size=12) | st.text() | st.just("a" * 201))
def test_a_text_is_a_name_or_is_refused_in_words(text: str) -> None:
    if is_name(text):
        assert check_name(text) == text
        return
    with pytest.raises(BadName) as caught:
        check_name(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "lab3.camera", "Pyro.NameServer", "a" * 200, "-"])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", ".a", "a.", "a b", "a/b", "a\n", "\u00e9", "a" * 201]
)
def test_no_names(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)


@pytest.mark.parametrize("value", [None, 7, b"a", ["a"]])
def test_what_is_no_text_is_no_name(value: object) -> None:
    with pytest.raises(BadName):
        check_name(value)


def test_a_record_is_checked_before_it_is_made() -> None:
    assert make_record("a", HERE, {"t"}).metadata == {"t"}
    with pytest.raises(BadURI):
        make_record("a", "there")
    with pytest.raises(NamingError, match="a name, not an address"):
        make_record("a", "PYRONAME:b")
    with pytest.raises(NamingError, match="give a set"):
        make_record("a", HERE, "tag")
    for junk in (7, "\x1b[2J"):
        with pytest.raises(NamingError, match="only printable texts"):
            make_record("a", HERE, [junk])  # type: ignore[list-item]
