"""What is written for, and read from, stock Pyro5 peers: values, calls, errors, batches."""

from __future__ import annotations

from remoteobj.stock.formats import FORMATS, Call, Data, Format, decompress, parse_batch

__all__ = ["FORMATS", "Call", "Data", "Format", "decompress", "parse_batch"]
