"""A function has the same identity in each run of a script, and another one once it does another
thing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.masterslave.farm.identified import Edit, edited, run_all, write

FAST = "    @property\n    def fast(self):\n        return 5\n\n"

NEUTRAL: dict[str, list[Edit]] = {
    "a comment and blank lines": [
        ("script.py", "    return min(x, L", "\n    # as it says\n\n    return min(x, L"),
        ("script.py", "+ 1\n\ndef table():", "+ 1  # and one\n\ndef table():"),
        ("helpers.py", "def deeper(x):\n", "def deeper(x):\n\n    # more of it\n"),
        ("pkg/base.py", "BASE = 1", "# what all others stand on\nBASE = 1"),
        ("latest.py", "    return 1", "    # one\n    return 1"),
        ("circle.py", "import circular", "\n\n\nimport circular"),
    ],
    "comments in classes": [
        ("script.py", "class Local:\n", "class Local:\n            # long\n\n"),
        ("script.py", "    RED = 1", "    # as a rose\n    RED = 1"),
        ("script.py", "    x: int\n", "    # across\n    x: int\n"),
    ],
    "a function moved": [
        ("script.py", 'def limited(x):\n    return min(x, LIMIT)\n\n', ""),
        ("script.py", "def pairs():", 'def limited(x):\n    return min(x, LIMIT)\n\ndef pairs():'),
        ("helpers.py", "def tool(x):\n    return x\n", ""),
        ("helpers.py", "class Kind:", "def tool(x):\n    return x\n\nclass Kind:"),
    ],
    "a method moved": [
        ("script.py", FAST, ""),
        ("script.py", "    @functools.cached_property", f"{FAST}    @functools.cached_property"),
    ],
    "what nobody uses": [
        ("script.py", "LIMIT = 3\n", "LIMIT = 3\nOTHER = 4\n\ndef other():\n    return OTHER\n"),
        ("pkg/__init__.py", "", "import re\n"),
    ],
    "the order of a dict": [("script.py", '{"b": 1, "a": {3, 1, 2}}', '{"a": {2, 3, 1}, "b": 1}')],
}  # fmt: skip

OF_LIMIT = {"limited", "indirect", "anonymous", "made3", "made4", "draws"}
OF_HELPERS = {"whole", "(own_module)", "prints", "own_prints", "own_prints_too"}
"""What uses the module as a whole, or reads of it what cannot be looked at."""

OF_DISPATCHED = {"dispatched", "dispatches"}
OF_POINT = {"points", "klass", "(point)", "(by_kind)"}
OF_DERIVED = {"derived", "bound", "(kind)", "(instance)"}
OF_COLOUR = {"colours", "(colour)", "(colours)"}
OF_PLAIN = {"plain", "partly", "(fn)", "(partly)", "(by_kind)"}

CHANGES: list[tuple[Edit, set[str]]] = [
    (("script.py", "return x + k", "return x - k"), OF_PLAIN),
    (("script.py", "def plain(x=1,", "def plain(x=2,"), OF_PLAIN),
    (("script.py", "*, k=2)", "*, k=3)"), OF_PLAIN),
    (("script.py", "def plain(x=1, *, k=2)", "def plain(x=1, k=2)"), OF_PLAIN),
    (("script.py", '"""Add."""', '"""Sum."""'), OF_PLAIN),
    (("script.py", "LIMIT = 3", "LIMIT = 3.0"), OF_LIMIT),
    (("script.py", "LIMIT = 3", "LIMIT = len"), OF_LIMIT),
    (("script.py", "return min(x, LIMIT)", "return max(x, LIMIT)"), {"limited", "indirect"}),
    (("script.py", "LIMIT = 3", "LIMIT = 3\nmin = max"), {"limited", "indirect"}),
    (("script.py", "return limited(x) + 1", "return limited(x) + True"), {"indirect"}),
    (("script.py", '{"b": 1, "a": {3', '{"b": 0, "a": {3'), {"table", "table_get"}),
    (("script.py", "{3, 1, 2}", "{3, 1}"), {"table", "table_get"}),
    (("script.py", "np.arange(5)", "np.arange(5, dtype=np.int32)"), {"array"}),
    (("script.py", "np.arange(5)", "np.arange(6) - 1"), {"array"}),
    (("script.py", "fn(*args) * 2", "fn(*args) * 3"), {"twice", "decorated"}),
    (("script.py", "return x + 10", "return x + 9"), {"decorated"}),
    (("script.py", "@twice\n", ""), {"decorated"}),
    (("script.py", "return 11", "return 10"), OF_DISPATCHED),
    (("script.py", "return 12", "return 10"), OF_DISPATCHED),
    (("script.py", "return 17", "return 10"), OF_DISPATCHED),
    (("script.py", "def _(x: int)", "def _(x: float)"), OF_DISPATCHED),
    (("script.py", "n == 0 or", "n <= 0 or"), {"even", "odd"}),
    (("script.py", "n != 0 and", "n and"), {"even", "odd"}),
    (("script.py", "(Local, 1.0)", "(Local, 1)"), {"made3", "made4"}),
    (("script.py", "(Local, 1.0)", "(Local, -0.0)"), {"made3", "made4"}),
    (("script.py", 'y in {"a", "b", "c"}', 'y in {"a", "b", "d"}'), {"made3", "made4"}),
    (("script.py", 'y in {"a", "b", "c"}', 'y in ("a", "b", "c")'), {"made3", "made4"}),
    (("script.py", "self.a = self.c = n", "self.a = self.d = n"), {"made3", "made4"}),
    (("script.py", "range(13)", "range(12)"), {"made3", "made4"}),
    (("script.py", "made3=made(3)", "made3=made(2)"), {"made3"}),
    (("script.py", "self.value * 10", "self.value * 11"), OF_COLOUR),
    (("script.py", "RED = 1", "RED = 3"), OF_COLOUR),
    (("script.py", "BLUE = 2", "BLUE = 2\n    GREEN = 3"), OF_COLOUR),
    (("script.py", "    y: float = 2.0", "    y: float = 2.5"), OF_POINT),
    (("script.py", "x: int\n    y: float = 2.0", "y: float = 2.0\n    x: int = 0"), OF_POINT),
    (("script.py", "lambda: [7]", "lambda: [8]"), OF_POINT),
    (("script.py", "return 18", "return 17"), OF_POINT),
    (("script.py", "return self.x + size", "return self.x * size"), OF_POINT),
    (("script.py", "return abs(point.y)", "return -abs(point.y)"), OF_POINT),
    (("script.py", "@dataclasses.dataclass\n", "@dataclasses.dataclass(frozen=True)\n"), OF_POINT),
    (("script.py", 'b: str = "q"', 'b: str = "r"'), {"pairs", "(pair)"}),
    (("script.py", 'return "base"', 'return "root"'), OF_DERIVED),
    (("script.py", 'super().name() + "d"', 'super().name() + "e"'), OF_DERIVED),
    (("script.py", "class Derived(Base)", "class Derived(Base, dict)"), OF_DERIVED),
    (("script.py", "return 4", "return 3"), OF_DERIVED),
    (("script.py", "return 5", "return 4"), OF_DERIVED),
    (("script.py", "return 6", "return 5"), OF_DERIVED),
    (("script.py", "yield 14", "yield 13"), {"generates"}),
    (("script.py", "return 15", "return 14"), {"waits"}),
    (("script.py", 're.compile("a+")', 're.compile("a+", re.I)'), {"quiet"}),
    (("script.py", "lambda x: x + LIMIT", "lambda x: x - LIMIT"), {"anonymous"}),
    (("script.py", "partial(plain, 16)", "partial(plain, 17)"), {"partly"}),
    (("script.py", "x: int) -> int", "x: float) -> int"), {"annotated"}),
    (("script.py", 'named="render"', 'named="model"'), {"named"}),
    (("script.py", "numpys=np.mean", "numpys=np.median"), {"numpys"}),
    (("script.py", 'getattr(helpers, "ra" +', 'getattr(helpers, "r" +'), {"whole"}),
    (("helpers.py", "N = 3", "N = 4"), {"cached", "of_helpers"} | OF_HELPERS),
    (("helpers.py", "return x + N", "return x - N"), {"cached", "of_helpers"} | OF_HELPERS),
    (("helpers.py", '"b": 1', '"b": 2'), {"rates"} | OF_HELPERS),
    (("helpers.py", "    return 1\n", "    return 2\n"), OF_HELPERS),
    (("helpers.py", "OPEN = sys.stdout", "OPEN = sys.stderr"), OF_HELPERS),
    (("helpers.py", "    return x\n\n", "    return -x\n\n"), {"with_tool", "kinds"} | OF_HELPERS),
    (("helpers.py", "return tool(1)", "return tool(2)"), {"kinds"} | OF_HELPERS),
    (("pkg/base.py", "BASE = 1", "BASE = 2"), {"of_package"}),
    (("pkg/sub.py", "return base.BASE", "return -base.BASE"), {"of_package"}),
    (("later.py", "return latest.f()", "return -latest.f()"), {"imports_late"}),
    (("latest.py", "return 1", "return 2"), {"imports_late"}),
    (("circular.py", "circle.there(n - 1)", "circle.there(n - 2)"), {"round_trip"}),
    (("circle.py", "circular.back(n - 1)", "circular.back(n - 2)"), {"round_trip"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the script says as it is."""
    folder = tmp_path_factory.mktemp("first")
    write(folder)
    return run_all([folder])[0]


