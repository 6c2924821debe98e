"""What is wrong with this machine: versions, interfaces, its address, multicast (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nameserver.doctor import mending
from nameserver.doctor.facts import Card, Facts, Found, Hearing, Missing
from nameserver.doctor.verdict import Check, Finding, note, ok, wrong

__all__ = ["address", "interfaces", "multicast", "versions"]

_NOT_FOR_OTHERS = {
    "loopback": "leads back to this machine",
    "bridge": "leads to containers or virtual machines of this machine",
    "link-local": "is only valid together with an interface",
}

_STATES = {
    "up": " is up",
    "down": " is down",
    "unplugged": " has no cable, or no Wi-Fi network",
    "unknown": "",
}
_TOLD = ("given", "REMOTEOBJ_NAMESERVER")


def versions(facts: Facts) -> Iterator[Finding]:
    """Look at what is installed."""
    good = [f"Python {facts.python}"]
    for package in facts.packages:
        needed = f"{package.name}>={package.least}" if package.least else package.name
        mend = f"python -m pip install --upgrade '{needed}'"
        if package.version is None:
            yield wrong("versions", f"{package.name} is not installed", mend)
        elif _numbers(package.version) < _numbers(package.least):
            yield wrong(
                "versions",
                f"{package.name} {package.version} is too old: {package.least} is the oldest "
                "that will do",
                mend,
            )
        else:
            good.append(f"{package.name} {package.version}")
    yield ok("versions", ", ".join(good))


def interfaces(facts: Facts) -> Iterator[Finding]:
    """Look at each address of this machine."""
    if facts.bad_choice:
        yield wrong("interfaces", facts.bad_choice, "unset REMOTEOBJ_INTERFACES")
    for card in facts.cards:
        title = f"{card.name} {card.address}/{card.bits}"
        state = _STATES[card.state]
        if card.kind != "usable":
            why = _NOT_FOR_OTHERS[card.kind]
            yield ok("interfaces", f"{title}{state}: {why}, so no other machine is given it")
        elif card.is_on:
            yield ok("interfaces", f"{title}{state}: other machines can be given it")
        else:
            say = note if facts.outer else wrong
            mend = mending.bring_up(facts, card)
            yield say("interfaces", f"{title}{state}: nobody is reached by it", mend)
    if facts.outer and not facts.bad_choice and not any(card.is_chosen for card in facts.outer):
        chosen = ", ".join(card.address for card in facts.cards if card.is_chosen) or "nothing"
        yield note(
            "interfaces",
            f"name servers of other machines are not looked for: REMOTEOBJ_INTERFACES is {chosen}",
            "unset REMOTEOBJ_INTERFACES",
        )


def address(facts: Facts) -> Iterator[Finding]:
    """Say which address other machines are given."""
    outer = facts.outer
    if not outer:
        yield wrong(
            "address",
            "this machine has no address that another one could be given: it is in no network",
            "connect it to a network by cable or Wi-Fi, then 'nameserver doctor' again",
        )
    elif len(outer) == 1:
        yield ok("address", f"other machines are given {_of(outer[0])}")
    else:
        every = ", ".join(map(_of, outer))
        yield ok("address", f"each machine is given the one of the network it is in: {every}")
    name, stands_for = facts.host_name, ", ".join(facts.host_addresses)
    own = {card.address: card.kind for card in facts.cards}
    kinds = {own.get(each, _loopback_or_none(each)) for each in facts.host_addresses}
    if outer and kinds == {"loopback"}:
        yield note(
            "address",
            f"{name!r} stands for {stands_for} on this machine: an object that is served on the "
            "name is reached from here only",
            f'serve objects on the address: Daemon("{outer[0].address}")',
        )
    elif None in kinds:
        yield note(
            "address",
            f"{name!r} stands for {stands_for}, which is not this machine's address",
            f"put '{outer[0].address if outer else '127.0.1.1'} {name}' into /etc/hosts",
        )


def multicast(facts: Facts) -> Iterator[Finding]:
    """Look at what came of the announcements that were sent."""
    say: Callable[[Check, str, str], Finding]
    is_told = isinstance(facts.server, Found) and facts.server.how in _TOLD
    carried = any(each.heard == "heard" and each.card.kind == "usable" for each in facts.hearings)
    for hearing in facts.hearings:
        card = hearing.card
        if hearing.heard == "heard":
            yield _heard(facts, hearing)
            continue
        text, mend = _unheard(facts, hearing)
        if is_told:
            say, more = note, "; no harm, because it was said where the name server is"
        elif card.kind == "loopback":
            say, more = note, "; processes of this machine find a name server by its address only"
        elif card.has_multicast is False and carried:
            say, more = note, "; another interface is, and carries it"
        else:
            say, more = wrong, "; name servers are not found by it"
        yield say("multicast", f"{_of(card)}: {text}{more}", mend)


def _heard(facts: Facts, hearing: Hearing) -> Finding:
    title = f"{_of(hearing.card)}: an announcement came back"
    if hearing.card.kind == "loopback":
        return ok("multicast", title)
    if hearing.others:
        others = ", ".join(hearing.others[:5]) + (" and more" if hearing.others[5:] else "")
        return ok("multicast", f"{title}, and other machines were heard ({others})")
    if isinstance(facts.server, Missing):
        return note(
            "multicast",
            f"{title}, but no other machine was heard: either none of them announces anything, or "
            "the network keeps multicast from machine to machine (guest Wi-Fi does)",
            mending.SAY_WHERE,
        )
    return ok("multicast", title)


def _unheard(facts: Facts, hearing: Hearing) -> tuple[str, str]:
    """Say what is wrong, and what mends it."""
    name = hearing.card.name
    if hearing.card.has_multicast is False and hearing.card.kind != "loopback":
        return "it is not set up for multicast", mending.switch_multicast_on(facts, name)
    match hearing.heard:
        case "no route":
            return "multicast has no way out", mending.lead_multicast(facts, name)
        case "port taken":
            return (
                f"another program keeps port {mending.MDNS_PORT} to itself ({hearing.said})",
                mending.show_mdns_port(facts),
            )
        case "forbidden":
            return f"it must not be sent ({hearing.said})", mending.let_out_mdns(facts)
        case "failed":
            return f"multicast failed ({hearing.said})", mending.SAY_WHERE
        case _:
            return (
                "an announcement did not come back: a firewall of this machine drops it",
                mending.let_in_mdns(facts),
            )


def _of(card: Card) -> str:
    return f"{card.address} ({card.name})"


def _loopback_or_none(address: str) -> str | None:
    return "loopback" if address.startswith("127.") or address == "::1" else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
