"""`asgi-bridge check`: its options, and what it does (M51)."""
