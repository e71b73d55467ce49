"""Requests that run for too long: found, told, and ended (R2)."""
