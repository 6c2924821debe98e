"""How bytes are changed: by a generator that is given, so that each input can be made again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["mutate", "mutate_pem", "pem_of", "split"]

_ODD = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff", b"\x00\x00\x40\x00", b"\xc1", b"\xdd\xff\xff\xff\xff", b"(" * 300,
        b"[" * 3000, b"\x91" * 3000, b"\x30\x80", b"\n", b"'", b"\\x", b"\xed\xa0\x80")  # fmt: skip


def _flip(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)


def _set(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _insert(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(_ODD) if chance.randrange(2) else chance.randbytes(5)


def _overwrite(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, odd = chance.randrange(len(data)), chance.choice(_ODD)
    data[at : at + len(odd)] = odd


def _delete(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 1, 4, 40))]


def _cut(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data)) :]


def _double(chance: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, size = chance.randrange(len(data)), chance.choice((1, 4, 30, 300))
    data[at:at] = data[at : at + size] * chance.choice((1, 1, 2, 20))


def _splice(chance: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = chance.choice(others)
    begin = chance.randrange(len(other) + 1)
    data[chance.randrange(len(data)) :] = other[begin:]


_WAYS = (_flip, _flip, _set, _set, _insert, _overwrite, _delete, _cut, _double, _splice)


def mutate(chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of *seeds* with a few changes; now and then as it is, or noise."""
    kind = chance.randrange(40)
    if kind == 0:
        return chance.choice(seeds)
    if kind == 1:
        return chance.randbytes(chance.randrange(400))
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if data:
            chance.choice(_WAYS)(chance, data, seeds)
    return bytes(data)


def pem_of(der: bytes, label: str) -> bytes:
    """Return DER as PEM."""
    text = base64.encodebytes(der)
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), text, label.encode())


def mutate_pem(chance: Random, ders: Sequence[bytes], label: str) -> bytes:
    """Return a PEM text that was changed, or, mostly, one of DER that was changed."""
    if chance.randrange(4):
        return pem_of(mutate(chance, ders), label)
    return mutate(chance, [pem_of(der, label) for der in ders])


def split(chance: Random, data: bytes, take: Callable[[bytes], object]) -> None:
    """Hand *data* over in one piece, or in several."""
    if not data or chance.randrange(3):
        take(data)
        return
    at = 0
    while at < len(data):
        end = at + chance.choice((1, 7, 100, 5000))
        take(data[at:end])
        at = end
