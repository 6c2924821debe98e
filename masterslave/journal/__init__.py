"""A farm's journal: facts in a SQLite file, which the next master folds into what is known.

Submitted, handed out, settled: what is recorded is on the disk before anybody is told (``after``),
so a master that is killed at any moment has lost nothing that somebody relies on.
"""

from masterslave.journal.facts import (
    NO_KEY,
    NO_PLACE,
    RUN_BITS,
    ArgumentsKnown,
    Ended,
    Fact,
    FunctionKnown,
    HandedOut,
    Invalidated,
    Lost,
    Noted,
    Place,
    Retried,
    RunBegan,
    Settled,
    SlaveKnown,
    Submitted,
)
from masterslave.journal.finished import Finish
from masterslave.journal.fold import Folded, Out
from masterslave.journal.journal import Journal
from masterslave.journal.reading import JournalReader

__all__ = [
    "NO_KEY",
    "NO_PLACE",
    "RUN_BITS",
    "ArgumentsKnown",
    "Ended",
    "Fact",
    "Finish",
    "Folded",
    "FunctionKnown",
    "HandedOut",
    "Invalidated",
    "Journal",
    "JournalReader",
    "Lost",
    "Noted",
    "Out",
    "Place",
    "Retried",
    "RunBegan",
    "Settled",
    "SlaveKnown",
    "Submitted",
]
