"""Requests that were recorded, asked of the old app and the new one again (M13)."""
