"""An ASGI 1 consumer of 2017: one callable for every message, which replies when it likes.

Run it on our own server, or as Gunicorn's worker:

    asgi-bridge serve examples.asgi1_hello:consumer
    gunicorn -k bridge.server.gunicorn.BridgeWorker examples.asgi1_hello:consumer
"""

from __future__ import annotations

from typing import Any


def consumer(message: Any) -> None:
    """Say hello to whoever asks."""
    text = f"Hello from {message['path']}\n"
    message.reply_channel.send(
        {
            "status": 200,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
            "content": text.encode(),
        }
    )
