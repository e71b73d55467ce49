"""The servers that are measured: what they need, how each is started, and those of our own."""
