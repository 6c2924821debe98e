"""Bytes from anyone give a value, WireError or NotSendable; no code of a user's is run for them."""

from __future__ import annotations

import contextlib
import random
import struct
import sys
import time
import tracemalloc
from typing import Any

import codec_classes as classes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servants import calm
from test_codec import NOON, VALUES
from test_codec_exceptions import ERRORS

from remoteobj import NotSendable, RemoteObjError, WireError
from remoteobj.codec import decode, encode, tags
from remoteobj.codec.calls import decode_error

Ext = msgspec.msgpack.Ext
INPUTS = 100_000


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(WireError, NotSendable):
        decode(data)


def seeds() -> list[bytes]:
    arrays = [np.arange(3), np.zeros((2, 2), [("a", "i4", 2)]), np.float32(1), np.datetime64("NaT")]
    row = {"n": 1, "when": NOON, "tags": ["a"]}
    point, pair = classes.Point(1.0, NOON), classes.Pair(NOON, {1: 2})
    many = [
        [row] * 8,
        [*[row] * 8, {"tags": (1,)}],
        [point] * 8,
        [pair] * 8,
        dict.fromkeys(range(8), row),
    ]
    return [encode(value) for value in [*VALUES, *ERRORS, *arrays, *many]]


def test_random_and_mutated_bytes_are_a_value_or_refused() -> None:
    chance, good = random.Random(5), seeds()
    classes.ran.clear()
    tracemalloc.start()
    slowest = 0.0
    modules = set(sys.modules)
    for number in range(INPUTS):
        if number % 4 == 0:
            data = chance.randbytes(chance.randrange(40))
        else:
            mutated = bytearray(chance.choice(good))
            for _ in range(chance.randint(1, 3)):
                place = chance.randrange(len(mutated) + 1)
                if number % 4 == 1:
                    mutated[place : place + 1] = chance.randbytes(chance.randrange(3))
                elif place < len(mutated):
                    mutated[place] ^= 1 << chance.randrange(8)
            data = bytes(mutated)
        before = time.perf_counter()
        decode_or_refuse(data)
        slowest = max(slowest, time.perf_counter() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert slowest < 1.0
    assert peak < 30_000_000
    assert {name.partition(".")[0] for name in set(sys.modules) - modules} <= {"zoneinfo", "tzdata"}
    assert classes.ran == []


@calm
@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    decode_or_refuse(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 300)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=12)
    | st.sampled_from(["codec_classes:Point", "codec_classes:Colour", "builtins:OSError", "<f8"])
    | st.builds(Ext, st.integers(0, 16), st.binary(max_size=14)),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.integers(0, 19) | st.text(max_size=2), inner, max_size=1)
    ),
    max_leaves=12,
)


@calm
@given(JSON)
def test_any_tree_of_msgpack_is_a_value_or_refused(tree: Any) -> None:
    decode_or_refuse(packed(tree))


def text_of(data: bytes) -> str:
    with pytest.raises((WireError, NotSendable)) as caught:
        decode(data)
    return str(caught.value)


@pytest.mark.parametrize("number", [*range(20)])
@pytest.mark.parametrize("content", [None, 0, "", b"", [], [None], [[]], {}, [0] * 8, ["x"] * 6])
def test_every_number_with_content_of_another_kind(number: int, content: Any) -> None:
    decode_or_refuse(packed({number: content}))
    if type(content) is bytes:
        decode_or_refuse(packed(Ext(number, content)))


@pytest.mark.parametrize(
    "wrap", [b"\x91", b"\x81\xa1a", b"\x81\x01\x91", b"\x81\x04\x92\x91\x01\x91"]
)
def test_deep_bytes_are_refused(wrap: bytes) -> None:
    for levels in (201, 3000, 200_000):
        assert "nested" in text_of(wrap * levels + b"\x90")
    assert "no text" in text_of(b"\x81" + b"\x91" * 250 + b"\x01\x01")


