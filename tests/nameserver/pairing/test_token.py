"""Tokens and codes: what people paste and type."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nameserver.errors import BadToken
from nameserver.pairing.codes import Code, draw_code, read_code
from nameserver.pairing.token import Token, read_token

TOKENS = st.builds(
    Token,
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True),
    st.integers(1, 65535),
    st.lists(st.ip_addresses().map(str), min_size=1, max_size=4),
)
_ALPHABET = string.ascii_letters + string.digits + "-_"


@given(TOKENS)
def test_a_token_is_read_as_it_was_written(token: Token) -> None:
    assert read_token(token.text()) == token


@given(TOKENS, st.sampled_from(["\n", " ", "\r\n", "\t"]), st.data())
def test_white_space_of_terminals_does_not_matter(
    token: Token, space: str, data: st.DataObject
) -> None:
    text = token.text()
    at = data.draw(st.integers(0, len(text)))
    assert read_token(f" {text[:at]}{space}{text[at:]}\n") == token


@given(
    TOKENS,
    st.sampled_from(['"{}"', "'{}'", "`{}`", "> {}", "<{}>", "token={}", "{0}\nor\n{0}", "{}."]),
)
def test_what_stands_around_a_token_does_not_matter(token: Token, around: str) -> None:
    assert read_token(around.format(token.text())) == token


@given(TOKENS, TOKENS)
def test_of_two_tokens_none_is_chosen(one: Token, other: Token) -> None:
    assume(one != other)
    with pytest.raises(BadToken, match="several tokens"):
        read_token(f"the token: {one.text()}\n{other.text()}\n")


@given(TOKENS, st.data())
def test_one_changed_character_is_told_and_not_repeated(token: Token, data: st.DataObject) -> None:
    text = token.text()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(sorted(set(_ALPHABET) - {text[at]})))
    with pytest.raises(BadToken) as caught:
        read_token(text[:at] + other + text[at + 1 :])
    assert text[4:] not in str(caught.value)


@given(TOKENS, st.data())
def test_one_lost_character_is_told(token: Token, data: st.DataObject) -> None:
    text = token.text()
    at = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(BadToken):
        read_token(text[:at] + text[at + 1 :])


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda each: f"rj1-{each.hex()}"))
def test_what_is_no_token_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadToken, match="token"):
        read_token(text)


@given(TOKENS)
def test_a_secret_is_in_no_repr(token: Token) -> None:
    for shown in (repr(token), str(token), f"{token}"):
        assert token.secret.hex() not in shown
        assert repr(token.secret) not in shown


@pytest.mark.parametrize("typed", ["481-223", "481223", " 481 223\n", "481.223", "4-8-1-2-2-3"])
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert read_code(typed) == "481223"


@pytest.mark.parametrize("typed", ["", "481-22", "481-2233", "48l-223", "٤٨١-٢٢٣", "481_223"])
def test_what_is_no_code_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(BadToken, match="six digits") as caught:
        read_code(typed)
    assert not typed or typed not in str(caught.value)


@given(st.integers(0, 999_999))
def test_a_code_that_is_shown_is_the_code_that_is_read(number: int) -> None:
    code = draw_code("member", 0.0, below=lambda _: number)
    assert read_code(code.text()) == code.digits
    assert code.digits not in repr(code)
    assert int(code.digits) == number


def test_a_code_dies_after_a_minute_three_attempts_or_one_machine() -> None:
    late = Code("481223", "member", 100.0)
    assert late.is_open(159.9)
    assert not late.is_open(160.0)
    assert not late.try_once(160.0)
    assert not late.use(160.0)

    guessed = Code("481223", "member", 100.0)
    assert [guessed.try_once(101.0) for _ in range(4)] == [True, True, True, False]
    assert not guessed.is_open(101.0)

    used = Code("481223", "member", 100.0)
    assert used.try_once(101.0)
    assert used.use(102.0)
    assert not used.use(103.0)
    assert not used.is_open(103.0)
