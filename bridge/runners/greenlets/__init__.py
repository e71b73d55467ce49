"""The greenlet runner: the app on the loop's own thread, and waiting without blocking it."""
