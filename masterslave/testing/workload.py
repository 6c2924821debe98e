"""What the script of a simulated farm submits and cancels, and how its tasks behave."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator
from random import Random

from masterslave.scheduler import (
    Event,
    HandOut,
    SpanSubmitted,
    TasksCancelled,
    TasksSubmitted,
    Terms,
)
from masterslave.testing.climate import Climate

__all__ = ["OFFERS", "PLACES", "Workload"]

OFFERS: tuple[dict[str, float], ...] = (
    {"gpu": 2.0, "ram_gb": 0.9},
    {},
    {},
    {"gpu": 1.0},
    {"ram_gb": 0.3},
)
"""What hosts offer, in turn; the first of them is enough for everything."""

NEEDS = (
    (("gpu", 1.0),),
    (("gpu", 0.5),),
    (("ram_gb", 0.1),),
    (("gpu", 0.3), ("ram_gb", 0.3)),
    (("gpu", 2.0),),
)

PLACES = (
    frozenset({"on:h1"}),  # which offers nothing
    frozenset({"on:h0"}),
    frozenset({"code"}),
    frozenset({"task:frame"}),
)

_BATCH = 1000
_HOSTS = 100
"""Slaves of hosts after these are able to run everything."""


class Workload:
    """Tasks, drawn from a seed.

    Args:
        tasks: How many, items of spans among them.
    """

    def __init__(self, random: Random, climate: Climate, tasks: int) -> None:
        self.tasks = tasks
        self._random = random
        self._climate = climate
        self._poison = _some_of(random, tasks, climate.poison_share)
        functions = range(len(climate.task_s))
        self._unable = {
            (host, function)
            for host in (range(1, _HOSTS) if climate.unable_share else ())
            for function in functions
            if random.random() < climate.unable_share
        }
        self._terms: list[Terms] = []
        self._firsts: list[int] = []

    def submissions(self) -> Iterator[Event]:
        """Draw what is submitted, piece by piece; the numbers are in a row."""
        first, random = 0, self._random
        while first < self.tasks:
            is_span = random.random() < self._climate.span_share
            most = self.tasks - first
            count = min(most, random.randint(1, max(1, self.tasks // 2 if is_span else _BATCH)))
            if self.tasks <= _BATCH and not is_span:
                count = min(count, random.choice((1, 5, 50)))
            terms = self._draw_terms(is_span=is_span)
            self._firsts.append(first)
            self._terms.append(terms)
            after: tuple[int, ...] = ()
            if first and random.random() < self._climate.after_share:
                after = tuple(random.randrange(first) for _ in range(random.randint(1, 3)))
            if is_span:
                yield SpanSubmitted(first, count, terms, 0, after)
            else:
                yield TasksSubmitted(range(first, first + count), terms, (), after)
            first += count

    def _draw_terms(self, *, is_span: bool) -> Terms:
        random, climate = self._random, self._climate
        is_retried = random.random() < climate.retry_share
        needs = random.choice(NEEDS) if random.random() < climate.need_share else ()
        places = PLACES[1:] if needs else PLACES
        function = random.randrange(len(climate.task_s))
        has_limit = random.random() < climate.limit_share
        return Terms(
            function=function,
            priority=random.randrange(climate.priorities),
            retries=2 if is_retried else 0,
            delay_s=random.choice((0.0, 0.1)) if is_retried else 0.0,
            factor=random.choice((1.0, 2.0)),
            max_attempts=random.choice((1, 3, 3)),
            repeatable=random.random() < 0.8,
            chunk=int(has_limit) or (random.choice((0, 0, 0, 10)) if is_span else 0),
            timeout_s=20 * climate.task_s[function] if has_limit else 0.0,
            needs=needs,
            tags=random.choice(places) if random.random() < climate.place_share else frozenset(),
            owner=random.choice("abcdefgh"[: climate.owners]) if climate.owners > 1 else "",
        )

    def cancellations(self) -> list[TasksCancelled]:
        """Draw what is cancelled: single tasks and rows of them."""
        random = self._random
        left = int(self.tasks * self._climate.cancel_share)
        chosen: list[TasksCancelled] = []
        while left > 0:
            first = random.randrange(self.tasks)
            count = random.choice((1, 1, random.randint(1, max(1, left))))
            chosen.append(TasksCancelled(range(first, min(self.tasks, first + count))))
            left -= count
        return chosen

    def terms_of(self, task: int) -> Terms:
        """Return the terms of a task that was submitted."""
        return self._terms[bisect_right(self._firsts, task) - 1]

    def seconds_of(self, hand_out: HandOut) -> float:
        """Draw how long a hand-out takes on a usual slave."""
        climate, random = self._climate, self._random
        seconds = climate.task_s[self.terms_of(hand_out.task).function] * hand_out.count
        seconds *= 1.0 - climate.spread + climate.spread * random.expovariate(1.0)
        if climate.straggler_share and random.random() < climate.straggler_share:
            seconds *= 50
        return seconds

    def limit_of(self, hand_out: HandOut) -> float:
        """Return how long a hand-out may run, in seconds."""
        limit_s = self.terms_of(hand_out.task).timeout_s
        return limit_s * hand_out.count if limit_s else float("inf")

    def killer_in(self, hand_out: HandOut) -> int | None:
        """Return the task of a hand-out that kills its process: it always does, or by bad luck."""
        tasks = range(hand_out.task, hand_out.task + hand_out.count)
        if self._poison:
            for task in tasks:
                if task in self._poison:
                    return task
        if self._climate.child_loss_share and self._random.random() < (
            self._climate.child_loss_share
        ):
            return self._random.choice(tasks)
        return None

    def is_unable(self, host: int, hand_out: HandOut) -> bool:
        """Tell whether the slaves of a host cannot run the function of this."""
        return (host, self.terms_of(hand_out.task).function) in self._unable

    def raising_in(self, hand_out: HandOut, *, is_bad: bool) -> list[int]:
        """Draw which tasks of a hand-out raise, if they are to be retried, or may be followed."""
        share = 0.75 if is_bad else self._climate.raise_share
        is_of_interest = self.terms_of(hand_out.task).retries or self._climate.after_share
        if not share or not is_of_interest:
            return []
        tasks = range(hand_out.task, hand_out.task + hand_out.count)
        return [task for task in tasks if self._random.random() < share]


def _some_of(random: Random, count: int, share: float) -> frozenset[int]:
    wanted = int(count * share)
    return frozenset(random.randrange(count) for _ in itertools.repeat(None, wanted))
