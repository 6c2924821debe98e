"""The registry against a dict."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nameserver import BadName, NameTaken, NameUnknown, Record
from nameserver.record import make_record
from nameserver.registry import Registry
from remoteobj import URI

NAMES = st.sampled_from(["a", "a.b", "a.c", "ab", "b", "Pyro.NameServer"])
PLACES = st.integers(1, 9).map(lambda port: f"PYRO:x@127.0.0.1:{port}")


class RegistryAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.model: dict[str, Record] = {}

    @rule(name=NAMES, uri=PLACES, tags=st.sets(st.sampled_from("tu")), replace=st.booleans())
    def register(self, name: str, uri: str, tags: set[str], replace: bool) -> None:
        record = make_record(name, uri, tags)
        if name in self.model and not replace:
            with pytest.raises(NameTaken, match=str(self.model[name].uri)):
                self.registry.register(record)
        else:
            self.registry.register(record, replace=replace)
            self.model[name] = record

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert self.registry.remove(name) == (self.model.pop(name, None) is not None)

    @rule(name=NAMES)
    def lookup(self, name: str) -> None:
        if name in self.model:
            assert self.registry.lookup(name) == self.model[name]
        else:
            with pytest.raises(NameUnknown, match=name):
                self.registry.lookup(name)

    @rule(prefix=st.sampled_from(["", "a", "a.", "x"]))
    def list_some(self, prefix: str) -> None:
        expected = [self.model[name] for name in sorted(self.model) if name.startswith(prefix)]
        assert list(self.registry.list(prefix)) == expected

    @invariant()
    def count(self) -> None:
        assert self.registry.count() == len(self.model)


RegistryAgainstDict.TestCase.settings = settings(database=None, max_examples=60, deadline=None)
TestRegistry = RegistryAgainstDict.TestCase


def test_a_record_made_elsewhere_is_checked_too() -> None:
    with pytest.raises(BadName):
        Registry().register(Record("a b", URI("PYRO:x@127.0.0.1:1")))
