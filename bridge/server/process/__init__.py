"""Several processes: the supervisor, its workers, and what they say to each other (P1 to P12)."""
