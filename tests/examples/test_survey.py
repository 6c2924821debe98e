"""Tests of the source survey in examples/survey.py."""

import importlib.util
import os
import pickle
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterslave import Farm
from nameserver import Directory
from remoteobj import Proxy, Settings
from tests.conftest import StartScript, eventually


def _load() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "survey.py"
    spec = importlib.util.spec_from_file_location("survey", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["survey"] = module
    spec.loader.exec_module(module)
    return module


survey: Any = _load()


def measure(folder: Path, source: str) -> Any:
    path = folder / "source.py"
    path.write_text(source, encoding="utf-8")
    return survey.survey_file(str(path))


def function(*lines: str) -> str:
    return "\n".join(["def f(x):", *(f"    {line}" for line in lines)]) + "\n"


CHAIN = "if x: pass", "elif x > 1: pass", "elif x > 2: pass", "else: pass"
ELSE_IF = "if x:", "    pass", "else:", "    if x > 1:", "        pass"
TRY = "try: pass", "except OSError: pass", "except ValueError: pass", "else: pass", "finally: pass"
DEEP_TRY = "try: pass", "except OSError:", "    with x:", "        for y in x: pass"
LOOPS = "for y in x:", "    while y:", "        pass", "    else: pass"
MATCH = "match x:", "    case 1: pass", "    case 2 | 3: pass", "    case _: pass"
CAPTURE = "match x:", "    case [1, _]: pass", "    case y: pass"
GUARD = "match x:", "    case _ if x > 1: pass", "    case y if y: pass"
ASYNC = "async with x:", "    async for y in x:", "        await y"
CLASS = "if x:", "    class C:", "        y = 1 if x else 2", "        for y in x: pass"
ELIF_BODY = "if x: pass", "elif x > 1:", "    while x: pass"


@pytest.mark.parametrize(
    ("source", "length", "complexity", "nesting"),
    [
        pytest.param(function("return x"), 2, 1, 0, id="plain"),
        pytest.param(function("y = x or 1", "if y: pass", "y = x or y"), 4, 4, 1, id="statements"),
        pytest.param(function(*CHAIN), 5, 4, 1, id="elif"),
        pytest.param(function(*ELSE_IF), 6, 3, 2, id="if in else"),
        pytest.param(function(*ELIF_BODY), 4, 4, 2, id="block in elif"),
        pytest.param(function("return 1 if x else 2"), 2, 2, 0, id="conditional expression"),
        pytest.param(function(*LOOPS), 5, 3, 2, id="loops"),
        pytest.param(function(*TRY), 6, 3, 1, id="try"),
        pytest.param(function(*DEEP_TRY), 5, 3, 3, id="blocks in except"),
        pytest.param(function("with x: pass"), 2, 1, 1, id="with"),
        pytest.param(function("assert x, 'no'"), 2, 2, 0, id="assert"),
        pytest.param(function("return x and x or x and 1 and 2"), 2, 5, 0, id="boolean operators"),
        pytest.param(function("return [y for y in x if y if x for z in y]"), 2, 5, 0, id="for"),
        pytest.param(function("return lambda: 1 if x else 2"), 2, 2, 0, id="lambda"),
        pytest.param(function(*MATCH), 5, 3, 1, id="match"),
        pytest.param(function(*CAPTURE), 4, 2, 1, id="match with capture"),
        pytest.param(function(*GUARD), 4, 3, 1, id="match with guards"),
        pytest.param("async " + function(*ASYNC), 4, 2, 2, id="async"),
        pytest.param(function(*CLASS), 5, 4, 2, id="class in function"),
        pytest.param("@x if x else y\n" + function("pass"), 2, 1, 0, id="decorator"),
    ],
)
def test_measurements(
    tmp_path: Path, source: str, length: int, complexity: int, nesting: int
) -> None:
    (found,) = measure(tmp_path, source).functions
    assert (found.length, found.complexity, found.nesting) == (length, complexity, nesting)


NESTED = """\
class A:
    def method(self):
        pass

def outer(x):
    if x:
        @(x or x)
        def inner(y=1 if 1 else 2):
            while y:
                if y:
                    def innermost(): assert 1
        class B:
            def method(self): pass
    return inner

if 1:
    for module_level in []: pass
"""


def test_nested_functions_stand_on_their_own(tmp_path: Path) -> None:
    found = measure(tmp_path, NESTED)
    assert found.lines == 17
    assert found.functions == (
        ("A.method", 2, 2, 1, 0),
        ("outer", 5, 10, 4, 1),
        ("outer.<locals>.inner", 8, 4, 3, 2),
        ("outer.<locals>.inner.<locals>.innermost", 11, 1, 2, 0),
        ("outer.<locals>.B.method", 13, 1, 1, 0),
    )


def test_imports(tmp_path: Path) -> None:
    source = """\
import os.path, sys as s
from os import sep
from collections.abc import Iterable
from . import sibling
from .near.by import name
from ..far import other
def f():
    import json
"""
    found = measure(tmp_path, source)
    assert found.imports == (".", "..far", ".near", "collections", "json", "os", "sys")


@pytest.mark.parametrize(("source", "lines"), [("", 0), ("x = 1", 1), ("x = '\f'\n\n", 2)])
def test_number_of_lines(tmp_path: Path, source: str, lines: int) -> None:
    assert measure(tmp_path, source).lines == lines


def test_encoding_cookie_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"# coding: latin-1\ndef \xe9t\xe9(): pass\n")
    assert [found.name for found in survey.survey_file(str(path)).functions] == ["été"]


