"""Classes that both sides of a test know, one of each kind that travels."""

from __future__ import annotations

import enum
import functools
import math
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import attrs
import msgspec

ran: list[str] = []
"""What the classes' own code did, which must be nothing."""

INSTEAD = ": leave it out, or send plain values in its place"
"""What is said of a lock or a socket that was to be sent."""


class Colour(enum.Enum):
    RED = 1
    BLUE = (0, "b")


class Odd(enum.Enum):
    ONE = 1.0
    NAN = math.nan
    TWO = 2.0
    FIRST = "a"
    LAST = "z"


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Guess(enum.Flag):
    NONE = 0
    SOME = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        ran.append("Guess._missing_")
        return cls.NONE


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Triple(namedtuple("_Triple", "a b c")):
    __slots__ = ()

    def total(self) -> Any:
        return self.a + self.b + self.c


class Loose(namedtuple("_Loose", "a")):  # without __slots__, so it has a __dict__
    pass


class Hiding(namedtuple("_Hiding", "a b")):
    __slots__ = ()
    a = property(lambda self: 99)


class Unnamed(tuple[int, ...]):
    __slots__ = ()
    _fields: Any = ("a", 1)


class Listed(tuple[int, ...]):
    __slots__ = ()
    _fields: ClassVar[Any] = ["a", "b"]


class Nothing(tuple[int, ...]):
    __slots__ = ()
    _fields: Any = None


@dataclass
class Part:
    name: str
    tags: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        ran.append("Part.__post_init__")


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: Any = None


@dataclass
class Bolt(Part):
    length: int = 3


@attrs.define
class Nut:
    size: Any
    _hidden: int = 4

    def __attrs_post_init__(self) -> None:
        ran.append("Nut.__attrs_post_init__")


@attrs.frozen(slots=False)
class Washer:
    size: Any


class Screw(msgspec.Struct):
    size: Any
    kind: str = "m"


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    size: Any


class Bare(msgspec.Struct):
    pass


class Calls(type(msgspec.Struct)):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        ran.append("Calls.__call__")
        return super().__call__(*args, **kwargs)


class Called(msgspec.Struct, metaclass=Calls):
    size: Any = 1


class Eager(msgspec.Struct):
    size: Any

    def __post_init__(self) -> None:
        ran.append("Eager.__post_init__")


class OutOfStock(Exception):
    def __init__(self, item: str, *, left: int) -> None:
        ran.append("OutOfStock.__init__")
        super().__init__(item)
        self.left = left


class MyList(list[Any]):
    pass


@dataclass
class Stack(list[Any]):
    name: str


@dataclass
class Computed:
    side: int

    @functools.cached_property
    def area(self) -> int:
        return self.side**2


class Recorder:
    """A data descriptor: to set it runs code."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return 0

    def __set__(self, instance: Any, value: Any) -> None:
        ran.append("Recorder.__set__")


@dataclass
class Recorded:
    value: Any = Recorder()

    def __init__(self) -> None:
        pass


@dataclass
class Empty:
    pass


class Watchful(type):
    def __getattribute__(cls, name: str) -> Any:
        ran.append(f"Watchful.__getattribute__ {name}")
        return super().__getattribute__(name)


class Watched(metaclass=Watchful):
    pass


class Pretender:
    """An instance that claims to be a class."""

    @property
    def __class__(self) -> Any:
        ran.append("Pretender.__class__")
        return type


pretender = Pretender()


@dataclass
class Trap:
    value: Any

    def __setstate__(self, state: Any) -> None:
        ran.append("Trap.__setstate__")

    def __reduce__(self) -> Any:
        ran.append("Trap.__reduce__")
        return (Trap, (self.value,))

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "value":
            ran.append("Trap.__setattr__")
        object.__setattr__(self, name, value)


def a_function() -> None:
    ran.append("a_function")
