"""Lists of many values of one kind are written together, because a walk over each takes longer.

Records that are dicts are what calls are full of. Whatever is plain in them stays in the dicts,
which msgspec writes and reads in one go, with a check of the types on the way; what is not plain is
taken out, key by key, and follows as a list, which may itself be one of many values of one kind::

    [{"n": 1, "when": noon}, ...]  ->  {ROWS: [bytes of [{"n": 1, "when": None}, ...],
                                               "when", None, {DATETIMES: bytes of [noon, ...]}]}

Tuples of one length follow one another by columns, and so do values of a class: see ``records``.
Who cannot be written so is written one by one, and so is all that follows a refusal, for that is
what tells its place.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter, itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any

import msgspec

from remoteobj.codec import leaves, records, tags
from remoteobj.codec.refusals import Refused
from remoteobj.errors import WireError

if TYPE_CHECKING:
    from remoteobj.codec.reading import Reader
    from remoteobj.codec.writing import Writer

MANY = 8
"""From this length on, what it takes to look at the whole list is made up for."""

_FLAT = frozenset({NoneType, bool, int, float, str})
TEXT = frozenset({str})
_DATETIMES = frozenset({datetime.datetime, NoneType})
_FlatRow = dict[str, bool | int | float | str | None]
_read_rows = msgspec.msgpack.Decoder(list[_FlatRow]).decode
_read_datetimes = msgspec.msgpack.Decoder(list[datetime.datetime | None]).decode
_zone_of, _fold_of = attrgetter("tzinfo"), attrgetter("fold")
_ONE_ZONE = [{id(None)}, {id(datetime.UTC)}]


def pack_many(writer: Writer, values: list[Any], depth: int) -> Any:
    """Pack *values*, which stand inside *depth* containers, together; None if they cannot be."""
    kinds = set(map(type, values))
    if kinds <= writer.plain:
        return values
    if len(kinds) > 1 and kinds != _DATETIMES:
        return None
    taken = len(writer.buffers or ())
    try:
        packed = _pack_kind(writer, kinds.pop(), values, depth)
    except Refused:
        packed, writer.is_together = None, False
    if packed is None:
        writer.forget(taken)
    return packed


def _pack_kind(writer: Writer, kind: type, values: list[Any], depth: int) -> Any:
    if kind in _DATETIMES:
        return _pack_datetimes(values)
    if depth + 1 >= writer.max_depth:
        return None
    if kind is dict:
        return _pack_rows(writer, values, depth)
    if kind is tuple:
        return _pack_tuples(writer, values, depth)
    return records.pack_many(writer, kind, values, depth)


def _pack_datetimes(values: list[Any]) -> Any:
    there = [*filter(None, values)]
    if {*map(id, map(_zone_of, there))} not in _ONE_ZONE or any(map(_fold_of, there)):
        return None  # msgspec has no names of zones, and no fold
    return {tags.DATETIMES: leaves.write_plain(values)}


def read_datetimes(_: Reader, content: Any, __: int) -> list[Any]:
    """Read a list of datetimes and Nones."""
    return _read_datetimes(content)


def _pack_rows(writer: Writer, rows: list[dict[Any, Any]], depth: int) -> Any:
    if not TEXT.issuperset(map(type, chain.from_iterable(rows))):
        return None
    if _are_flat(rows):
        return {tags.ROWS: [leaves.write_plain(rows)]}
    bare = [*map(dict.copy, rows)]
    columns: list[Any] = []
    for key, places, values in _take_special(bare):
        columns += key, places, writer.pack_list(values, depth + 1)
    return {tags.ROWS: [leaves.write_plain(bare), *columns]}


def _take_special(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[int] | None, list[Any]]]:
    """Replace by None what is not plain, and hand it out: its key, in which rows, the values."""
    for key in [key for key, value in rows[0].items() if type(value) not in _FLAT]:
        try:  # mostly, the first shows what is in all of them
            values = [*map(itemgetter(key), rows)]
        except KeyError:
            continue
        for row in rows:
            row[key] = None
        yield key, None, values
    rest: dict[str, tuple[list[int], list[Any]]] = {}
    if not _are_flat(rows):
        for place, row in enumerate(rows):
            for key, value in row.items():
                if type(value) not in _FLAT:
                    places, values = rest.setdefault(key, ([], []))
                    places.append(place)
                    values.append(value)
                    row[key] = None
    for key, (places, values) in rest.items():
        yield key, places, values


def _are_flat(rows: list[dict[str, Any]]) -> bool:
    return _FLAT.issuperset(map(type, chain.from_iterable(map(dict.values, rows))))


def read_rows(reader: Reader, content: Any, depth: int) -> list[dict[str, Any]]:
    """Read a list of dicts."""
    reader.check_depth(depth + 1)
    rows = _read_rows(content[0])
    for key, places, packed in zip(content[1::3], content[2::3], content[3::3], strict=True):
        if type(key) is not str:
            raise WireError(f"{type(key).__name__} is no key of a plain map")
        there = rows if places is None else [rows[place] for place in places]
        for row, value in zip(there, reader.items(packed, depth + 1), strict=True):
            row[key] = value
    return rows


def _pack_tuples(writer: Writer, values: list[tuple[Any, ...]], depth: int) -> Any:
    if len({*map(len, values)}) > 1 or not values[0]:
        return None
    columns = map(list, zip(*values, strict=True))
    return {tags.TUPLES: [writer.pack_list(column, depth + 1) for column in columns]}


def read_tuples(reader: Reader, content: Any, depth: int) -> list[tuple[Any, ...]]:
    """Read a list of tuples of one length."""
    return [*zip(*reader.columns(content, depth), strict=True)]
