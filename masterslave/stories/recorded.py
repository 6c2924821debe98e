"""What a journal has of a task's call: its function, and its arguments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from masterslave.journal.facts import KEY_BYTES, ArgumentsKnown, Fact, Place, Submitted
from masterslave.journal.reading import JournalReader
from masterslave.protocol.hand_outs import CALL, EACH, Form

__all__ = ["Arguments", "arguments_in"]


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


def arguments_in(story: Iterable[Fact], number: int) -> Arguments:
    """Return the arguments of a task, of all that was recorded about it."""
    found = Arguments(CALL, None, "it has not failed: only those of failed tasks are kept")
    for fact in story:
        match fact:
            case Submitted(first=first, keys=keys, arguments=places, are_items=are_items):
                at = number - first
                if len(places) == len(keys) // KEY_BYTES and places[at].size:
                    found = Arguments(EACH if are_items else CALL, places[at])
            case ArgumentsKnown(form=form, place=place, why_not=why_not):
                found = Arguments(form, None if why_not else place, why_not)
    return found


def function_of(reader: JournalReader, number: int) -> tuple[str, Place | None]:
    """Return what a task's function is called, and where it is; empty and None: not known."""
    row = reader.folded.numbers.find(number)
    known = reader.folded.functions.get(row[0].function) if row else None
    return ("", None) if known is None else (known.name, known.packed)
