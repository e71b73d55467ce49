"""Live copies: the old app answers, and the new one is asked the same afterwards (M10)."""
