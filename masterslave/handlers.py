"""``Slave``: a class whose methods are tasks, which scripts call by their names."""

from __future__ import annotations

from masterslave.farm.inside import report_progress

__all__ = ["Slave"]


class Slave:
    """Does named tasks: each method ``do_<name>`` is a task ``<name>``.

    ::

        class Render(Slave):
            def setup(self):
                self.scene = load_scene()

            def do_frame(self, number):
                return self.scene.draw(number)

    ``masterslave slave --handlers studio:Render`` offers its tasks, and a script calls them:
    ``farm.submit("frame", 12)``. Each process that runs tasks, one a slot, makes an instance before
    the first of them, and keeps it for as long as it lives, over all farms that it serves. A method
    that is a generator sends what it yields as the parts of its future.

    Threads: the methods of an instance are called one at a time, in the thread that runs tasks.
    """

    def setup(self) -> None:
        """Make ready what the tasks need; called once, before the first of them.

        What it raises is the answer of that task (``SetupFailed``); the next one tries again.
        """

    def teardown(self) -> None:
        """Clean up; called when the process ends in peace, and given 2 s for it."""

    @staticmethod
    def progress(done: float, total: float) -> None:
        """Tell the script how far the task is: its future's ``progress`` says so."""
        report_progress(done, total)
