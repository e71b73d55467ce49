"""Who takes part in a chat: consumers of each kind that Channels has."""

import json

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer


def group_of(room):
    return f"room.{room}"


class Chat(AsyncJsonWebsocketConsumer):
    """One visitor of one room, by WebSocket. The room "closed" lets nobody in."""

    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = group_of(self.room)
        if self.room == "closed":
            await self.close()
            return
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        who = "guest" if self.scope["user"].is_anonymous else str(self.scope["user"])
        await self.send_json({"joined": self.room, "as": who})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content):
        text = content["text"]
        if text.startswith("/count "):
            # A worker does it, and answers to this consumer alone.
            await self.channel_layer.send(
                "tally", {"type": "tally.count", "text": text[7:], "to": self.channel_name}
            )
            return
        await self.channel_layer.group_send(self.group, {"type": "chat.said", "text": text})

    async def chat_said(self, event):
        await self.send_json({"said": event["text"]})

    async def chat_counted(self, event):
        await self.send_json({"words": event["words"]})


class Announcements(WebsocketConsumer):
    """Shows what is announced; synchronous. What a visitor sends is announced, too."""

    groups = ["announcements"]  # noqa: RUF012  (as Channels names it)

    def receive(self, text_data=None, bytes_data=None):
        async_to_sync(self.channel_layer.group_send)(
            "announcements", {"type": "announced", "text": text_data}
        )

    def announced(self, event):
        self.send(text_data=event["text"])


class Events(AsyncHttpConsumer):
    """What is said in a room, as an event stream over HTTP, until the client leaves."""

    async def http_request(self, message):
        self.group = group_of(self.scope["url_route"]["kwargs"]["room"])
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.send_headers(headers=[(b"content-type", b"text/event-stream")])
        await self.send_body(b": here\n\n", more_body=True)

    async def chat_said(self, event):
        data = json.dumps({"said": event["text"]})
        await self.send_body(f"data: {data}\n\n".encode(), more_body=True)

    async def http_disconnect(self, message):
        await self.channel_layer.group_discard(self.group, self.channel_name)
        raise StopConsumer


class Tally(AsyncConsumer):
    """Counts words, in a worker: ``python manage.py runworker tally``."""

    async def tally_count(self, message):
        words = len(message["text"].split())
        await self.channel_layer.send(message["to"], {"type": "chat.counted", "words": words})
