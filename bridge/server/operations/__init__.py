"""Health and metrics over HTTP, apart from the apps (O1, O2)."""
