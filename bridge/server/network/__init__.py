"""Sockets to listen at, and TLS."""
