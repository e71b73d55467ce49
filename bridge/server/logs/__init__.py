"""The loggers, the access log, and the counter of what was refused."""
