"""Classes that both sides of a test know, one of each kind that travels."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import msgspec

ran: list[str] = []
"""What the classes' own code did, which must be nothing."""


class Colour(enum.Enum):
    RED = 1
    BLUE = (0, "b")


class Size(enum.IntEnum):
    SMALL = 1


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Triple(namedtuple("_Triple", "a b c")):
    __slots__ = ()

    def total(self) -> Any:
        return self.a + self.b + self.c


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
