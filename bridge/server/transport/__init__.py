"""Bytes out of a connection: back-pressure, files, threads that write; and TLS at its start."""
