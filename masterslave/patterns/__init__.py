"""Ways to use a farm, each built on nothing but what :class:`masterslave.Farm` offers to all."""

from masterslave.patterns.learning import joblib_backend

__all__ = ["joblib_backend"]
