"""What a server counts, and the text that Prometheus reads (O2)."""
