"""What code does, without where it stands."""

from __future__ import annotations

import sys
import textwrap
from types import CodeType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from masterslave.farm.recognising.bytecode import Import, Read, look_at

SOURCE = textwrap.dedent(
    '''
    def outer(a, *rest, key={"x": 1}, **more):
        """What it does."""
        total = 10
        class Inner(dict):
            size = 20
            def __init__(self):
                self.first = self.second = total
            def method(self, n):
                return self.first + n
        def helper(n):
            nonlocal total
            total += 30
            if n in {1, 2, 40}:
                return helper(n - 1)
            return [each * 50 for each in rest if each > 60]
        try:
            with open("name") as file:
                for line in file:
                    print(line, end="70", file=None)
        except OSError as error:
            raise ValueError(f"{error!r} 80") from error
        finally:
            total = -total
        while total < 90:
            total += 1
        else:
            total = 0
        match a:
            case [1, 100]:
                return (yield total)
            case {"k": v}:
                return lambda x=110: x + v
        return Inner, helper
    '''
)
LINES = SOURCE.splitlines()
NUMBERS = ["10", "20", "30", "40", "50", "60", "70", "80", "90", "100", "110"]


def outer(text: str) -> CodeType:
    (code,) = (each for each in compile(text, "x", "exec").co_consts if isinstance(each, CodeType))
    return code


def digest(text: str) -> bytes:
    return look_at(outer(text)).digest


AS_IT_IS = digest(SOURCE)


@given(st.lists(st.tuples(st.integers(0, len(LINES)), st.sampled_from(["", "# said", "  # so"]))))
def test_comments_and_blank_lines_do_not_count(added: list[tuple[int, str]]) -> None:
    lines = list(LINES)
    for place, text in added:
        lines.insert(place, text)
    assert digest("\n".join(lines)) == AS_IT_IS


@given(st.sampled_from(NUMBERS), st.integers(0, 400))
def test_constants_count_wherever_they_are(number: str, other: int) -> None:
    text = SOURCE.replace(number, str(other), 1)
    assert (digest(text) == AS_IT_IS) == (str(other) == number)


def test_each_line_counts() -> None:
    for place, line in enumerate(LINES[3:], 3):
        for old, new in (
            ("+", "-"),
            ("*", "/"),
            (" < ", " <= "),
            ("n - 1", "n"),
            ("if n in ", "if n is "),
        ):
            if old in line:
                changed = [*LINES[:place], line.replace(old, new, 1), *LINES[place + 1 :]]
                assert digest("\n".join(changed)) != AS_IT_IS, line


def test_a_function_may_be_moved_into_another_one() -> None:
    plain = "def f(x):\n    return [x + each for each in g(x)]"
    nested = "def around():\n" + textwrap.indent(plain, "    ")
    (inner,) = (each for each in outer(nested).co_consts if isinstance(each, CodeType))
    assert look_at(inner).digest == digest(plain)


def test_code_that_has_run_often_or_is_watched_is_the_same() -> None:
    names: dict[str, Any] = {}
    exec("def often(n):\n    return [n + each for each in range(3)] if n else len('a')", names)
    before = look_at.__wrapped__(names["often"].__code__)
    for _ in range(5000):  # until the interpreter has put other instructions in their place
        names["often"](1)
    assert look_at.__wrapped__(names["often"].__code__) == before
    sys.settrace(lambda *_: None)
    try:
        names["often"](1)
        assert look_at.__wrapped__(names["often"].__code__) == before
    finally:
        sys.settrace(None)


def test_it_tells_what_is_read_and_imported() -> None:
    names: dict[str, Any] = {}
    exec(
        textwrap.dedent(
            """
            def reads(x):
                import a.b
                from .c import d, e
                def inner():
                    import late
                    return first.second.third(x.other) + [fourth for _ in x]
                class Local:
                    five = fifth.sixth
                return len, inner
            """
        ),
        names,
    )
    look = look_at(names["reads"].__code__)
    assert {Read("first", ("second", "third")), Read("fourth", ()), Read("len", ())} <= {
        *look.reads
    }
    assert Read("fifth", ("sixth",)) in look.reads
    assert {read.name for read in look.reads} & {"x", "a", "other"} == set()
    assert set(look.imports) == {
        Import(0, "a.b", ()),
        Import(1, "c", ("d", "e")),
        Import(0, "late", ()),
    }
