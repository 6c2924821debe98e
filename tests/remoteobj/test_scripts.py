"""Classes of a script that was started: no other process can import them, and that is what is said.

The script serves, and calls back; what it defines is known to nobody else.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from servants import Connect, StartScript

from remoteobj import Daemon, NotSendable, RemoteError, expose

SCRIPT = """
import enum, sys
from dataclasses import dataclass
from typing import NamedTuple
from remoteobj import Daemon, NotSendable, Proxy, batch, expose

@dataclass
class Point:
    x: int

class Pair(NamedTuple):
    left: int

class Colour(enum.Enum):
    RED = 1

class Sold(Exception):
    pass

MADE = {"Point": Point(1), "Pair": Pair(1), "Colour": Colour.RED, "Sold": Sold("out", 3)}

@expose
class Shop:
    def give(self, name):
        return [MADE[name]]
    def fail(self, name):
        raise MADE[name]
    def fail_with(self, name):
        error = ValueError("no", MADE[name])
        error.kept = MADE[name]
        raise error from MADE["Sold"]
    def send(self, uri, name, how):
        with Proxy(uri) as there:
            try:
                if how == "by place":
                    there.echo(1, {"a": MADE[name]})
                elif how == "by name":
                    there.echo(value=[MADE[name]])
                elif how == "batch":
                    calls = batch(there)
                    calls.echo(1)
                    calls.echo(MADE[name])
                    list(calls())
            except NotSendable as error:
                return str(error)

with Daemon() as daemon:
    print(daemon.register(Shop()), flush=True)
    daemon.serve_forever()
"""

WHAT_TO_DO = (
    "which is not known here: it is defined in the script that was started there, which no other "
    "process can import; move it to a module that both sides import"
)


@pytest.fixture
def shop(start_script: StartScript, connect: Connect) -> Iterator[Any]:
    process = start_script("-c", SCRIPT)
    assert process.stdout is not None
    yield connect(process.stdout.readline().strip())
    process.kill()
    process.wait()
    with Daemon():
        pass  # sweeps what it left behind


@expose
class Echo:
    def echo(self, value: Any, other: Any = None) -> Any:
        return value


@pytest.mark.parametrize("name", ["Point", "Pair", "Colour", "Sold"])
def test_an_object_of_a_script_is_refused_and_told_where_its_class_belongs(
    name: str, shop: Any, daemon: Daemon
) -> None:
    arrived = f"an object of class __main__.{name} arrived, {WHAT_TO_DO}"
    with pytest.raises(NotSendable) as caught:
        shop.give(name)
    assert str(caught.value) == arrived
    uri = daemon.register(Echo())
    assert shop.send(uri, name, "by place") == f"echo() argument 2: {arrived}"
    assert shop.send(uri, name, "by name") == f"echo() argument 'value': {arrived}"
    assert shop.send(uri, name, "batch") == (f"call 2 of the batch: echo() argument 1: {arrived}")


def test_what_a_script_raises_arrives_in_words(shop: Any) -> None:
    with pytest.raises(RemoteError) as caught:
        shop.fail("Sold")
    assert (caught.value.type_name, caught.value.message) == ("__main__.Sold", "out, 3")
    assert "in fail" in caught.value.remote_traceback


@pytest.mark.parametrize("name", ["Point", "Pair", "Colour", "Sold"])
def test_an_error_is_not_lost_for_what_it_holds(name: str, shop: Any) -> None:
    with pytest.raises(ValueError) as caught:
        shop.fail_with(name)
    error: Any = caught.value
    words = f"class __main__.{name} arrived, {WHAT_TO_DO}"
    if name == "Sold":
        words = "__main__.Sold: out, 3"
    for held in (error.args[1], error.kept):
        assert words in str(held)
    assert error.args[0] == "no"
    assert "in fail_with" in "".join(traceback.format_exception(error))
    assert str(error.__cause__) == "__main__.Sold: out, 3"
