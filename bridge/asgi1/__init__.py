"""ASGI 1 consumers as ASGI 3 apps (rules L2 to L4)."""
