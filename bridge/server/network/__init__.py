"""Listening sockets, and TLS."""
