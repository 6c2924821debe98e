"""A bug that is planted: a master does not wait for what slaves have of the one before it."""

from masterslave.master.shell import Master

_inherit = Master.inherit
Master.inherit = lambda self, out, wait_s, **more: _inherit(self, {}, wait_s, **more)
