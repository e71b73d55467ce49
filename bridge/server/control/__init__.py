"""Orders to a running server, over a Unix socket (O3, O8)."""
