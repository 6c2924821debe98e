"""What slaves offer and tasks need: amounts by name, such as ``gpu=1``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real

from masterslave.errors import BadOffer

__all__ = ["check_amounts", "in_words", "read_offers", "real"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?")


def read_offers(texts: tuple[str, ...]) -> dict[str, float]:
    """Read offers as they are written on a command line: ``gpu=1``, ``ram_gb=7.5``.

    Raises:
        BadOffer: One of them is no name and amount, or a name is there twice.
    """
    offers: dict[str, float] = {}
    for text in texts:
        name, equals, amount = text.partition("=")
        if not equals or not _NAME.fullmatch(name) or not _AMOUNT.fullmatch(amount):
            raise BadOffer(f"an offer is a name and an amount, such as gpu=1, not {text!r}")
        if name in offers:
            raise BadOffer(f"{name!r} is offered twice: give one amount for all of it")
        offers[name] = float(amount)
    return check_amounts(offers, "an offer")


def check_amounts(amounts: Mapping[str, float], what: str) -> dict[str, float]:
    """Return amounts by name, those that are 0 left out.

    Args:
        what: What they are, for people.
    Raises:
        BadOffer: A name or an amount cannot be one.
    """
    if not isinstance(amounts, Mapping):
        raise BadOffer(f"{what} is a dict such as {{'gpu': 1}}, not {amounts!r}")
    checked: dict[str, float] = {}
    for name, amount in amounts.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadOffer(f"{what} has a name of letters, digits, '_', '-' and '.', not {name!r}")
        try:
            number = real(amount)
        except TypeError:
            raise BadOffer(f"{what} of {name!r} is a number, not {amount!r}") from None
        if not math.isfinite(number) or number < 0:
            raise BadOffer(f"{what} of {name!r} is a number from 0, not {number:g}")
        if number:
            checked[name] = number
    return checked


def real(value: object) -> float:
    """Return a number, of whatever type it came, numpy's too; one too large for a float is inf.

    Raises:
        TypeError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"this is no number: {value!r}")
    try:
        return float(value)
    except OverflowError:
        return -math.inf if abs(value) == -value else math.inf


def in_words(amounts: Mapping[str, float]) -> str:
    """Return amounts as they are written on a command line."""
    return ", ".join(f"{name}={amount:g}" for name, amount in sorted(amounts.items()))
