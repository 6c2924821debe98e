"""Why a farm and its slaves do not find each other, or do not work: and what mends it.

As ``nameserver.doctor``: ``look`` observes and judges nothing, ``judge`` (pure) says what is wrong
with what was observed.
"""

from masterslave.doctor.facts import Facts
from masterslave.doctor.findings import judge
from masterslave.doctor.look import Wish, look

__all__ = ["Facts", "Wish", "judge", "look"]
