"""How slaves are fed: the numbers, as one frozen value that is passed in."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Feeding"]


class Feeding(Struct, frozen=True, kw_only=True):
    """How far ahead slaves are fed, and when a task is tried a second time."""

    feed_ahead_s: float = 0.3
    """A slot is given so much work ahead, in seconds of the time that tasks of its function took,
    so that it does not wait for the network between short tasks. Longer tasks are not hoarded."""

    max_ahead: int = 1024
    """Most hand-outs that a slot is given ahead, however short they are."""

    ahead_bytes: int = 16 * 1024 * 1024
    """A slave is given so many bytes of arguments ahead."""

    chunk_s: float = 0.02
    """Items of a span are handed out together for about so long, in seconds: what a hand-out costs
    (some 0.1 ms on its way there and back) is then 0.5% of it."""

    max_chunk: int = 1024
    """Most items in one hand-out. At 1,024 null items, what an item costs is the item's own."""

    straggler_factor: float = 3.0
    """A task that runs so many times longer than 95 of the last hundred of its function did gets a
    second attempt, when a slot has nothing else to do."""

    quarantine_s: float = 60.0
    """A slave in quarantine is tried with one task after so long, in seconds; each time that it
    fails again, after twice as long, and 64 times that at most."""

    straggler_min_s: float = 2.0
    """But none that runs for less than this, in seconds."""
