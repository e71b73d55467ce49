"""The project's WebSockets, by Channels' routing."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path


class Shout(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send((text_data or "").upper())


application = URLRouter([path("shout", Shout.as_asgi())])
