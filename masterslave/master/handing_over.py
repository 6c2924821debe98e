"""Answers reach whoever waits for them: code of the user's runs here."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from masterslave.master.answers import HandOver

__all__ = ["hand_over_each"]

log = logging.getLogger("masterslave")


def hand_over_each(answers: Iterable[HandOver]) -> None:
    """Hand answers over, each of them, whatever the callbacks of others do.

    Raises:
        BaseException: The first that a callback has raised and that is no ``Exception``, such as
            ``SystemExit``. All are handed over by then.
    Blocks: on the callbacks.  Threads: any; no lock may be held.
    """
    exits: list[BaseException] = []
    for settle, arguments in answers:
        try:
            settle(*arguments)
        except Exception:  # the others have their answers all the same
            log.exception("an answer could not be handed over")
        except BaseException as error:  # sys.exit() in a callback of who cancels
            exits.append(error)
    if exits:
        raise exits[0]
