"""On which terms tasks are submitted: ``farm.options(...)`` and ``RetryPolicy``."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Rational
from typing import TYPE_CHECKING, Any, SupportsIndex

from masterslave.errors import FarmError
from masterslave.master.submission import Function
from masterslave.offers import check_amounts, real
from masterslave.protocol.joining import CODE, on_tag, task_tag
from masterslave.scheduler import Terms

if TYPE_CHECKING:
    from masterslave.farm.futures import FarmFuture

__all__ = ["CallOptions", "RetryPolicy", "TaskTerms", "whole"]

_MAX_KNOWN = 10_000
_LARGEST = 2**31
_next_number = itertools.count().__next__


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a task that raised is run again.

    Args:
        retries: How often, at most, beside the first time.
        delay_s: How long to wait before the first of them, in seconds.
        factor: By how much longer to wait before each further one.
        on: Exceptions that are worth it; others are the task's answer at once.
    """

    retries: int
    delay_s: float = 0.0
    factor: float = 2.0
    on: type[Exception] | tuple[type[Exception], ...] = Exception

    def __post_init__(self) -> None:
        if whole(self.retries, "retries") < 0:
            raise ValueError(f"retries is a number from 0, not {self.retries!r}")
        if not math.inf > _number(self.delay_s, "delay_s") >= 0:
            raise ValueError("delay_s is a number of seconds from 0")
        if not math.inf > _number(self.factor, "factor") >= 1:
            raise ValueError("factor is a number from 1")
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise TypeError(f"on is an exception class, or a tuple of them, not {self.on!r}")


class TaskTerms(Terms, frozen=True):
    """Terms, and which exceptions are retried."""

    on: type[Exception] | tuple[type[Exception], ...] = ()


