"""The side of the clients: an ASGI 3 app that has its requests answered by workers."""
