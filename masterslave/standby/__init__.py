"""A standby: another machine that has a copy of a farm's journal, and takes the farm over."""

from masterslave.standby.follower import Follower
from masterslave.standby.standby import Standby

__all__ = ["Follower", "Standby"]
