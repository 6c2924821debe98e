"""Scripts that say what they must not: they are told so, and cost nobody else anything."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from masterslave.codeset import CodeSet, with_code
from masterslave.farm.packing import pack_arguments
from masterslave.protocol.attaching import (
    ATTACHING,
    Collect,
    Request,
    SentFunction,
    SentTasks,
    reception_at,
)
from masterslave.protocol.encoding import encode
from masterslave.protocol.functions import hash_of
from masterslave.protocol.hand_outs import EACH, MAX_PAYLOAD_BYTES
from remoteobj import Identity, NotAllowed, Proxy, RemoteObjError, WireError
from tests.certificates import make_cluster
from tests.conftest import StartScript
from tests.masterslave.service.bare import Bare, packed_terms, sent_function
from tests.masterslave.service.conftest import Open, reception_of


def square(number: int) -> int:
    return number * number


_FUNCTION = sent_function(math.isqrt)
_ONE = (b"\x80\x05.",)


def _tasks(**changes: Any) -> SentTasks:
    plain = SentTasks(1, _FUNCTION.digest, packed_terms(), _ONE)
    return msgspec.structs.replace(plain, **changes)


def _function(**changes: Any) -> SentFunction:
    return msgspec.structs.replace(sent_function(math.gcd), **changes)


_CODED = with_code(CodeSet(hash_of(b"\x91\xff"), {}), b"pickled")
_REFUSED: dict[str, SentTasks | SentFunction] = {
    "in their order": _tasks(first=2),
    "in their order ": _tasks(first=2**62),
    "counted from 0": _tasks(first=-1),
    "has not been sent": _tasks(function=b"unknown"),
    "cannot be read": _tasks(terms=b"\xc1"),
    "cannot be read ": _tasks(terms=msgspec.msgpack.encode({"function": "one"})),
    "at most 128 travel": _tasks(arguments=(bytes(MAX_PAYLOAD_BYTES + 1),)),
    "in no form": _tasks(form=7),
    "in no form ": _tasks(arguments=(b"",)),
    "in no form  ": _tasks(arguments=(*_ONE, b"")),
    "no single task": _tasks(after=(1,)),
    "no single task ": _tasks(after=(-1,)),
    "no single task  ": _tasks(first=2, after=(1,)),
    "no farm can keep": _tasks(terms=packed_terms(delay_s=math.nan)),
    "no farm can keep ": _tasks(terms=packed_terms(retries=-1)),
    "no farm can keep  ": _tasks(terms=packed_terms(priority=2**60)),
    "no farm can keep   ": _tasks(terms=packed_terms(needs=(("gpu", -math.inf),))),
    "no farm can keep    ": _tasks(terms=packed_terms(timeout_s=-1.0)),
    "no farm can keep     ": _tasks(terms=packed_terms(max_attempts=0)),
    "not what its digest says": _function(digest=b"x" * 16),
    "not what its digest says ": _function(is_named=True),
    "not what its hash says": _function(parts={b"x" * 16: b"print()"}),
    "without its modules": _function(packed=_CODED, digest=hash_of(_CODED)),
    "without its modules ": _function(
        packed=_CODED, digest=hash_of(_CODED), parts={hash_of(b"\x91\xff"): b"\x91\xff"}
    ),
}


def test_what_cannot_be_is_refused_in_words_and_nothing_is_taken(open_service: Open) -> None:
    service = open_service(local_slaves=1)
    with Bare(reception_of(service)) as script:
        five = _tasks(first=0, arguments=(pack_arguments("isqrt", (25,), {}),))
        assert script.submit(Request(script.ticket, (_FUNCTION,), (five,))).taken == 1
        script.next = 1
        for words, wrong in _REFUSED.items():
            good = _tasks()
            functions: tuple[SentFunction, ...] = ()
            tasks = (good,)
            if isinstance(wrong, SentFunction):
                functions = (wrong,)
            elif wrong.after and wrong.first == 2:
                tasks = (_tasks(form=EACH), wrong)
            else:
                tasks = (wrong,)
            taken = script.submit(Request(script.ticket, functions, tasks))
            assert words.strip() in taken.refused, (words, taken)
            assert (taken.taken, taken.is_out) == (1, False)
        assert script.collect(acknowledged=10**9).is_out
        assert not script.cancel((-(2**60), 5), (2**60, 2**62), (5, -3)).refused
        for verb in ("attach", "submit", "offer", "cancel", "leave", "collect"):
            for garbage in (b"", b"\xc1", b"\x81\xa1a\x01", encode(None), b"\x91" * 100_000):
                with pytest.raises(WireError):
                    getattr(script.proxy, verb)(garbage)
            with pytest.raises(TypeError):
                getattr(script.proxy, verb)(["no bytes"])
        with pytest.raises(RemoteObjError, match="there is no ticket"):
            script.proxy.results("other", 0, 1)
        script.proxy.results(script.ticket, -(10**9), 10**12)
        assert script.collect_all() == {0: 5}
        script.calls(square, [6])
        assert script.collect_all() == {0: 5, 1: 36}
    (job,) = service.jobs()
    assert (job["tasks"], job["waiting"]) == (2, 0)


_OTHER = """
import json, sys
from tests.masterslave.service.bare import Bare
from masterslave.protocol.attaching import *
uri, ticket = sys.argv[1:]
stranger = Bare(uri)
stranger.ticket = ticket
said = {
    "submit": stranger.submit(Request(ticket, (), ())).refused,
    "cancel": stranger.cancel((0, 10)).refused,
    "leave": stranger.leave(forget=True).refused,
    "collect": stranger.collect(0).refused,
    "unknown": Bare(uri, "survey-123").admission.refused,
}
thief = Bare(uri, ticket)
said["taken over"] = thief.admission.refused
print(json.dumps(said))
"""


def test_a_ticket_is_its_scripts_alone(open_service: Open, start_script: StartScript) -> None:
    service = open_service(local_slaves=1)
    with Bare(reception_of(service)) as script:
        script.calls(square, [5])
        other = start_script("-c", _OTHER, str(reception_of(service)), script.ticket)
        output, _ = other.communicate(timeout=30)
        said = json.loads(output)
        assert all(
            "not attached" in said[verb] for verb in ("submit", "cancel", "leave", "collect")
        )
        assert "there is no ticket 'survey-123'" in said["unknown"]
        assert said["taken over"] == ""  # as after a lost connection; the first is told so
        told = script.collect()
        assert told.is_out
        assert told.refused
    with Bare(reception_of(service), script.ticket) as again:
        assert again.collect_all() == {0: 25}


def test_who_is_of_another_release_python_farm_or_epoch_is_told_so(open_service: Open) -> None:
    where = reception_of(open_service())
    for words, greeting in {
        "version": {"version": ATTACHING + 1},
        "runs Python 3.9": {"python": (3, 9)},
        "another farm": {"farm_id": "0" * 16},
        "a later master": {"epoch": 1},
    }.items():
        with Bare(where) as script:
            told = {"version": ATTACHING, "python": sys.version_info[:2], **greeting}
            answer = msgspec.msgpack.decode(
                script.proxy.attach(encode({"script": "x.py", "host": "host", "pid": 1, **told}))
            )
            assert words in answer["refused"]


def test_a_slaves_certificate_is_none_for_the_reception(open_service: Open, tmp_path: Path) -> None:
    roles = make_cluster(tmp_path / "roles", ("hall", "anna"), {"hall": "member", "anna": "slave"})
    hall, anna = (Identity.from_files(*roles[name]) for name in ("hall", "anna"))
    service = open_service(host="127.0.0.1", identity=hall, nameserver=False)
    where = reception_at(service.uri)
    assert where.host == "127.0.0.1"
    with Bare(where, identity=hall) as member, Proxy(where, identity=anna) as slave:
        member.calls(square, [1])
        verbs = ("attach", "submit", "offer", "cancel", "leave", "collect", "forget", "functions")
        for verb in verbs:
            with pytest.raises(NotAllowed):
                getattr(slave, verb)(encode(Collect(member.ticket, 0)))
        with pytest.raises(NotAllowed):
            slave.jobs()
        with pytest.raises(NotAllowed):
            slave.results(member.ticket, 0, 1)
    assert service.jobs()[0]["tasks"] == 1


def test_terms_are_those_of_the_ticket(open_service: Open) -> None:
    service = open_service()
    with Bare(reception_of(service)) as one, Bare(reception_of(service)) as other:
        for script in (one, other):
            script.calls(square, [1], priority=3, owner="somebody")
        found = service.master.view(
            lambda decisions: [single.terms for single in decisions.book.singles.values()]
        )
        assert [terms.priority for terms in found] == [3, 3]
        assert {terms.owner for terms in found} == {one.ticket, other.ticket}
