"""A WebSocket, as Channels has it."""

import asyncio

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from live.stock import watch


class Stock(AsyncJsonWebsocketConsumer):
    """Tells a visitor how many of a book are in stock, and each change; answers questions."""

    async def connect(self):
        await self.accept()
        self.telling = asyncio.create_task(self.tell())

    async def tell(self):
        stock = None
        while True:
            stock = await watch.other_than(stock, self.scope["url_route"]["kwargs"]["number"])
            await self.send_json({"stock": stock})

    async def receive_json(self, content):
        await self.send_json({"asked": content, "by": self.scope["user"].get_username()})

    async def disconnect(self, code):
        self.telling.cancel()