def test_warnings_about_the_source_are_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(tmp_path, "x = '\\d'\n").error == ""


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"def f(:\n", "SyntaxError", id="syntax"),
        pytest.param(b"# coding: nonsense\n", "SyntaxError", id="unknown encoding"),
        pytest.param(b"# coding: hex\n", "LookupError", id="encoding not for text"),
        pytest.param(b"x = '\xff\xfe'\n", "Syntax|Unicode", id="bytes that are not UTF-8"),
        pytest.param(b"x = 1\n" * 9999 + b"#\xff", "UnicodeDecodeError", id="bad byte at the end"),
        pytest.param(b"x = '\0'\n", "ValueError|SyntaxError", id="null byte"),
        pytest.param(b"(" * 5000 + b")" * 5000, "Syntax|Memory|Recursion", id="parentheses"),
        pytest.param(b"-" * 100_000 + b"1", "Memory|Recursion", id="minus signs"),
    ],
)
def test_bad_file_becomes_an_error_record(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(content)
    found = survey.survey_file(str(path))
    assert found == survey.FileSurvey(str(path), error=found.error)
    assert any(kind in found.error.partition(":")[0] for kind in error.split("|"))
    assert survey.fold([found]).totals() == (1, 1, 0, 0, 0, 0)


def test_a_missing_file_is_no_survey(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        survey.survey_file(str(tmp_path / "gone.py"))


def test_deep_tree_does_not_reach_the_recursion_limit(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 200
    found = measure(tmp_path, "def f(x):\n    return x" + ".a" * depth + "\n")
    assert found.error == "" or found.error.startswith("RecursionError")


def test_record_is_plain_and_small(tmp_path: Path) -> None:
    found = measure(tmp_path, NESTED)
    pickled = pickle.dumps(found)
    assert pickle.loads(pickled) == found
    assert len(pickled) < 1000


functions = st.builds(
    survey.FunctionSurvey,
    name=st.sampled_from(["f", "g"]),
    line=st.integers(1, 9),
    length=st.integers(1, 9),
    complexity=st.integers(1, 3),
    nesting=st.integers(0, 9),
)
file_surveys = st.builds(
    survey.FileSurvey,
    path=st.text("abc", min_size=1, max_size=3),
    lines=st.integers(0, 99),
    functions=st.lists(functions, max_size=6, unique_by=lambda row: row.line).map(tuple),
    imports=st.lists(st.sampled_from(["os", "re", "io", ".x", "."]), unique=True).map(tuple),
    error=st.sampled_from(["", "OSError: no"]),
)


@given(st.data(), st.lists(file_surveys, max_size=12, unique_by=lambda row: row.path))
def test_order_does_not_matter(data: Any, surveys: list[Any]) -> None:
    shuffled = data.draw(st.permutations(surveys))
    one, other = survey.fold(surveys), survey.fold(shuffled)
    assert one == other
    assert one.totals() == other.totals()
    assert one.most_complex() == other.most_complex()
    assert one.most_imported() == other.most_imported()


def test_totals_and_rankings() -> None:
    rows = [survey.FunctionSurvey(f"f{line}", line, 2, line % 3 + 1, line) for line in range(1, 7)]
    report = survey.fold(
        [
            survey.FileSurvey("b", 10, tuple(rows[:3]), ("os", "re", ".x")),
            survey.FileSurvey("a", 20, tuple(rows[3:]), ("os", "io", ".x")),
            survey.FileSurvey("c", error="OSError: no"),
        ]
    )
    assert report.totals() == (3, 1, 30, 6, 12, 6)
    places = [(path, row.line) for path, row in report.most_complex(5)]
    assert places == [("a", 5), ("b", 2), ("a", 4), ("b", 1), ("a", 6)]
    assert report.most_imported(2) == [("os", 2), ("io", 1)]
    assert len(report.most_imported()) == 3


def test_rankings_hold_ten_rows() -> None:
    rows = tuple(survey.FunctionSurvey("f", line, 1, 1, 0) for line in range(20))
    report = survey.fold([survey.FileSurvey("a", 1, rows, tuple("abcdefghijklm"))])
    assert len(report.most_complex()) == 10
    assert len(report.most_imported()) == 10


def test_a_file_that_comes_twice_counts_once() -> None:
    found = survey.FileSurvey("a", 10, (), ("os",))
    assert survey.fold([found, found]) == survey.fold([found])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    skipped = ["site-packages/a.py", "sub/__pycache__/a.py", ".git/a.py", "sub/.venv/lib/a.py"]
    for name in ["z.py", "a.py", "sub/m.py", "sub/deep/er.py", "note.txt", "a.pyc", *skipped]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def f(x):\n    return x\n", encoding="utf-8")
    (root / "folder.py").mkdir()
    return root


def names(root: Path, **limits: int | None) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in survey.find_files(root, **limits)]


def test_find_files(tree: Path) -> None:
    assert names(tree) == ["a.py", "sub/deep/er.py", "sub/m.py", "z.py"]


def test_find_files_does_not_depend_on_the_order_of_the_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, walk = names(tree), os.walk

    def backwards(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, subfolders, files in walk(top):
            subfolders.sort(reverse=True)
            yield folder, subfolders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert names(tree) == usual


@pytest.mark.parametrize(
    ("limits", "number"),
    [
        ({"max_files": 3}, 3),
        ({"max_files": 0}, 0),
        ({"max_lines": 4}, 2),
        ({"max_lines": 5}, 2),
        ({"max_lines": 0}, 0),
        ({"max_files": None, "max_lines": None}, 4),
    ],
)
def test_limits(tree: Path, limits: dict[str, int | None], number: int) -> None:
    assert names(tree, **limits) == names(tree)[:number]


def test_find_files_returns_absolute_paths(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert survey.find_files(Path("sub")) == [str(tree / "sub/deep/er.py"), str(tree / "sub/m.py")]


def test_symlink_loops_do_not_hang(tree: Path) -> None:
    (tree / "sub" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "self.py").symlink_to(tree / "self.py")
    assert names(tree) == ["a.py", "sub/deep/er.py", "sub/m.py", "z.py"]


SCRIPT = Path(survey.__file__)
STATUS = Settings(call_timeout_s=5.0)


def test_farm_and_serial_agree_and_a_failed_task_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # where the slaves find the module too
    files = survey.find_files(tree)
    seen: list[int] = []
    with Farm("survey", local_slaves=1) as farm:
        missing = [files[0], str(tree / "gone.py"), *files[1:]]
        on_farm = survey.survey_on_farm(farm, missing, lambda number, _: seen.append(number))
    serial = survey.survey_serially(files)
    assert on_farm == serial
    assert on_farm.totals() == serial.totals() == (4, 0, 8, 4, 4, 0)
    assert seen == [1, 2, 3, 4]
    error = capsys.readouterr().err
    assert error.startswith("survey: a task failed: FileNotFoundError: ")
    assert error.count("\n") == 1


def test_tables_are_at_most_100_wide(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    source = f"def {'f' * 90}(): pass\n"
    (tree / f"{'long' * 20}.py").write_text(source, encoding="utf-8")
    assert survey.main([str(tree), "--serial"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) == 100


def test_farm_run(tree: Path, start_script: StartScript) -> None:
    # With two, what is fed to the first may be taken back for the other: how often is chance.
    options = ("--label", "room", "--slaves", "1", "--top", "2")
    process = start_script(str(SCRIPT), str(tree), *options, COLUMNS="100")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    titles = ["Most complex functions", "Most imported modules", "Totals", "Work per slave"]
    lines = [line.rstrip() for line in out.splitlines()]
    assert [line for line in lines if line in titles] == titles
    assert "sub/deep/er.py:1" in out
    assert "sub/m.py:1" not in out
    assert lines[-4:-1] == [
        "files surveyed 4 of 4 found",
        "tasks handed out again 0",
        "slaves joined 1, lost 0",
    ]
    assert float(lines[-1].removeprefix("seconds ")) > 0


def test_serial_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "bad.py").write_text("def", encoding="utf-8")
    assert survey.main([str(tree), "--serial"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "files surveyed 5 of 5 found"
    assert lines[-1].startswith("seconds ")
    assert not any(line.startswith(("tasks", "slaves", "Work")) for line in lines)


def test_ctrl_c_says_what_was_surveyed(start_script: StartScript) -> None:
    process = start_script(str(SCRIPT), "--slaves", "1")

    def some_are_done() -> bool:
        with Directory() as names:
            for record in names.list("masterslave.survey."):
                with Proxy(record.uri, settings=STATUS) as door:
                    return bool(door.status()["statistics"]["done"])
        return False

    eventually(some_are_done, "the survey has begun")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert re.fullmatch(r"interrupted: surveyed \d+ of 1,\d\d\d files\n", out)
    assert "interrupted" in err
    assert "Traceback" not in err


def test_ctrl_c_without_a_farm(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = survey.survey_file

    def interrupted(path: str) -> Any:
        if path.endswith("er.py"):
            raise KeyboardInterrupt
        return task(path)

    monkeypatch.setattr(survey, "survey_file", interrupted)
    assert survey.main([str(tree), "--serial"]) == 130
    assert capsys.readouterr().out == "interrupted: surveyed 1 of 4 files\n"


def test_missing_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert survey.main(["no/such"]) == 2
    hint = "(give a folder that holds Python files)"
    assert capsys.readouterr() == ("", f"survey: no such directory: 'no/such' {hint}\n")


def test_folder_without_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert survey.main([str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"survey: no Python files in {str(tmp_path)!r}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options", [["--slaves", "-1"], ["--slaves", "many"], ["--top", "auto"], ["--top=-1"]]
)
def test_bad_options(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        survey.main(options)
    assert options[0].partition("=")[0] in capsys.readouterr().err


def test_limits_apply_to_the_default_root_only(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, None]] = []

    def find(*_: Path, **limits: None) -> list[str]:
        asked.append(limits)
        return []

    monkeypatch.setattr(survey, "find_files", find)
    survey.main(["--serial"])
    survey.main([str(tree), "--serial"])
    assert asked == [{}, {"max_files": None, "max_lines": None}]


@pytest.mark.skipif(sys.platform == "win32", reason="file names are Unicode there")
def test_odd_file_names_are_printed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "[red]x.py").write_text("def f(): pass\n", encoding="utf-8")
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff.py")).write_text("def g(): pass\n")
    assert survey.main([str(tree), "--serial"]) == 0
    out = capsys.readouterr().out
    assert "[red]x.py:1" in out
    assert "?.py:1" in out
