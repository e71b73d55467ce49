"""The server: `serve(app)` from Python, `asgi-bridge serve module:attr` from the shell."""
