"""Drive an ASGI app on a loop of its own, and note what it does with the specification (M51)."""
