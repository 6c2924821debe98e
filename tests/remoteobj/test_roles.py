"""Who may call what: roles at the exposed object, and roles and nodes of daemons at the proxy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import Pyro5.api
import pytest
from raw_peers import RawCaller, call
from servants import Connect

from remoteobj import (
    BadInput,
    Daemon,
    Identity,
    InsecureWarning,
    NotAllowed,
    PeerRefused,
    Proxy,
    batch,
    current_caller,
    expose,
    release,
)
from remoteobj.exposing import role_of
from tests.certificates import Authority

StartScript = Callable[..., "subprocess.Popen[str]"]
RUNS: list[str] = []


class Desk:
    """One method for each role, and one property."""

    def __init__(self) -> None:
        self._limit = 1

    @expose(role="slave")
    def fetch(self) -> str:
        return current_caller().role

    @expose
    def submit(self, value: Any = None) -> str:
        return current_caller().role

    @expose(role="operator")
    def revoke(self, value: Any = None) -> str:
        RUNS.append("revoke")
        return current_caller().role

    @property
    @expose(role="operator")
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, value: int) -> None:
        RUNS.append("limit")
        self._limit = value

    def hidden(self) -> None:
        RUNS.append("hidden")


@expose(role="operator")
class Strict:
    def do(self) -> int:
        return 1

    @expose(role="slave")
    def look(self) -> int:
        return 2


class Derived(Strict):
    @expose
    def do(self) -> int:
        return 3

    @expose
    def more(self) -> int:
        return 4


@Pyro5.api.expose
class Stock:
    def do(self) -> int:
        return 1


@pytest.fixture
def office(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "office")


@pytest.fixture
def who(office: Authority) -> dict[str, Identity]:
    return {
        role: Identity.from_files(*office.node(role, role=role))
        for role in ("slave", "member", "operator")
    }


@pytest.fixture
def desk(who: dict[str, Identity]) -> Iterator[Daemon]:
    RUNS.clear()
    with Daemon("127.0.0.1", identity=who["member"]) as daemon:
        daemon.register(Desk(), "desk")
        daemon.start()
        yield daemon


def test_a_role_is_what_method_class_and_overridden_method_say() -> None:
    roles = {
        (cls, name): role_of(cls, name) for cls in (Strict, Derived) for name in ("do", "look")
    }
    assert roles == {
        (Strict, "do"): "operator",
        (Strict, "look"): "slave",
        (Derived, "do"): "operator",
        (Derived, "look"): "slave",
    }
    assert role_of(Derived, "more") == "operator"
    assert role_of(Stock, "do") == "member"
    assert [role_of(Desk, name) for name in ("fetch", "submit", "limit")] == [
        "slave",
        "member",
        "operator",
    ]


def test_a_role_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(BadInput, match="one of slave, member, operator"):
        expose(role="king")
    with pytest.raises(BadInput, match="one of slave, member, operator"):
        Proxy("PYRO:a@h:1", role="king", insecure=True)
    with pytest.raises(BadInput, match="no node's id"):
        Proxy("PYRO:a@h:1", node="anna", insecure=True)


MAY = {"slave": {"fetch"}, "member": {"fetch", "submit"}}


@pytest.mark.parametrize("role", ["slave", "member", "operator"])
def test_each_role_calls_what_it_may_over_tls(
    desk: Daemon, who: dict[str, Identity], role: str
) -> None:
    with Proxy(desk.uri_of("desk"), identity=who[role]) as proxy:
        may = MAY.get(role, {"fetch", "submit", "revoke", "limit"})
        assert set(dir(proxy)) == may
        for name in ("fetch", "submit", "revoke"):
            if name in may:
                assert getattr(proxy, name)() == role
            else:
                with pytest.raises(NotAllowed, match=f"'{name}' of Desk is for peers of role"):
                    getattr(proxy, name)()
        if "limit" in may:
            proxy.limit = 7
            assert proxy.limit == 7
        else:
            with pytest.raises(NotAllowed, match="'limit' of Desk is for peers of role 'operator'"):
                proxy.limit = 7
            with pytest.raises(NotAllowed):
                _ = proxy.limit
            assert not RUNS
        with pytest.raises(AttributeError, match=r"exposes no .*attribute 'hidden'"):
            _ = proxy.hidden


def test_a_batch_and_a_raw_call_are_checked_too(desk: Daemon, who: dict[str, Identity]) -> None:
    with Proxy(desk.uri_of("desk"), identity=who["member"]) as proxy:
        calls = batch(proxy)
        calls.submit()
        calls.revoke()
        with pytest.raises(NotAllowed, match="'revoke'"):
            list(calls())
        for args in ((), ([1, {"a": 2}],), ({"deep": (1, 2)},)):
            with pytest.raises(NotAllowed, match="'revoke'"):
                proxy._channel.call("revoke", args, {}, 5.0)
        assert not RUNS


def test_plain_tcp_is_a_member_and_never_an_operator(connect: Connect) -> None:
    RUNS.clear()
    with pytest.warns(InsecureWarning):
        daemon = Daemon("127.0.0.1", insecure=True)
    with daemon:
        uri = daemon.register(Desk(), "desk")
        daemon.start()
        proxy = connect(uri)
        assert proxy.submit() == "member"
        with pytest.raises(NotAllowed):
            proxy.revoke()
        with Pyro5.api.Proxy(str(uri)) as stock:
            assert stock.submit(1) == "member"
            with pytest.raises(AttributeError):
                stock.revoke(1)
            for args in ((), (1,)):
                with pytest.raises(PermissionError, match="for peers of role 'operator'"):
                    stock._pyroInvoke("revoke", args, {})
        assert not RUNS


def test_this_user_is_an_operator(daemon: Daemon) -> None:
    with Proxy(daemon.register(Desk(), "desk")) as proxy:
        assert proxy.revoke() == "operator"
        assert set(dir(proxy)) == {"fetch", "submit", "revoke", "limit"}
    assert current_caller().address == "this process"


NOT_EXPOSED = ("hidden", "_limit", "__init__", "__class__", "__reduce__", "fetch.__globals__",
               "limit.real", "a.b", "", "..", "é" * 99)  # fmt: skip


@pytest.mark.parametrize("name", NOT_EXPOSED)
def test_what_is_not_exposed_private_and_dotted_is_refused(daemon: Daemon, name: str) -> None:
    daemon.register(Desk(), "it")
    with RawCaller(daemon) as raw:
        for method, args in ((name, ()), ("__getattr__", (name,)), ("__setattr__", (name, 1))):
            raw.send(call(method, *args))
            _, error = raw.result()
            assert isinstance(error, AttributeError), error


def test_arguments_of_a_refused_call_are_not_read(
    desk: Daemon, who: dict[str, Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    from remoteobj.codec import calls

    true = calls.unpack_arguments

    def unpack(reader: Any, method: str, *rest: Any) -> Any:
        read.append(method)
        return true(reader, method, *rest)

    monkeypatch.setattr(calls, "unpack_arguments", unpack)
    with Proxy(desk.uri_of("desk"), identity=who["member"]) as proxy:
        proxy.submit([1, [2]])
        assert read == ["submit"]
        with pytest.raises(NotAllowed):
            proxy._channel.call("revoke", ([1, [2]],), {}, 5.0)
        assert read == ["submit"]


def test_no_slave_poses_as_a_server(who: dict[str, Identity]) -> None:
    with Daemon("127.0.0.1", identity=who["slave"]) as daemon:
        uri = daemon.register(Desk(), "desk")
        daemon.start()
        proxy = Proxy(uri, identity=who["member"])
        with pytest.raises(PeerRefused, match="in the role 'slave', and 'member' is needed") as hit:
            proxy.fetch()
        assert hit.value.executed == "no"
        assert daemon.statistics().calls == 0
        with Proxy(uri, identity=who["member"], role="slave") as willing:
            assert willing.fetch() == "member"
        release(proxy)


def test_only_the_node_that_is_wanted_is_called(desk: Daemon, who: dict[str, Identity]) -> None:
    uri, me = desk.uri_of("desk"), who["operator"]
    with Proxy(uri, identity=me, node=who["member"].claims.node) as proxy:
        assert proxy.fetch() == "operator"
    wrong = Proxy(uri, identity=me, node="0" * 16)
    with pytest.raises(PeerRefused, match=r"is node [0-9a-f]{16} \(member\), not node 0{16}"):
        wrong.fetch()
    with Proxy(uri, identity=me, role="member") as proxy:
        assert proxy.fetch() == "operator"
    with pytest.raises(PeerRefused, match="'operator' is needed"):
        Proxy(uri, identity=me, role="operator").fetch()


def test_plain_tcp_and_unix_sockets_prove_no_node(
    daemon: Daemon, tcp_daemon: Daemon, connect: Connect, who: dict[str, Identity]
) -> None:
    with pytest.raises(PeerRefused, match="plain TCP cannot prove"):
        connect(tcp_daemon.register(Desk(), "desk"), node="0" * 16).fetch()
    uri = daemon.register(Desk(), "desk")
    with pytest.raises(PeerRefused, match="is this machine, not node"):
        Proxy(uri, node="0" * 16).fetch()
    me = who["member"]
    with Proxy(uri, identity=me, node=me.claims.node) as here:
        assert here.fetch() == "operator"


def test_two_claims_in_one_certificate_are_refused_in_words(
    office: Authority, desk: Daemon
) -> None:
    twice = office.node(
        "twice",
        uris=[f"remoteobj:node:{'0' * 16}:slave", f"remoteobj:node:{'1' * 16}:operator"],
    )
    posing = Identity.from_files(*office.node("posing"))
    posing.client_context().load_cert_chain(twice.certificate, twice.key)
    with pytest.raises(PeerRefused, match="2 times"):
        Proxy(desk.uri_of("desk"), identity=posing).fetch()
