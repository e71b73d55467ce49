"""`python -m bridge` is `asgi-bridge`."""

from __future__ import annotations

from bridge.server.cli import main

if __name__ == "__main__":
    main(prog_name="asgi-bridge")
