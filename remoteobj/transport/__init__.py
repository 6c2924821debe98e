"""Sockets, and nothing but: listen, connect, send, receive. Their errors are mapped here."""
