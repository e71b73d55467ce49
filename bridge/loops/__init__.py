"""Event loops, the thread that one runs in, and how other threads wait for it."""
