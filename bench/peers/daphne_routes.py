"""What the stack of 2017 runs: its consumer is the app."""

from __future__ import annotations

from channels import route

from bench.apps.plain import asgi1


def hello(message):
    asgi1({"reply_channel": message.reply_channel})


routes = [route("http.request", hello)]
urlpatterns: list[object] = []
