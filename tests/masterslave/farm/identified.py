"""A project whose script tells which tasks have which identity, and what runs versions of it.

``python -m tests.masterslave.farm.identified FOLDER...`` runs ``script.py`` of each folder in a
fork of its own, and prints a line of JSON for each.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["FILES", "Edit", "edited", "run_all", "write"]

Edit = tuple[str, str, str]
"""A file, a text in it, and what stands there instead."""

FILES = {
    "helpers.py": """
from __future__ import annotations
import sys
N = 3
RATES = {"b": 1, "a": 2}
OPEN = sys.stdout

def tool(x):
    return x

def deep(x):
    return deeper(x)

def deeper(x):
    return x + N

def rate():
    return RATES

def prints():
    print("to", file=OPEN)

def prints_too():
    print("to", file=OPEN)

def unused():
    return 1

class Kind:
    def method(self):
        return tool(1)
""",
    "pkg/__init__.py": "",
    "pkg/sub.py": """
from . import base

def f():
    return base.BASE
""",
    "pkg/base.py": "BASE = 1\n",
    "later.py": """
import latest

def f():
    return latest.f()
""",
    "latest.py": """
def f():
    return 1
""",
    "circle.py": """
import circular

def there(n):
    return n and circular.back(n - 1)
""",
    "circular.py": """
import circle

def back(n):
    return n and circle.there(n - 1)
