"""How the block of a farm is left, at its end or by an error, and how a farm is shut down."""

from __future__ import annotations

import abc
import os
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType

from masterslave.farm.calls import Calls
from masterslave.farm.ending import out_of_reach
from masterslave.farm.masters import AnyMaster
from masterslave.master.carrier import Carrier

__all__ = ["Leaving"]


class Leaving(Calls):
    """A farm that a script has, in a ``with`` statement or without one."""

    _carrier: Carrier
    _pid: int
    _script_has_failed = False
    """Whether an exception ended the script, which has the farm without a block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind and not self._submitter.goes_on_after(kind) and not self._is_of_parent():
            interrupted = issubclass(kind, KeyboardInterrupt)
            self._interrupt_whole("interrupted" if interrupted else f"stopped by {kind.__name__}")
            return
        try:
            self.shutdown()
        except BaseException:  # Ctrl-C while the last tasks are waited for
            self._interrupt_whole()
            raise

    def _end_by(
        self,
        master: AnyMaster,
        drop: Callable[[], object] | None,
        close: Callable[[], None],
        *,
        wait: bool,
    ) -> None:
        """Take no more tasks, *drop* some if that is given, and *close* when the rest is answered.

        Where that is not waited for, it goes on in a thread.
        """
        if self._is_of_parent():
            return
        self._submitter.take_no_more()
        if drop is not None:
            drop()
        if wait and not self._carrier.is_this_thread() and not master.is_handing_over():
            master.wait_until_answered()
            close()
        else:
            threading.Thread(target=self.shutdown, name="farm shutdown").start()

    def _interrupt_whole(self, how: str = "interrupted") -> None:
        """Do it out of the reach of Ctrl-C: the second one ends the wait."""
        out_of_reach(partial(self._interrupt, how))

    @abc.abstractmethod
    def _interrupt(self, how: str = "interrupted") -> None:
        """The block was left by an error or Ctrl-C: drop what is open, say what is kept."""

    def _is_of_parent(self) -> bool:
        """Tell whether this process is a fork of the script, in which the farm has no threads."""
        return self._pid != os.getpid()
