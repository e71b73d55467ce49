"""Orders to a supervisor, and what it tells of its workers (O3)."""
