"""The thread runner: a pool of threads of its own."""
