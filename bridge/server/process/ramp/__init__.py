"""The cutovers of a server with several workers: one decides for all (M3, M21)."""
