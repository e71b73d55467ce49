"""Start and stop: the loop, signals, what is said at the start, and the steps of a stop."""