def test_what_does_not_change_the_work_does_not_change_an_identity(
    first: dict[str, str], tmp_path: Path
) -> None:
    folders = []
    for place, edits in enumerate(NEUTRAL.values()):
        folders.append(tmp_path / str(place) / "somewhere else")
        write(folders[-1], edited(*edits))
    for what, said in zip(NEUTRAL, run_all(folders), strict=True):
        assert said == first, what


def test_what_changes_the_work_of_a_function_changes_its_identity_and_no_others(
    first: dict[str, str], tmp_path: Path
) -> None:
    folders = []
    for place, (edit, _) in enumerate(CHANGES):
        folders.append(tmp_path / str(place))
        write(folders[-1], edited(edit))
    told = run_all(folders)
    wrong = []
    for (edit, changed), said in zip(CHANGES, told, strict=True):
        found = {name for name, identity in said.items() if identity != first[name]}
        if found != changed:
            wrong.append((edit, "missing", changed - found, "too many", found - changed))
    assert not wrong


def test_no_two_of_them_have_one_identity(first: dict[str, str]) -> None:
    alike = {("(pairs)", "(pairs_turned)")}
    names: dict[str, list[str]] = {}
    for name, identity in first.items():
        names.setdefault(identity, []).append(name)
    assert {tuple(each) for each in names.values() if len(each) > 1} == alike


def test_what_has_no_identity_says_why(first: dict[str, str]) -> None:
    reasons = {
        name: said for name, said in first.items() if not set(said) <= set("0123456789abcdef")
    }
    assert reasons == {
        "writes": f"writes() uses OUT, a TextIOWrapper: {why_not(sys.__stdout__)}",
        "(generator)": f"argument 1, a generator: {why_not(each for each in 'a')}",
    }


def why_not(value: object) -> str:
    """Return what pickle says of it, which differs between releases of Python."""
    with pytest.raises(TypeError) as error:
        value.__reduce_ex__(4)
    return f"it cannot be looked at: {error.value}"
