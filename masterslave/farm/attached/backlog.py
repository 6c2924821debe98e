"""What an attached script has submitted, and knows of it: the rules, without a line to the farm.

::

    submitted  numbered here, in the order of submission: that is its *serial*
    told       was sent at least once: the farm may know of it
    taken      the farm has said that it is on its disk; below ``taken`` all is
    answered   struck out here; what else comes for it is passed over

A connection may fail at any time, with a request or its answer on the way. So what is not known to
be taken is sent again, with the same serials, and each admission begins a new *session*, in which
the farm sends again what it does not know to have arrived. Who uses it holds the master's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from masterslave.master.book import TaskBook
from masterslave.master.submission import Single, Submission
from masterslave.protocol.attaching import Answers, SentAnswer

__all__ = ["Backlog", "OutOfStep", "Portion", "Struck"]

Struck = tuple[Submission, int, int]
"""What is answered: a submission, the offset of the first item, and how many."""


class OutOfStep(Exception):
    """What the farm says does not fit to what is known here; the text says how."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Tasks of one submission that are sent together.

    Attributes:
        first: Serial of the first.
        arguments: Of each, packed.
        after: Serials of tasks that have to succeed before.
        given: Results of other tasks that are referred to in them: as ``SentTasks.given``.
        holds: What else is referred to.
    """

    submission: Submission
    first: int
    arguments: Sequence[bytes]
    after: tuple[int, ...] = ()
    given: tuple[tuple[bytes, int], ...] = ()
    holds: tuple[object, ...] = ()


class Backlog:
    """What has no answer, what the farm has to be told, and what it has said.

    Attributes:
        taken: Serials below are on the farm's disk.
        received: Answers that came in this session.
        session: Number of it; 0: none yet.
        answered: How many tasks have their answer, those that were dropped here among them.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.received = 0
        self.session = 0
        self.answered = 0
        self._book = TaskBook()
        self._untaken: deque[Portion] = deque()
        self._told = 0
        self._unwanted: list[range] = []

    @property
    def open(self) -> int:
        """How many tasks have no answer."""
        return self._book.open

    @property
    def submitted(self) -> int:
        """How many serials there are."""
        return self._book.next

    @property
    def is_flushed(self) -> bool:
        """Whether the farm has on its disk all that it is to be told."""
        return not self._untaken and not self._unwanted

    # What the script does.

    def add(
        self,
        submission: Submission,
        arguments: Sequence[bytes],
        after: tuple[int, ...] = (),
        given: tuple[tuple[bytes, int], ...] = (),
        holds: tuple[object, ...] = (),
    ) -> None:
        """Number a submission; it is to be sent."""
        self._book.add(submission)
        portion = Portion(submission, submission.number, arguments, after, given, holds)
        self._untaken.append(portion)

    def restore(self, first: int, tasks: Iterable[Single]) -> None:
        """Enter tasks of an earlier time, the first of which has this serial; they are taken."""
        self._book.next = first
        for task in tasks:
            self._book.add(task)
        self.taken = self._told = self._book.next

    def drop(self, tasks: Sequence[int]) -> list[Struck]:
        """Strike out what is open of these tasks, and have the farm told that nobody wants it."""
        struck = list(self._book.strike_out(tasks))
        for submission, offset, count in struck:
            first = submission.number + offset
            self._unwanted.append(range(first, first + count))
            self.answered += count
        return struck

    def drop_all(self, first: int = 0) -> list[Struck]:
        """Strike out all that is open from a submission's *first* task on, the latest ones first,
        and have the farm told.
        """
        rows = [tasks for tasks in self._book.latest_first() if tasks.start >= first]
        return [each for tasks in rows for each in self.drop(tasks)]

    def give_up(self) -> list[Struck]:
        """Strike out all that is open, and tell the farm nothing any more."""
        struck = [
            each for tasks in self._book.latest_first() for each in self._book.strike_out(tasks)
        ]
        self.answered += sum(count for _, _, count in struck)
        self._untaken.clear()
        self._unwanted.clear()
        return struck

    # What is sent.

    def open_rows(self) -> tuple[tuple[int, int], ...]:
        """Return what answers are wanted of, as ``Greeting.open`` has it."""
        rows: list[tuple[int, int]] = []
        book = self._book
        every = [(number, 1) for number in book.singles]
        every += [row for span in book.spans() for row in book.open_rows_of(span)]
        for first, many in sorted(every):
            count = min(many, self._told - first)
            if count <= 0:
                break
            if rows and sum(rows[-1]) == first:
                rows[-1] = (rows[-1][0], rows[-1][1] + count)
            else:
                rows.append((first, count))
        return tuple(rows)

    def next_portions(self, most_tasks: int, most_bytes: int) -> list[Portion]:
        """Return what is to be sent next: the same until it is taken; at least one task if any."""
        portions: list[Portion] = []
        size = count = 0
        for portion in self._untaken:
            here = 0
            for each in portion.arguments:
                if count and (count >= most_tasks or size + len(each) > most_bytes):
                    break
                count, here, size = count + 1, here + 1, size + len(each)
            if here:
                portions.append(_part(portion, 0, here))
            if here < len(portion.arguments):
                break
        if portions:
            last = portions[-1]
            self._told = max(self._told, last.first + len(last.arguments))
        return portions

    def unwanted(self) -> tuple[tuple[int, int], ...]:
        """Return what the farm knows, and nobody wants any more, as ``Cancel.serials`` has it."""
        return tuple((row.start, len(row)) for row in self._unwanted if row.stop <= self.taken)

    # What the farm says.

    def admit(self, taken: int) -> None:
        """The farm has let the script in: a session begins.

        Raises:
            OutOfStep: It has lost what it had taken, or has what was never submitted.
        """
        if taken < self.taken:
            raise OutOfStep(
                f"of {self.taken} tasks that it had taken it knows {taken}: its journal is an "
                "older one, or another"
            )
        self.session += 1
        self.received = 0
        self.take(taken)

    def take(self, taken: int) -> None:
        """Serials below this one are on the farm's disk.

        Raises:
            OutOfStep: They were never sent.
        """
        if taken > self._told:
            raise OutOfStep(f"it has taken {taken} tasks, of {self._told} that were sent")
        self.taken = max(self.taken, taken)
        untaken = self._untaken
        while untaken:
            portion = untaken[0]
            done = self.taken - portion.first
            if done < len(portion.arguments):
                if done > 0:
                    untaken[0] = _part(portion, done, len(portion.arguments))
                return
            untaken.popleft()

    def note_cancelled(self, serials: Iterable[tuple[int, int]]) -> None:
        """The farm knows that nobody wants these."""
        known = set(serials)
        self._unwanted = [row for row in self._unwanted if (row.start, len(row)) not in known]

    def receive(self, session: int, answers: Answers) -> Iterator[SentAnswer]:
        """Yield the answers of these that have not come before in this session.

        Raises:
            OutOfStep: Some before them are missing.
        """
        if session != self.session:  # it was asked for before the connection was lost
            return
        if answers.since > self.received:
            raise OutOfStep(f"answers {self.received} to {answers.since} are missing")
        for answer in answers.answers[self.received - answers.since :]:
            self.received += 1
            yield answer

    def strike_out(self, first: int, count: int) -> Iterator[Struck]:
        """Strike out those of these tasks that are open: they have their answer."""
        for struck in self._book.strike_out(range(first, first + count)):
            self.answered += struck[2]
            yield struck

    def find(self, serial: int) -> Submission | None:
        """Return what an open task is part of."""
        return self._book.find(serial)


def _part(portion: Portion, start: int, end: int) -> Portion:
    if not start and end == len(portion.arguments):
        return portion
    arguments = portion.arguments[start:end]
    return replace(portion, first=portion.first + start, arguments=arguments)
