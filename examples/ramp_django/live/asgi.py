"""The project as one app for synchronous and async views: ``asgi-bridge serve live.asgi``."""

import os

import bridge.django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live.settings")

application = bridge.django.application(websocket="live.sockets.application")
