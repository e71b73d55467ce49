"""The workers of a supervisor, and what becomes of them: pure, no system, clock or loop."""
