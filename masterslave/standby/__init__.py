"""A standby: another machine that has a copy of a farm's journal, and takes the farm over."""

from masterslave.standby.door import FollowDoor
from masterslave.standby.follower import Follower

__all__ = ["FollowDoor", "Follower"]