class CallOptions:
    """Options of calls, and the terms that follow from them for each function.

    Args:
        kinds: Numbers of functions that are expected to take alike long, by their full name.
        is_here: The slots are threads of the script, which take any task: what it demands of its
            slave is not looked at.
        is_attached: The farm runs by itself, and knows nothing of the script's classes.

    Attributes:
        after: Tasks that have to succeed before.
        key: By what the task is known in other runs of the script; None: by what it does.
        cache: Its result is kept for other runs of the script.
    """

    def __init__(
        self,
        kinds: dict[str, int] | None = None,
        *,
        is_here: bool = False,
        is_attached: bool = False,
        **values: Any,
    ) -> None:
        self.after: tuple[FarmFuture[Any], ...] = ()
        self.key: object = None
        self.cache = False
        self._values = values
        self._is_here, self._is_attached = is_here, is_attached
        self._kinds = {} if kinds is None else kinds
        self._terms: dict[tuple[str, int], TaskTerms] = {}

    def changed(
        self,
        *,
        priority: int | None = None,
        retries: int | RetryPolicy | None = None,
        repeatable: bool | None = None,
        max_attempts: int | None = None,
        timeout_s: float | None = None,
        needs: Mapping[str, float] | None = None,
        on: str | None = None,
        after: tuple[FarmFuture[Any], ...] | None = None,
        key: object = None,
        cache: bool | None = None,
    ) -> CallOptions:
        """Return these options, with others where given."""
        if self._is_attached:
            _refuse_attached(retries, key, cache)
        values = dict(self._values)
        if priority is not None:
            values["priority"] = whole(priority, "priority")
        if retries is not None:
            policy = retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries)
            values |= {
                "retries": whole(policy.retries, "retries"),
                "delay_s": real(policy.delay_s),
                "factor": real(policy.factor),
                "on": policy.on,
            }
        if repeatable is not None:
            values["repeatable"] = bool(repeatable)
        if max_attempts is not None:
            values["max_attempts"] = whole(max_attempts, "max_attempts")
            if values["max_attempts"] < 1:
                raise ValueError(f"max_attempts is at least 1, not {max_attempts}")
        if timeout_s is not None:
            values["timeout_s"] = _limit(timeout_s)
        if needs is not None:
            values["needs"] = tuple(sorted(check_amounts(needs, "a need").items()))
        if on is not None:
            if not isinstance(on, str):
                raise TypeError(f"on is the name of a slave or a host, not {on!r}")
            values["tags"] = frozenset({on_tag(on)}) if on else frozenset()
        options = CallOptions(
            self._kinds, is_here=self._is_here, is_attached=self._is_attached, **values
        )
        options.after = self.after if after is None else after
        options.key = self.key if key is None else key
        options.cache = self.cache if cache is None else bool(cache)
        return options

    @property
    def has_limit(self) -> bool:
        """Whether a task may run for some time only."""
        return bool(self._values.get("timeout_s"))

    def terms_of(
        self, function: Function, chunk: int = 0, *, is_pickled: bool = False
    ) -> TaskTerms:
        """Return the terms for tasks of a function, the same object for the same ones.

        Args:
            is_pickled: It is a named task, and its arguments are no data: slaves that take data
                only are unable to run these, and not the others.
        """
        kind = f"{function.kind} pickled" if is_pickled else function.kind
        terms = self._terms.get((kind, chunk))
        if terms is None:
            if len(self._kinds) > _MAX_KNOWN:
                self._kinds.clear()
            number = self._kinds.setdefault(kind, _next_number())
            if self.has_limit:  # each item has its own: they travel one by one
                chunk = 1
            tags = self._values.get("tags", frozenset()) | {_tag_of(function)}
            demands: dict[str, Any] = {"tags": tags}
            if self._is_here:
                demands = {"tags": frozenset(), "needs": ()}
            terms = TaskTerms(number, chunk=chunk, **{**self._values, **demands})
            if self._is_attached:
                _check_attached(terms)
            if len(self._terms) > _MAX_KNOWN:
                self._terms.clear()
            self._terms[kind, chunk] = terms
        return terms

    def __repr__(self) -> str:
        values = dict(self._values)
        if "retries" in values:
            names = ("retries", "delay_s", "factor", "on")
            policy = RetryPolicy(*(values.pop(name) for name in names))
            is_plain = policy == RetryPolicy(policy.retries)
            values["retries"] = policy.retries if is_plain else policy
        for name in ("needs", "tags", "timeout_s"):
            if not values.get(name):  # what a view had was taken back
                values.pop(name, None)
        if "needs" in values:
            values["needs"] = dict(values["needs"])
        for tag in values.pop("tags", ()):
            values["on"] = tag.removeprefix(on_tag(""))
        if self.after:
            values["after"] = list(self.after)
        if self.key is not None:
            values["key"] = self.key
        if self.cache:
            values["cache"] = True
        return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _refuse_attached(retries: int | RetryPolicy | None, key: object, cache: bool | None) -> None:
    """Refuse what a farm cannot have that runs by itself.

    Raises:
        FarmError: One of these says so.
    """
    if isinstance(retries, RetryPolicy) and retries.on not in (Exception, (Exception,)):
        raise FarmError(
            f"RetryPolicy(on={retries.on!r}) is for a farm of the script's own: one that it is "
            "attached to does not know its classes, and retries whatever is raised; leave on out"
        )
    if key is not None or cache:
        raise FarmError(
            f"{'cache=' if cache else 'key='} is for a farm of the script's own: of one that it is "
            "attached to, farm.ticket and the order of its futures say which task is which"
        )


def _check_attached(terms: Terms) -> None:
    """Check that a farm that runs by itself takes these.

    Raises:
        ValueError: It does not.
    """
    for name in ("priority", "retries", "max_attempts", "chunk"):
        if abs(getattr(terms, name)) >= _LARGEST:
            raise ValueError(f"{name} is {getattr(terms, name)}: a number below {_LARGEST} will do")


def _tag_of(function: Function) -> str:
    """Return what a slave has to have to run a function: the same Python, or a handler."""
    return task_tag(function.name) if function.is_named else CODE


def _limit(timeout_s: float) -> float:
    """Return a time limit as terms have it: 0 for none."""
    limit_s = _number(timeout_s, "timeout_s")
    if not limit_s > 0:
        raise ValueError(f"timeout_s is a number of seconds above 0, not {limit_s:g}")
    if math.isinf(limit_s) and isinstance(timeout_s, Rational):
        raise ValueError("timeout_s is too large a number: math.inf is for no limit")
    return 0.0 if math.isinf(limit_s) else limit_s


def _number(value: object, name: str) -> float:
    try:
        return real(value)
    except TypeError:
        raise TypeError(f"{name} is a number, not {value!r}") from None


def whole(value: SupportsIndex, name: str) -> int:
    """Return a whole number, of whatever type it came: a fraction would reach the scheduler.

    Raises:
        TypeError: It is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None
