"""WebSockets on the server."""
