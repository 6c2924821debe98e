"""TLS without sockets: the ``engine``, and what its errors mean (``reasons``)."""

from remoteobj.tls.engine import MAX_HANDSHAKE_BYTES, TlsEngine

__all__ = ["MAX_HANDSHAKE_BYTES", "TlsEngine"]
