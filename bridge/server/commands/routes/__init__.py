"""`asgi-bridge routes`: every route of every mount, and who would answer (M50)."""