@pytest.mark.parametrize("start", [b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"])
def test_a_length_is_not_believed(start: bytes) -> None:
    tracemalloc.start()
    text_of((start + b"\x7f\xff\xff\xff") * 50)
    text_of(packed({tags.ARRAY: ["<f8", [10**12], "C", True, b""]}))
    text_of(packed({tags.ARRAY: ["V0", [10**9], "C", True, b""]}))
    text_of(packed({tags.ARRAY: [[["a"], ["<f8"], [10**6], 8, False], [1], "C", True, bytes(8)]}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_dates_that_are_none_are_refused() -> None:
    good = decode(packed(Ext(tags.DATETIME, struct.pack(">HBBBBBBH", 2024, 2, 29, 1, 2, 3, 0, 5))))
    assert good == NOON.replace(2024, 2, 29, 1, 2, 3, 5)
    for fields in (
        (2023, 2, 29, 1, 2, 3, 0, 5),
        (1, 1, 1, 24, 0, 0, 0, 0),
        (1, 1, 1, 0, 0, 0, 99, 0),
    ):
        text_of(packed(Ext(tags.DATETIME, struct.pack(">HBBBBBBH", *fields))))
    text_of(
        packed(
            Ext(tags.DATETIME, struct.pack(">HBBBBBBH", 2, 1, 1, 0, 0, 0, 0, 0) + packed("../x"))
        )
    )


def test_a_class_that_is_not_imported_is_named_and_not_imported() -> None:
    assert "antigravity" not in sys.modules
    data = packed({tags.RECORD: ["antigravity:Fly", ["a"], 1]})
    assert text_of(data) == (
        "an object of class antigravity.Fly arrived, which is not known here: import the module "
        "that defines it (antigravity)"
    )
    assert "antigravity" not in sys.modules
    with pytest.raises(RemoteObjError):
        decode(packed({tags.ENUM: ["codec_classes:Nothing", 1]}))


@pytest.mark.parametrize(
    "name",
    [
        *("codec_classes:a_function", "codec_classes:MyList", "codec_classes:Colour", "os:environ"),
        *(
            "builtins:list",
            "builtins:object",
            "codec_classes:Eager",
            "codec_classes:Point.__class__",
        ),
        *(
            "codec_classes:OutOfStock",
            "subprocess:Popen",
            "codec_classes",
            ":",
            "",
            "codec_classes:",
        ),
    ],
)
def test_a_name_of_another_kind_is_refused_and_nothing_is_run(name: str) -> None:
    classes.ran.clear()
    told = text_of(packed({tags.RECORD: [name, ["args"], 1, []]}))
    assert "another kind" in told or "not known here" in told
    told = text_of(packed({tags.RECORD: [name, ["args"], 1]}))
    assert "another kind" in told or "not known here" in told
    if not name.endswith("Colour"):
        told = text_of(packed({tags.ENUM: [name, 1]}))
        assert "is no enum here" in told or "not known here" in told
    if not name.endswith("OutOfStock"):
        sent = {tags.EXCEPTION: [name, "why", [1], [], [], None, None, False]}
        assert type(decode_error(packed([[], sent]))).__name__ == "RemoteError"
        told = text_of(packed(sent))
        assert "no exception here" in told or "not known here" in told
    assert classes.ran == []


def test_fields_that_differ_are_told() -> None:
    told = text_of(packed({tags.RECORD: ["codec_classes:Point", ["x", "z"], 1, 2]}))
    assert told.startswith("codec_classes.Point has the fields x, y here, but x, z where the value")
    told = text_of(packed({tags.RECORD: ["codec_classes:Pair", ["left"], 1]}))
    assert "left, right here, but left where" in told
    text_of(packed({tags.RECORD: ["codec_classes:Pair", ["left", "right"], 1]}))
    text_of(packed({tags.RECORD: ["codec_classes:Point", ["x", "y"], 1]}))


def test_a_member_that_is_none_is_refused_without_asking_the_enum() -> None:
    assert "has no member of value 7" in text_of(packed({tags.ENUM: ["codec_classes:Colour", 7]}))
    text_of(packed({tags.ENUM: ["codec_classes:Right", 64]}))
    text_of(packed({tags.ENUM: ["codec_classes:Colour", [[]]]}))


def test_what_cannot_be_a_key_is_refused() -> None:
    text_of(packed({tags.SET: [[]]}))
    text_of(packed({tags.DICT: [[[]], [1]]}))
    text_of(packed({tags.DICT: [[1], []]}))
    text_of(packed({tags.DICT: [[1]]}))
    text_of(packed({1.5: 1}))
    text_of(packed({2: 1, 3: 4}))


def test_a_fraction_of_huge_numbers_takes_no_time() -> None:
    before = time.perf_counter()
    one, other = (Ext(tags.BIG_INT, random.Random(seed).randbytes(200_000)) for seed in (1, 2))
    decode(packed({tags.FRACTION: [one, other]}))
    assert time.perf_counter() - before < 0.5
