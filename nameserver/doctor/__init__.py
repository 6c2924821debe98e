"""Why a name is not found: what this machine and its network are like, and what to do about it.

``look`` observes and judges nothing; ``judge`` says what is wrong with what was observed, and does
nothing: it is tested with facts that were made up.
"""

from nameserver.doctor.facts import Facts
from nameserver.doctor.findings import judge
from nameserver.doctor.look import Wish, look
from nameserver.doctor.verdict import Finding, Level

__all__ = ["Facts", "Finding", "Level", "Wish", "judge", "look"]
