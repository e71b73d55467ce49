"""The loggers, the access log, and the counter of refused connections and requests."""
