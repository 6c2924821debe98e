from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nameserver import BadName, NameServer, NamingError
from nameserver.record import MAX_URI_LENGTH, NAME_SERVER, check_name, from_text, make_record
from remoteobj import BadURI, Proxy

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

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
            make_record("a", HERE, [junk])


@pytest.mark.parametrize(
    ("uri", "metadata", "why"),
    [
        (f"PYRO:{'x' * 1000}@h:1", (), r"the URI of 'a' is too long: 1009 characters, 1000 are al"),
        (HERE, [f"t{n}" for n in range(101)], r"are too many: 101 texts, 100 are allowed"),
        (HERE, ["t" * 501], r"hold a text that is too long, .*: 501 characters, 500 are allowed"),
    ],
)
def test_a_record_has_limits(uri: str, metadata: list[str], why: str) -> None:
    with pytest.raises(NamingError, match=why):
        make_record("a", uri, metadata)
    longest = make_record(
        "a", f"PYRO:{'x' * (MAX_URI_LENGTH - 9)}@h:1", [f"{n:0500}" for n in range(100)]
    )
    assert len(str(longest.uri)) == MAX_URI_LENGTH


def test_a_server_has_the_same_limits(server: NameServer) -> None:
    with Proxy(f"PYRO:{NAME_SERVER}@{server.address}", insecure=True) as stock:
        with pytest.raises(NamingError, match="the URI of 'a' is too long"):
            stock.register("a", f"PYRO:{'x' * 1000}@h:1")
        stock.register("a", HERE)
        with pytest.raises(NamingError, match="the metadata of 'a' are too many"):
            stock.set_metadata("a", [f"t{n}" for n in range(101)])
        with pytest.raises(NamingError, match="a text that is too long"):
            stock.register("b", HERE, metadata=["t" * 501])
        assert stock.list("a", None, True) == {"a": (HERE, set())}


@pytest.mark.parametrize("text", ["", "junk", '["\ud800"]', "[" * 100_000, '["a", "b"]', "[[]]"])
def test_an_answer_that_is_no_record_is_refused_in_words(text: str) -> None:
    with pytest.raises(NamingError, match="no record of a name"):
        from_text(text)
