"""Runs the child, without importing the packages that it is part of."""

import sys
import types

if __name__ == "__main__":
    _package = types.ModuleType("_masterslave")
    _package.__path__ = [__file__.rsplit("slave", 1)[0]]
    sys.modules["_masterslave"] = _package
    if sys.argv[1] == "look":
        __import__("_masterslave.slave.child.looking")
        sys.modules["_masterslave.slave.child.looking"].look(sys.argv[2:])
    else:
        __import__("_masterslave.slave.child.loop")
        sys.modules["_masterslave.slave.child.loop"].main(sys.argv)
