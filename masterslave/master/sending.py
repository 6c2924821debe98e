"""What goes to slaves, packed: without the master's lock, since packing runs code of the user's."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from masterslave.errors import NotPicklable
from masterslave.lent import Lender
from masterslave.master.decisions import Decisions
from masterslave.master.mailbox import MAX_PARCEL_BYTES, Parcel
from masterslave.master.seats import NOTHING, Poll, Seat, answer
from masterslave.master.submission import Failed, Span
from masterslave.protocol.encoding import encode
from masterslave.protocol.hand_outs import CALL, WireTask
from masterslave.protocol.verbs import Instructions
from masterslave.scheduler import HandOut, HandOutsGivenBack, HandOutsLost

__all__ = ["Sender"]

_LEND_BYTES = 64 * 1024
"""From here on, arguments for a slave of the farm's own are lent instead of sent."""


class Sender:
    """Answers the polls of slaves.

    Args:
        lock: Guards the decisions; *turn* takes it, and sends and hands over in the end.
    """

    def __init__(
        self,
        decisions: Decisions,
        lock: threading.Lock,
        turn: AbstractContextManager[Decisions],
        lender: Lender,
    ) -> None:
        self._decisions = decisions
        self._lock = lock
        self._turn = turn
        self._lender = lender

    def send(self, seat: Seat, poll: Poll, parcel: Parcel) -> None:
        """Answer the slave's poll with a parcel."""
        try:
            packed = self.pack(seat, parcel)
        except BaseException:  # Ctrl-C: the slave asks again, and gets it then
            answer(poll, NOTHING)
            raise
        answer(poll, packed)

    def pack(self, seat: Seat, parcel: Parcel, recorded: int | None = None) -> bytes:
        """Return a parcel as it is sent.

        Args:
            recorded: Number of the last outcome that the slave need not keep when it gets this, if
                that is known.

        What makes it too large waits for the next one: how large items are is known when they are
        packed, and what was reckoned before may be far too low.
        """
        tasks: list[WireTask] = []
        limits: dict[int, float] = {}
        size = sum(map(len, parcel.functions.values())) + sum(map(len, parcel.code.values()))
        posts = parcel.posts
        for place, (hand_out, submission) in enumerate(posts):
            number, count = hand_out.task, hand_out.count
            digest = submission.function.digest
            if submission.is_span:
                form = submission.form
                try:
                    arguments = submission.pack(number - submission.number, count)
                except BaseException as error:
                    if not isinstance(error, Exception) and _is_main_thread():
                        raise
                    self._refuse_items(seat, hand_out, submission, error)
                    continue
            else:
                form, arguments = CALL, submission.arguments
                if type(arguments) is not bytes:  # they keep what they refer to, or are read now
                    try:
                        arguments = bytes(arguments)
                    except Exception as error:
                        self._refuse(seat, hand_out, error)
                        continue
            if seat.is_own and len(arguments) >= _LEND_BYTES:
                arguments = self._lend(seat, hand_out, arguments)
            task = WireTask(number, hand_out.attempt, count, form, digest, arguments)
            size += len(arguments)
            if tasks and size > MAX_PARCEL_BYTES:
                with self._lock:
                    seat.mailbox.postpone(posts[place:])
                break
            tasks.append(task)
            if submission.terms.timeout_s:
                limits[number] = submission.terms.timeout_s
        return encode(
            Instructions(
                parcel.number,
                tuple(tasks),
                parcel.functions,
                parcel.stops,
                parcel.recalls,
                delivered=seat.recorded if recorded is None else recorded,
                limits=limits,
                code=parcel.code,
                dropped=parcel.dropped,
                errands=parcel.errands,
            )
        )

    def _lend(self, seat: Seat, hand_out: HandOut, arguments: bytes) -> bytes:
        """Put large arguments where the slave's child can read them; returns what is sent."""
        loans = self._decisions.loans
        with self._lock:
            lent = loans.find(hand_out)
        if lent is not None:  # the parcel is sent again
            return lent
        reference = self._lender.lend(arguments)
        if reference is None:
            return arguments
        with self._lock:
            if self._decisions.book.find(hand_out.task) is None or seat.is_gone:
                self._lender.take_back(reference)  # nobody waits for it any more
            else:
                loans.add(hand_out, reference, seat.slave)
        return reference

    def _refuse(self, seat: Seat, hand_out: HandOut, error: Exception) -> None:
        """The arguments of a task cannot be read: that is its answer."""
        with self._turn as decisions:
            seat.mailbox.unpost(hand_out)
            decisions.fail((hand_out.task,), Failed(error))

    def _refuse_items(
        self, seat: Seat, hand_out: HandOut, span: Span, cause: BaseException
    ) -> None:
        """Items cannot be sent: each of these has its error as answer, the others go elsewhere."""
        first = hand_out.task - span.number
        reasons = {item: span.why_not(item) for item in range(first, first + hand_out.count)}
        with self._turn as decisions:
            seat.mailbox.unpost(hand_out)
            for item, error in reasons.items():
                if error is not None:
                    decisions.fail((span.number + item,), Failed(error))
            if any(reasons.values()):
                decisions.handle(HandOutsGivenBack(seat.slave, (hand_out,)))
            elif hand_out.count > 1:  # together they are too large: one by one from now on
                decisions.handle(HandOutsLost(seat.slave, hand_out, "too large together", -1))
            else:  # its pickling has failed once, and then not
                again = cause if isinstance(cause, Exception) else NotPicklable(repr(cause))
                decisions.fail((hand_out.task,), Failed(again))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
