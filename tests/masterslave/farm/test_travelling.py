"""The script's own modules travel to slaves that have nothing of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from masterslave import BadModule, Farm
from tests.masterslave.conftest import StartSlave

FILES = {
    "helpers.py": """
        def who():
            return VERSION, __file__

        def boom():
            raise ValueError("of the helpers")  # here it was

        VERSION = 1
        """,
    "shapes/__init__.py": "from .square import Colour, Odd, Square",
    "shapes/square.py": """
        from dataclasses import dataclass
        from enum import Enum
        from . import rules

        class Colour(Enum):
            RED = 1

        class Odd(Exception):
            def __init__(self, side, *, reason):
                super().__init__(side)
                self.reason = reason

        @dataclass
        class Square:
            side: int

            def area(self):
                if self.side < 0:
                    raise Odd(self.side, reason="negative")
                return rules.power(self.side)
        """,
    "shapes/rules.py": "def power(side): return side * side",
    "late.py": "import later\nNAME = later.NAME",
    "later.py": "NAME = 'late'",
    "run.py": """
        import json, sys, traceback
        from masterslave import Farm
        import helpers
        from shapes import Colour, Odd, Square

        class Mine:
            def __init__(self, square):
                self.square = square

        def area(mine):
            from late import NAME
            return mine.square.area(), NAME, Colour.RED, Mine(Square(4))

        said = {}
        with Farm("travel", local_slaves=0) as farm:
            size, said["late"], colour, mine = farm.submit(area, Mine(Square(3))).result()
            assert size == 9 and colour is Colour.RED and type(mine) is Mine
            assert type(mine.square) is Square and mine.square == Square(4)
            said["who"] = farm.submit(helpers.who).result()
            try:
                farm.submit(helpers.boom).result()
            except ValueError as error:
                said["boom"] = str(error.__cause__)
            try:
                farm.submit(Square.area, Square(-1)).result()
            except Odd as error:
                said["odd"] = [error.args, error.reason]
            said["map"] = list(farm.map(Square.area, map(Square, range(4))))
            said["disk"] = farm.submit(__import__("os").path.exists, __file__).result()
        print(json.dumps(said))
        """,
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return folder


def run(script: Path, *before: str, **options: Any) -> Any:
    """Run a script; return what it prints."""
    command = [*before, sys.executable, str(script)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30, **options
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unseen(source: Path, target: Path) -> tuple[str, ...]:
    """Return what shows the files of *source* in *target* to one process alone."""
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("only root may show a directory to one process alone")
    return "unshare", "-m", "sh", "-c", f'mount --bind {source} {target} && exec "$@"', "sh"


def test_a_script_runs_from_a_directory_that_slaves_do_not_have(
    start_slave: StartSlave, tmp_path: Path
) -> None:
    source, seen = write(tmp_path / "source", FILES), tmp_path / "seen"
    seen.mkdir()
    start_slave("travel", "--slots", "1")
    said = run(seen / "run.py", *unseen(source, seen))
    assert not said["disk"]
    assert said["late"] == "late"
    assert said["who"] == [1, str(seen / "helpers.py")]
    assert 'raise ValueError("of the helpers")  # here it was' in said["boom"]
    assert said["odd"] == [[-1], "negative"]
    assert said["map"] == [0, 1, 4, 9]


TWICE = {
    "helpers.py": "VERSION = 1\nimport inner",
    "inner.py": "def version(): return VERSION\nVERSION = 1",
    "run.py": """
        import json, os
        from masterslave import Farm
        import helpers, inner

        def version():
            return helpers.VERSION, inner.version(), os.getpid()

        with Farm("travel", local_slaves=0) as farm:
            print(json.dumps([farm.submit(version).result() for _ in range(3)]))
        """,
}


def test_a_module_that_was_changed_is_never_run_as_it_was(
    start_slave: StartSlave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write(tmp_path / "project", TWICE)
    # What the slave finds by these names itself is another version.
    own = write(tmp_path / "own", {"helpers.py": "VERSION = 0", "inner.py": "VERSION = 0"})
    monkeypatch.setenv("PYTHONPATH", str(own))
    start_slave("travel", "--slots", "1")
    monkeypatch.delenv("PYTHONPATH")
    first = run(project / "run.py")
    again = run(project / "run.py")
    assert [told[:2] for told in first + again] == [[1, 1]] * 6
    assert {told[2] for told in first} == {told[2] for told in again}  # one child has run all
    write(project, {"inner.py": "def version(): return VERSION\nVERSION = 2"})
    changed = run(project / "run.py")
    assert [told[:2] for told in changed] == [[1, 2]] * 3
    assert {told[2] for told in changed}.isdisjoint(told[2] for told in first)


GROWS = {
    "first.py": "NAME = 'first'",
    "second.py": "class Second:\n    def name(self): return 'second'",
    "run.py": """
        import importlib, json, os, pathlib, sys
        from masterslave import Farm
        import first

        def name(thing):
            return first.NAME if thing is None else thing.name(), os.getpid()

        with Farm("travel", local_slaves=1) as farm:
            said = [farm.submit(name, None).result()]
            second = importlib.import_module("sec" + "ond")
            said.append(farm.submit(name, second.Second()).result())
            said += farm.map(name, [None, second.Second()])
            sys.dont_write_bytecode = True
            pathlib.Path(first.__file__).write_text("NAME = 'changed, and read anew'")
            importlib.invalidate_caches()
            said.append(farm.submit(name, None).result())
            importlib.reload(first)
            said.append(farm.submit(name, None).result())
            print(json.dumps(said))
        """,
}


def test_a_script_may_import_more_and_reload(tmp_path: Path) -> None:
    said = run(write(tmp_path, GROWS) / "run.py")
    names, pids = [name for name, _ in said], [pid for _, pid in said]
    assert names == ["first", "second", "first", "second", "first", "changed, and read anew"]
    assert len(set(pids[:5])) == 1  # more modules need no new child
    assert pids[5] != pids[4]


def test_two_farms_with_other_versions_share_a_slave(
    start_slave: StartSlave,
    start_script: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    text = """
        import json, os, sys
        from masterslave import Farm
        import helpers

        def version(n):
            return helpers.VERSION

        with Farm("travel", local_slaves=0) as farm:
            print("up", flush=True)
            input()
            print(json.dumps(sorted(set(farm.map(version, range(300), chunksize=1)))))
        """
    start_slave("travel", "--slots", "1")
    scripts = []
    for version in (1, 2):
        files = {"helpers.py": f"VERSION = {version}", "run.py": text}
        folder = write(tmp_path / str(version), files)
        scripts.append(start_script(str(folder / "run.py")))
    for script in scripts:
        assert script.stdout is not None
        assert script.stdout.readline() == "up\n"
    for script in scripts:
        assert script.stdin is not None
        script.stdin.write("\n")
        script.stdin.flush()
    said = [script.communicate(timeout=30)[0].strip() for script in scripts]
    assert said == ["[1]", "[2]"]


SENT = {
    "plugins/__init__.py": "",
    "plugins/one.py": "NAME = 'one'",
    "plugins/texts/hello.txt": "hello",
    "plugins/table.csv": "1,2",
    "other/pyproject.toml": "",
    "other/tools/deep.py": "def where(): return __name__",
    "run.py": """
        import json, pathlib
        from masterslave import BadModule, Farm

        def look():
            import importlib, pkgutil
            from importlib.resources import files
            package = importlib.import_module("plug" + "ins")
            return [
                importlib.import_module("plug" + "ins.one").NAME,
                [each.name for each in pkgutil.iter_modules(package.__path__)],
                pkgutil.get_data("plugins", "table.csv").decode(),
                (files("plugins") / "texts" / "hello.txt").read_text(),
                sorted(each.name for each in files("plugins").iterdir()),
                importlib.import_module("tools.deep").where(),
            ]

        with Farm("travel", local_slaves=1) as farm:
            try:
                farm.submit(look).result()
            except ModuleNotFoundError as error:
                said = [error.name]
            here = pathlib.Path(__file__).parent
            farm.send_module("plugins")
            farm.send_module(here / "other")
            said.append(farm.submit(look).result())
        print(json.dumps(said))
        """,
}


def test_what_is_sent_by_name_or_path_brings_its_data(tmp_path: Path) -> None:
    said = run(write(tmp_path, SENT) / "run.py")
    inside = ["__init__.py", "one.py", "table.csv", "texts"]
    assert said == [
        "plugins",
        ["one", ["one", "texts"], "1,2", "hello", inside, "tools.deep"],
    ]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("no_such_thing", "no module named no_such_thing is found here"),
        ("json", "every slave has its own"),
        ("/no/such/thing.py", "there is no /no/such/thing.py"),
        (3, "not 3"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(what: Any, why: str) -> None:
    with Farm("travel", local_slaves=0) as farm, pytest.raises(BadModule, match=why):
        farm.send_module(what)


def test_a_compiled_module_is_named_with_its_file(tmp_path: Path) -> None:
    suffix = EXTENSION_SUFFIXES[0]
    project = write(tmp_path, {"pkg/__init__.py": "", f"pkg/fast{suffix}": "no machine code"})
    why = rf"pkg\.fast is compiled \(.*/pkg/fast{suffix}\)"
    with Farm("travel", local_slaves=0) as farm, pytest.raises(BadModule, match=why):
        farm.send_module(project / "pkg")
