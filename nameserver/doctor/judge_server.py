"""What is wrong between this machine and the name server, in both directions (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from nameserver.doctor import mending
from nameserver.doctor.facts import Facts, Missing, Visit
from nameserver.doctor.judge_certificate import certificate
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["clock", "identity", "name_server", "objects"]

_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # nothing of this is older
_APART_S, _TOO_FAR_S = 5.0, 60.0


def identity(facts: Facts) -> Iterator[Finding]:
    """Look at how TCP is spoken here."""
    held = facts.credentials
    if held.problem or held.subject:
        yield certificate(held, facts.system, "TLS as ")
    elif held.is_insecure:
        yield note(
            "identity", "plain TCP: anyone on the network can read and change names and addresses"
        )
    else:
        yield note(
            "identity",
            "this account is in no cluster, and neither --identity nor --insecure was given: a "
            "name server on TCP cannot be asked",
            mending.JOIN,
        )


def name_server(facts: Facts) -> Iterator[Finding]:
    """Look at the way from here to the name server."""
    server = facts.server
    if isinstance(server, Missing):
        text, mend = _missing(facts, server)
        yield wrong("name server", text, mend)
        return
    of = f" of the cluster {server.cluster!r}" if server.cluster else ""
    answers = f"{server.address}{of} answers in {server.answer_s * 1000:.1f} ms"
    runs = f"; release {server.release}, Python {server.python}" if server.release else ""
    yield ok("name server", f"{answers} (address: {server.how}){runs}")
    if server.is_stock:
        yield note(
            "name server",
            "it is Pyro5's own: names have no leases there, and nothing tells whether their "
            "objects answer",
        )


def clock(facts: Facts) -> Iterator[Finding]:
    """Look at the clock, alone and beside the name server's."""
    now = datetime.fromtimestamp(facts.now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    mend = mending.set_clock(facts)
    ahead_s = facts.visit.ahead_s if facts.visit else None
    if facts.now < _EARLIEST:
        yield wrong("clock", f"it is {now} on this machine: TLS takes no certificate then", mend)
    elif ahead_s is None:
        yield ok("clock", f"{now}, which was compared with no other machine's")
    elif abs(ahead_s) < _APART_S:
        yield ok("clock", f"{now}, as at the name server")
    else:
        apart = f"the name server's clock is {_apart(ahead_s)} this machine's ({now})"
        if abs(ahead_s) < _TOO_FAR_S:
            yield note("clock", apart, mend)
        else:
            yield wrong(
                "clock",
                f"{apart}: certificates that are valid on one are not on the other",
                f"{mend}   # on the one that is wrong",
            )


def objects(facts: Facts) -> Iterator[Finding]:
    """Look at the way from the name server to an object of this machine."""
    visit = facts.visit
    if isinstance(facts.server, Missing):
        yield note("objects", "whether objects of this machine are reached was not tried")
    elif visit is None:
        yield note("objects", "whether objects of this machine are reached, this server cannot say")
    elif visit.refused:
        yield wrong("objects", visit.refused, _where_to_serve(facts))
    elif not visit.hosts and not visit.failures:
        outer = facts.outer[0].address if facts.outer else "ADDRESS"
        yield note(
            "objects",
            "the name server serves its own machine only, and takes addresses as they are",
            mending.start_server(facts, outer),
        )
    else:
        for host in visit.hosts:
            yield ok("objects", f"the name server has called an object of this machine at {host}")
        say = note if visit.hosts else wrong
        for failure in visit.failures:
            text, mend = _unreached(facts, visit, failure)
            yield say("objects", text, mend)


def _missing(facts: Facts, missing: Missing) -> tuple[str, str]:
    """Say what is wrong, and what mends it."""
    host, at = missing.host, f"{missing.host}:{missing.port}"
    said, mend = missing.said, f"nameserver ping --nameserver {at} --debug"
    match missing.dialled:
        case "refused":
            start = mending.start_server(facts, host, missing.port)
            said, mend = f"nobody listens at {at}", f"{start}   # on that machine"
        case "timed out":
            said = (
                f"{at} does not answer: the machine is off, in another network, or its firewall "
                "drops what it is sent"
            )
            mend = f"{mending.let_in_port(missing.port)}   # on that machine"
        case "unreachable":
            said, mend = f"no way leads from here to {host}", f"ip route get {host}"
        case "unknown host":
            said = f"this machine does not know the name {host!r}"
            mend = f"export REMOTEOBJ_NAMESERVER=ADDRESS:{missing.port}"
        case _ if missing.is_refused:
            files = "nameserver doctor --identity CA CERTIFICATE KEY"
            is_known = mending.mend_identity(said, facts.system)
            mend = is_known or (files if facts.credentials.has_files else mending.JOIN)
        case _ if missing.is_for_choice:
            mend = "export REMOTEOBJ_CLUSTER=NAME"
        case _ if not host:
            outer = facts.outer[0].address if facts.outer else "ADDRESS"
            start = mending.start_server(facts, outer)
            mend = f"{start}   # or, where one runs: {mending.SAY_WHERE}"
    return said, mend


def _unreached(facts: Facts, visit: Visit, failure: str) -> tuple[str, str]:
    """Say what is wrong, and what mends it."""
    address, _, why = failure.partition(": ")
    text = f"the name server does not reach objects of this machine at {address}: {why}"
    if "another address" in why:
        mend = (
            "run the name server in the network of this machine: what lies between them changes "
            "addresses"
        )
        return text, mend
    if "another daemon" in why:
        host = visit.address.rpartition(":")[0]
        return text, f"arping -D {host}   # another machine seems to have this address too"
    if why.startswith(("timed out", "refused")) or "no route" in why.lower():
        return text, mending.let_in_network(facts, visit.network or "NETWORK/BITS")
    return text, _where_to_serve(facts)


def _where_to_serve(facts: Facts) -> str:
    if facts.outer:
        return f'serve objects on an address that others reach: Daemon("{facts.outer[0].address}")'
    return "connect this machine to a network, then 'nameserver doctor' again"


def _apart(ahead_s: float) -> str:
    seconds = abs(ahead_s)
    size = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    if seconds >= 7200:
        size = f"{seconds / 3600:.0f} h"
    return f"{size} {'ahead of' if ahead_s > 0 else 'behind'}"
