"""Regular expressions of strangers: what re finds, and never for long."""

from __future__ import annotations

import random
import re
import string
import time
import warnings
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nameserver import NameServer, NameServerClient, NamingError
from nameserver.expressions import ALPHABET
from nameserver.pattern import MAX_PATTERN_LENGTH, Pattern
from nameserver.record import NAME_SERVER
from remoteobj import Proxy
from tests.nameserver.listening import uri

pytestmark = pytest.mark.filterwarnings("ignore:plain TCP")

NAMES = ["".join(name) for length in (1, 2, 3, 4) for name in product("ab.1", repeat=length)]

atoms = st.sampled_from(
    ["a", "b", r"\.", ".", "1", "[ab]", "[^a]", r"\d", r"\w", "[b-z.]", "^", "$", r"\Z", "{", "B"]
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map(lambda each: f"({each})"),
        inner.map(lambda each: f"(?:{each})"),
        st.tuples(
            inner.map(lambda each: f"(?:{each})"),
            st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{,2}", "{1,}", "{,}?", "{}"]),
        ).map("".join),
    ),
    max_leaves=8,
)


@given(expressions, st.sampled_from(["", "(?i)"]))
@settings(max_examples=250, deadline=None)
def test_the_same_names_match_as_with_re(expression: str, flags: str) -> None:
    text = flags + expression
    assume(len(text) <= MAX_PATTERN_LENGTH)
    try:
        meant = re.compile(text)
    except re.error:
        with pytest.raises(NamingError, match="is no regular expression"):
            Pattern(text)
        return
    pattern = Pattern(text)
    found = [name for name in NAMES if pattern.matches(name)]
    assert found == [name for name in NAMES if meant.match(name)]


@given(st.text(alphabet=r"ab.1\()[]|*+?{},^$:P<>=!i-dwsZAb", max_size=12))
@settings(max_examples=500, deadline=None)
def test_any_text_is_matched_as_with_re_or_refused_in_words(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "possible nested set"
        try:
            pattern = Pattern(text)
            found = [name for name in NAMES if pattern.matches(name)]
        except NamingError:
            return
        assert found == [name for name in NAMES if re.match(text, name)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (r"lab\..*", ["lab.camera", "lab.camera-2", "lab.Bell"]),
        (r".*\.camera(-\d+)?$", ["lab.camera", "lab.camera-2", "shop.camera"]),
        (r"(lab|shop)\.[a-z]+$", ["lab.camera", "shop.camera"]),
        (r"(?i)LAB\.BELL", ["lab.Bell"]),
        (r"^(?P<room>\w+)\.(?:camera|bell)", ["lab.camera", "lab.camera-2", "shop.camera"]),
        (r"[^.]+\.[A-Z]", ["lab.Bell"]),
        (r"lab\.c.{5,6}?", ["lab.camera", "lab.camera-2"]),
    ],
)
def test_what_people_ask_for_is_found(text: str, names: list[str]) -> None:
    pattern = Pattern(text)
    there = ["lab.camera", "lab.camera-2", "lab.Bell", "shop.camera"]
    assert [name for name in there if pattern.matches(name)] == names


LONGEST = "a" * 200
TERRIBLE = [
    r"(a+)+$",
    r"(a|a)*$",
    r"(.*a){25}b",
    r"(a*)*b",
    r"(a|a)" * 38 + "b",
    ".*" * 90 + "b",
    r"(a?){100}a{100}b",
    r"((((a{1,9}){1,9}){1,9}){1,9})b",
    r"(((){999}){999}){999}b",
    "(" * 99 + "a" + ")" * 99,
    r".*a.{12}b",
    r"(.*a.{8}|.*b.{9}){9}_",
    rf".*[{string.ascii_letters}].{{60}}.*\d.{{70}}.*[.-].{{80}}$",
    f"({'|'.join(string.ascii_lowercase)})*" * 3,
]


@pytest.mark.parametrize("text", TERRIBLE)
def test_no_expression_takes_long(text: str) -> None:
    chance = random.Random(text)
    names = [LONGEST, *("".join(chance.choices("aab", k=200)) for _ in range(200))]
    names += ["".join(chance.choices(ALPHABET, k=200)) for _ in range(200)]
    began = time.perf_counter()
    refused = ""
    try:
        pattern = Pattern(text)
        for name in names:
            pattern.matches(name)
    except NamingError as error:
        refused = str(error)
    assert time.perf_counter() - began < 3.0
    assert not refused or "that takes too long: list a prefix, or all names" in refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (r"(a)\1", r"\\1 cannot be used; list a prefix, or all names and choose"),
        (r"(?=a)a", r"nothing but \( \), \(\?: \) and \(\?P<name> \) may be a group"),
        (r"(?!a)b", "may be a group"),
        (r"\bcamera", "cannot be used"),
        (r"a*+b", r"\*\+ cannot be used"),
        ("(", r"'\(' is no regular expression: missing \)"),
        ("a" * 201, "at most 200 characters, not 201"),
    ],
)
def test_what_cannot_be_matched_so_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(NamingError, match=why):
        Pattern(text)


def test_a_name_server_stays_at_everybodys_service(
    server: NameServer, client: NameServerClient
) -> None:
    client.register("a" * 60, uri(1), lease_s=None)
    with Proxy(f"PYRO:{NAME_SERVER}@{server.address}", insecure=True) as stock:
        began = time.monotonic()
        assert stock.list(regex=r"(a+)+$") == {"a" * 60: uri(1)}
        assert stock.list(regex=r"(a+)+b") == {}
        assert stock.remove(regex=r"(a|a)*b") == 0
        with pytest.raises(NamingError, match="cannot be used; list a prefix"):
            stock.remove(regex=r"(a)\1")
        assert stock.remove(regex=r"(a+)+$") == 1
        assert time.monotonic() - began < 2.0
