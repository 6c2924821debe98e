"""What a journal has of a task's call: its function, and its arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from masterslave.journal.facts import KEY_BYTES, ArgumentsKnown, Fact, Place, Submitted
from masterslave.journal.reading import JournalReader
from masterslave.protocol.hand_outs import CALL, EACH, EACH_STARRED, Form

__all__ = ["Arguments", "arguments_in", "function_of"]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a task.

    Attributes:
        form: As of a hand-out; of an item, *place* is that of a packed list of one item.
        place: Where they are in the journal; None: they are not kept.
        why_not: Why they are not.
    """

    form: Form
    place: Place | None
    why_not: str = ""


def arguments_in(reader: JournalReader, story: Iterable[Fact], number: int) -> Arguments:
    """Return where the arguments of a task are, of all that was recorded about it."""
    found = Arguments(CALL, None, "it has not failed, and only then they are")
    for fact in story:
        match fact:
            case Submitted(first=first, keys=keys, arguments=places, are_items=are_items):
                at = number - first
                if len(places) == len(keys) // KEY_BYTES and places[at].size:
                    found = Arguments(_form_of(reader, number) if are_items else CALL, places[at])
            case ArgumentsKnown(form=form, place=place, why_not=why_not):
                found = Arguments(form, None if why_not else place, why_not)
    return found


def function_of(reader: JournalReader, number: int) -> tuple[str, Place | None]:
    """Return what a task's function is called, and where it is; empty and None: not known."""
    row = reader.folded.numbers.find(number)
    known = reader.folded.functions.get(row[0].function) if row else None
    return ("", None) if known is None else (known.name, known.packed)


def _form_of(reader: JournalReader, number: int) -> Form:
    """Return the form of an item that a script has left with a farm that is a service."""
    tickets = reader.folded.tickets
    found = tickets.find(number)
    ticket = None if found is None else tickets.by_index.get(found[0])
    if found is None or ticket is None:
        return EACH
    return EACH_STARRED if ticket.row_of(found[1]).form == EACH_STARRED else EACH
