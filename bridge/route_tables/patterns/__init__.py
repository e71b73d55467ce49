"""Patterns of paths, and what can be told of two of them. Pure."""
