"""The ASGI specification: messages, scopes, lifespan, disconnects, older versions."""
