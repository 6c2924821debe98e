"""Which classes travel, and that nothing of theirs is run, nor anything mistaken for another."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import codec_classes as classes
import msgspec
import pytest

from remoteobj import NotSendable, WireError
from remoteobj.codec import decode, encode, tags

LONG = 9
"""So many that they are written together."""


def refusal_of(value: Any) -> str:
    """Encode *value*, alone and as one of many; return what is told of it."""
    with pytest.raises(NotSendable) as caught:
        encode(value)
    alone = str(caught.value)
    with pytest.raises(NotSendable) as caught:
        encode([value] * LONG)
    assert str(caught.value) == alone.replace("value: ", "value: [0]: ", 1)
    return alone


def told_by(name: str, fields: list[str], values: list[Any]) -> str:
    """Decode what names a class, alone and many; return what is told of it."""
    with pytest.raises((NotSendable, WireError)) as caught:
        decode(msgspec.msgpack.encode({tags.RECORD: [name, fields, *values]}))
    alone = str(caught.value)
    columns = [[value] * LONG for value in values]
    with pytest.raises((NotSendable, WireError)) as caught:
        decode(msgspec.msgpack.encode({tags.RECORDS: [name, fields, *columns]}))
    assert str(caught.value) == alone
    return alone


def test_a_class_that_another_one_hides_is_not_mistaken_for_it() -> None:
    body = {"__module__": "codec_classes", "__annotations__": {"x": float, "y": Any}}
    namesake: Any = dataclass(type("Point", (), body))
    assert refusal_of(namesake(1.0, 2)) == (
        "value: a Point cannot be sent: its class is not found by its name, because it is defined "
        "as codec_classes.Point; define it at the top of a module, under a name of its own"
    )
    local: Any = dataclass(type("Local", (), {"__qualname__": "make.<locals>.Local"}))
    assert "because it is defined inside a function" in refusal_of(local())


def test_another_class_of_a_script_of_that_name_is_told_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = "it is defined in the script that was started there, which no other process can import"
    for here, words in (
        (classes.Nut, "__main__.Point has the fields size, _hidden here, but x, y where the value"),
        (dict, "__main__.Point is another kind of class here than where the value came from"),
    ):
        monkeypatch.setattr(sys.modules["__main__"], "Point", here, raising=False)
        told = told_by("__main__:Point", ["x", "y"], [1, 2])
        assert told.startswith(words)
        assert moved in told
    told = told_by("codec_classes:Point", ["x", "z"], [1, 2])
    assert "use the same version of its module on both sides" in told


def test_what_an_object_holds_beside_its_fields_is_refused() -> None:
    part = classes.Part("a")
    part.extra = 1
    assert "a Part with the attribute 'extra', which is none of its fields" in refusal_of(part)
    del part.name
    assert "a Part without its attribute 'name' cannot be sent" in refusal_of(part)
    hidden = classes.Computed(3)
    del hidden.side
    hidden.other = 1
    refusal_of(hidden)
    pair: Any = tuple.__new__(classes.Pair, (1, 2, 3))
    assert "a Pair with 3 items, not 2" in refusal_of(pair)


def test_what_was_computed_once_is_computed_again() -> None:
    square = classes.Computed(3)
    assert square.area == 9
    for arrived in (decode(encode(square)), decode(encode([square] * LONG))[5]):
        assert vars(arrived) == {"side": 3}
        assert arrived.area == 9


MORE = {
    "Stack": (lambda: classes.Stack("name"), ["name"]),
    "Recorded": (classes.Recorded, ["value"]),
    "Loose": (lambda: classes.Loose(1), ["a"]),
    "MyList": (classes.MyList, ["a"]),
    "Eager": (lambda: classes.Eager(1), ["size"]),
    "Called": (classes.Called, ["size"]),
    "Unnamed": (lambda: classes.Unnamed((1, 2)), ["a", "b"]),
    "Listed": (lambda: classes.Listed((1, 2)), ["a", "b"]),
    "Nothing": (lambda: classes.Nothing((1, 2)), ["a", "b"]),
}
"""Classes whose objects are more, or less, than their fields say."""


@pytest.mark.parametrize("kind", MORE)
def test_classes_that_are_not_what_their_fields_are_are_refused_on_both_sides(kind: str) -> None:
    make, fields = MORE[kind]
    made = make()
    classes.ran.clear()
    assert f"{kind} cannot be sent" in refusal_of(made)
    assert "another kind" in told_by(f"codec_classes:{kind}", fields, [1] * len(fields))
    assert classes.ran == []


def test_objects_without_fields_and_structs_with_named_ones() -> None:
    for value in (classes.Empty(), classes.Bare(), classes.Pin(size=1), classes.Screw(1)):
        for arrived in (decode(encode(value)), decode(encode([value] * LONG))[-1]):
            assert type(arrived) is type(value)
            assert arrived == value


def test_values_that_are_not_of_the_number_of_the_fields_are_refused() -> None:
    for values in ([1], [1, 2, 3], []):
        for name in ("Point", "Pair", "Screw"):
            fields = {"Point": ["x", "y"], "Pair": ["left", "right"], "Screw": ["size", "kind"]}
            with pytest.raises(WireError):
                decode(
                    msgspec.msgpack.encode(
                        {tags.RECORD: [f"codec_classes:{name}", fields[name], *values]}
                    )
                )
            columns = [[value] * LONG for value in values]
            with pytest.raises(WireError):
                decode(
                    msgspec.msgpack.encode(
                        {tags.RECORDS: [f"codec_classes:{name}", fields[name], *columns]}
                    )
                )


def test_a_named_tuple_is_its_items_whatever_its_class_shows_of_them() -> None:
    value = classes.Hiding(1, 2)
    assert value.a == 99
    for arrived in (decode(encode(value)), decode(encode([value] * LONG))[0]):
        assert type(arrived) is classes.Hiding
        assert tuple(arrived) == (1, 2)


@pytest.mark.parametrize("member", classes.Odd)
def test_a_member_is_found_by_its_value_also_if_that_is_nan(member: Any) -> None:
    assert decode(encode(member)) is member
    assert decode(encode([member] * LONG))[3] is member
    value: Any = member
    for _ in range(200):
        value = [value]
    assert repr(decode(encode(value))) == repr(value)


def test_members_together_are_made_by_the_standard_library_only() -> None:
    both = classes.Right.READ | classes.Right.WRITE
    assert decode(encode(both)) == both
    classes.ran.clear()
    with pytest.raises(NotSendable, match="has no member of value 64 here"):
        decode(msgspec.msgpack.encode({tags.ENUM: ["codec_classes:Guess", 64]}))
    assert classes.ran == []


def test_a_lookup_asks_nothing_that_runs_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def trap(name: str) -> Any:
        classes.ran.append(f"__getattr__ {name}")
        return classes.Point

    monkeypatch.setattr(classes, "__getattr__", trap, raising=False)
    classes.ran.clear()
    for name in ("Missing", "Watched.Inner", "pretender.Inner", "pretender", "Bolt.tags"):
        assert "not known here" in told_by(f"codec_classes:{name}", ["x"], [1])
    assert classes.ran == []


def test_a_lookup_does_not_import_what_waits_to_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "codec_lazy.py").write_text("raise AssertionError('imported')")
    spec = importlib.util.spec_from_file_location("codec_lazy", tmp_path / "codec_lazy.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "codec_lazy", module)
    spec.loader.exec_module(module)
    assert "not known here" in told_by("codec_lazy:Point", ["x"], [1])


def test_a_name_is_looked_up_for_each_message_and_its_fields_for_each_object() -> None:
    good = {tags.RECORD: ["codec_classes:Point", ["x", "y"], 1, 2]}
    other = {tags.RECORD: ["codec_classes:Point", ["x", "z"], 1, 2]}
    assert decode(msgspec.msgpack.encode([good, good])) == [classes.Point(1, 2)] * 2
    with pytest.raises(NotSendable, match="has the fields x, y here, but x, z"):
        decode(msgspec.msgpack.encode([good, other]))
