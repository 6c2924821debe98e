"""Handlers whose class is called as another one."""

from masterslave import Slave


class Render(Slave):
    def do_other(self) -> None:
        pass
