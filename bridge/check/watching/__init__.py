"""How an app is watched: threads that may hang, what Python tells of it, what it logs (M51)."""
