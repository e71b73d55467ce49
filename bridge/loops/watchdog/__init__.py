"""A thread that looks whether one call holds an event loop for too long, and which (G9, R3)."""