""",
    "script.py": '''
import collections, dataclasses, enum, functools, json, logging, re, sys, threading, typing
import numpy as np
from os import environ
from random import gauss, random
import circle
import helpers
import pkg.sub
from helpers import tool

normal = np.random.normal
log = logging.getLogger(__name__)
lock = threading.Lock()
LIMIT = 3
TABLE = {"b": 1, "a": {3, 1, 2}}
PATTERN = re.compile("a+")
ARRAY = np.arange(5)
OUT = sys.stdout

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

    def tint(self):
        return self.value * 10

def unit():
    return 18

@dataclasses.dataclass
class Point:
    x: int
    y: float = 2.0
    tags: list = dataclasses.field(default_factory=lambda: [7])
    unit: object = unit

    def norm(self):
        return self.x + size_of(self)

def size_of(point):
    return abs(point.y)

class Pair(typing.NamedTuple):
    a: int
    b: str = "q"

class Base:
    def name(self):
        return "base"

class Derived(Base):
    def name(self):
        return super().name() + "d"

    @functools.cached_property
    def slow(self):
        return 4

    @property
    def fast(self):
        return 5

    @staticmethod
    def still():
        return 6

def plain(x=1, *, k=2):
    """Add."""
    return x + k

def limited(x):
    return min(x, LIMIT)

def indirect(x):
    return limited(x) + 1

def table():
    return TABLE

def array():
    return ARRAY.sum() + np.float64(1)

def twice(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args) * 2
    return wrapper

@twice
def decorated(x):
    return x + 10

@functools.lru_cache
def cached(x):
    return helpers.deep(x)

@functools.singledispatch
def dispatched(x):
    return 11

@dispatched.register
def _(x: int):
    return 12

class Dispatches:
    def run(self):
        return dispatched(self)

@dispatched.register
def _(x: Dispatches):
    return 17

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def made(n):
    def inner(y):
        class Local:
            unit = LIMIT
            def __init__(self):
                self.b = self.a = self.c = n
        return (Local, 1.0) if y in {"a", "b", "c"} else [each for each in range(13)]
    return inner

def imports_late():
    import later
    return later.f()

def of_package():
    return pkg.sub.f()

def with_tool():
    return tool(1)

def whole():
    return getattr(helpers, "ra" + "te")

def draws():
    return gauss(0, 1), random(), normal(), environ["HOME"], LIMIT

def rates():
    return helpers.rate()

def prints():
    return helpers.prints()

def kinds():
    return helpers.Kind().method()

def round_trip():
    return circle.there(3)

def writes():
    OUT.write("x")

def quiet():
    with lock:
        log.info("x")
        return PATTERN.match("a"), __file__, __name__

def generates():
    yield 14

async def waits():
    return 15

def colours():
    return Colour.RED.tint()

def points():
    return Point(1).norm()

def derived():
    return Derived().name()

def pairs():
    return Pair(1)

def annotated(x: int) -> int:
    return x

CALLED = dict(
    plain=plain, limited=limited, indirect=indirect, table=table, array=array, twice=twice,
    decorated=decorated, cached=cached, dispatched=dispatched, even=even, odd=odd, made3=made(3),
    made4=made(4), imports_late=imports_late, of_package=of_package, with_tool=with_tool,
    whole=whole, rates=rates, prints=prints, kinds=kinds, round_trip=round_trip, writes=writes,
    quiet=quiet, generates=generates, waits=waits, colours=colours, points=points, derived=derived,
    pairs=pairs, annotated=annotated, anonymous=lambda x: x + LIMIT,
    partly=functools.partial(plain, 16), bound=Derived().name, klass=Point, builtin=len,
    ufunc=np.sqrt,
    numpys=np.mean, named="render", table_get=TABLE.get, of_helpers=helpers.deep, draws=draws,
    normal=normal, own_prints=helpers.prints, own_prints_too=helpers.prints_too,
    dispatches=Dispatches().run,
)
GIVEN = dict(
    nan=float("nan"), zero=0.0, minus_zero=-0.0, one=1, true=True, text="\\ud800", large=2**80,
    members={"a", "b", ("c", 1)}, frozen=frozenset("abc"), pairs={"b": 1, "a": 2},
    pairs_turned={"a": 2, "b": 1}, ordered=collections.OrderedDict(b=1, a=2),
    ordered_turned=collections.OrderedDict(a=2, b=1), counted=collections.Counter("abca"),
    floats=np.arange(3.0), many=np.arange(10_000), objects=np.array([1, "a", None], object),
    draws=np.random.default_rng(3), point=Point(1), colour=Colour.RED, pair=Pair(1), fn=plain,
    anonymous=lambda: 1, kind=Derived, instance=Derived(), by_kind={int: 1, Point: 2, plain: 3},
    partly=functools.partial(plain, 1), error=ValueError("x"), generator=(each for each in "a"),
    optional=typing.Optional[int], colours={Colour.RED, Colour.BLUE}, module=np, own_module=helpers,
)

def tell():
    from masterslave.farm.recognising.identifying import Identities
    from masterslave.farm.travelling import LocalCode
    from masterslave.journal.canonical import NoIdentity
    from masterslave.journal.keys import pair_of

    logging.getLogger("masterslave").setLevel("ERROR")
    identities = Identities(LocalCode())
    said = {}
    for name, called in CALLED.items():
        identity = identities.of(called)
        said[name] = identity.hex() if identity else identities.why_not(called)
    for name, value in GIVEN.items():
        try:
            said[f"({name})"] = pair_of(bytes(32), (value,), walk=identities.walk).hex()
        except NoIdentity as none:
            said[f"({name})"] = str(none)
    print(json.dumps(said))

if __name__ == "__main__":
    tell()
''',
}


def write(folder: Path, files: dict[str, str] = FILES) -> Path:
    """Write the project; return its script."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "script.py"


def edited(*edits: Edit) -> dict[str, str]:
    """Return the project's files, changed."""
    files = dict(FILES)
    for file, old, new in edits:
        assert files[file].count(old) == 1, f"{old!r} in {file}"
        files[file] = files[file].replace(old, new)
    return files


def run_all(folders: Iterable[Path]) -> list[dict[str, str]]:
    """Return what the scripts in these folders say."""
    command = [sys.executable, "-m", __name__, *map(str, folders)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return said


def main() -> None:
    """Run the scripts, one after the other, each in a process that has nothing of the others."""
    for module in ("numpy", "masterslave.farm.recognising.identifying"):  # once for all
        import_module(module)

    for folder in sys.argv[1:]:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            sys.path[0] = folder
            runpy.run_path(f"{folder}/script.py", run_name="__main__")
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{folder} has failed")


if __name__ == "__main__":
    main()
