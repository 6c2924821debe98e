"""What waits for one slave: orders in a row, given out in parcels that are kept until acknowledged.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from masterslave.errands import Errand
from masterslave.master.submission import Function, Submission
from masterslave.protocol.functions import KnownFunctions
from masterslave.protocol.hand_outs import Stop
from masterslave.scheduler import HandOut

__all__ = ["MAX_PARCEL_BYTES", "Mailbox", "Parcel"]

MAX_PARCEL_BYTES = 16 * 1024 * 1024
"""A parcel holds no more, unless it holds one hand-out only."""

Post = tuple[HandOut, Submission]


@dataclass(slots=True)
class Parcel:
    """What goes to the slave at once; number 0 holds nothing.

    Attributes:
        functions: Those that the slave lacks, by hash.
        code: Parts of code sets that it lacks, by hash.
        size: Bytes of arguments, functions and code.
        is_along: Whether it went with the answer to a delivery.
    """

    number: int = 0
    posts: list[Post] = field(default_factory=list)
    functions: dict[bytes, bytes] = field(default_factory=dict)
    code: dict[bytes, bytes] = field(default_factory=dict)
    stops: tuple[Stop, ...] = ()
    recalls: tuple[Stop, ...] = ()
    dropped: tuple[bytes, ...] = ()
    errands: tuple[Errand, ...] = ()
    size: int = 0
    is_along: bool = False


class Mailbox:
    """Hand-outs, stops, recalls, what is dropped, and errands, on their way to one slave.

    Args:
        known: The functions that the slave has.
    """

    def __init__(self, *, known: KnownFunctions | None = None) -> None:
        self._posts: dict[tuple[int, int], Post] = {}
        self._stops: list[Stop] = []
        self._recalls: list[Stop] = []
        self._dropped: list[bytes] = []
        self._errands: list[Errand] = []
        self._known = known or KnownFunctions()
        self._known_code: set[bytes] = set()
        self._parcel = Parcel()
        self._last = 0

    def post(self, posts: Iterable[Post]) -> None:
        """Put hand-outs in."""
        for post in posts:
            hand_out = post[0]
            self._posts[hand_out.task, hand_out.attempt] = post

    def stop(self, hand_outs: Iterable[HandOut]) -> None:
        """Put stops in; what has not left yet is simply taken out again."""
        for hand_out in hand_outs:
            if self._posts.pop((hand_out.task, hand_out.attempt), None) is None:
                self._stops.append(Stop(hand_out.task, hand_out.attempt))

    def recall(self, hand_outs: Iterable[HandOut]) -> list[HandOut]:
        """Put recalls in; returns what had not left yet, and is taken out again."""
        back = []
        for hand_out in hand_outs:
            if self._posts.pop((hand_out.task, hand_out.attempt), None) is not None:
                back.append(hand_out)
            else:
                self._recalls.append(Stop(hand_out.task, hand_out.attempt))
        return back

    def drop(self, digest: bytes) -> None:
        """Put in that a blob is gone."""
        self._dropped.append(digest)

    def errand(self, errand: Errand) -> None:
        """Put an errand in."""
        self._errands.append(errand)

    def acknowledge(self, number: int) -> None:
        """The slave has taken in parcels up to this number."""
        if self._parcel.number and self._parcel.number <= number:
            self._parcel = Parcel()

    def has_mail(self) -> bool:
        """Tell whether there is something to give out."""
        return bool(self._parcel.number) or self.has_more()

    def has_more(self) -> bool:
        """Tell whether there is something that is in no parcel yet."""
        others = self._stops or self._recalls or self._dropped or self._errands
        return bool(self._posts or others)

    def give_out(self) -> Parcel:
        """Return the parcel that is due: the last one again until it is acknowledged."""
        if self._parcel.number or not self.has_mail():
            return self._parcel
        self._last += 1
        stops, recalls, dropped = tuple(self._stops), tuple(self._recalls), tuple(self._dropped)
        parcel = Parcel(self._last, stops=stops, recalls=recalls, dropped=dropped)
        self._stops, self._recalls, self._dropped = [], [], []
        if self._errands:
            parcel.errands, self._errands = tuple(self._errands), []
        size, digest = 0, b""
        posts = parcel.posts
        for post in self._posts.values():
            hand_out, submission = post
            function = submission.function
            size += _bytes_of(hand_out, submission)
            if function.digest != digest:
                is_new = function.digest not in self._known
                code = self._lacking(function) if is_new else {}
                size += len(function.packed) + sum(map(len, code.values())) if is_new else 0
                if posts and size > MAX_PARCEL_BYTES:
                    break
                digest = function.digest
                self._known.use(digest, len(function.packed))
                if is_new:
                    parcel.functions[digest] = function.packed
                    parcel.code |= code
                    self._known_code.update(code)
            elif posts and size > MAX_PARCEL_BYTES:
                break
            parcel.size = size
            posts.append(post)
        if len(posts) == len(self._posts):
            self._posts = {}
        else:
            for hand_out, _ in posts:
                del self._posts[hand_out.task, hand_out.attempt]
        self._parcel = parcel
        return parcel

    def _lacking(self, function: Function) -> dict[bytes, bytes]:
        """Return the parts of the code set that the slave does not have."""
        code = function.code
        if code.name in self._known_code:
            return {}
        parts = code.parts.items()
        return {part: content for part, content in parts if part not in self._known_code}

    def give_along(self, most_bytes: int) -> Parcel | None:
        """Return the parcel that is due, if it is no larger: to go with the answer to a delivery.

        None: there is nothing, or it is for the poll, which may have it already.
        """
        if self._parcel.number and not self._parcel.is_along:
            return None
        parcel = self.give_out()
        parcel.is_along = parcel.number > 0 and parcel.size <= most_bytes
        return parcel if parcel.is_along else None

    @property
    def is_along(self) -> bool:
        """Whether the last parcel went with the answer to a delivery, and may have arrived."""
        return self._parcel.is_along

    def has_come_back(self) -> None:
        """The slave asks anew: what it has not acknowledged has not arrived, and is repeated."""
        self._parcel.is_along = False

    def unpost(self, hand_out: HandOut) -> None:
        """Take a hand-out out of the parcel that is on its way: it cannot be packed."""
        self._parcel.posts = [post for post in self._parcel.posts if post[0] is not hand_out]
        self._known.forget_all()  # the slave keeps functions of tasks that it has seen

    def postpone(self, posts: Iterable[Post]) -> None:
        """Leave these for the next parcel: packed, they are too large for the one on its way."""
        late = {(post[0].task, post[0].attempt) for post in posts}
        kept: list[Post] = []
        first: dict[tuple[int, int], Post] = {}
        for post in self._parcel.posts:
            key = (post[0].task, post[0].attempt)
            if key not in late:
                kept.append(post)
            elif Stop(*key) in self._stops:  # stopped meanwhile: it simply does not leave
                self._stops.remove(Stop(*key))
            else:
                first[key] = post
        self._parcel.posts = kept
        self._known.forget_all()
        self._posts = first | self._posts


def _bytes_of(hand_out: HandOut, submission: Submission) -> int:
    if submission.is_span:
        return submission.item_bytes * hand_out.count
    return len(submission.arguments)
