"""The project as an ASGI app: ``asgi-bridge serve chatsite.asgi``."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
django_app = get_asgi_application()  # before the consumers, which use Django

from chat import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("events/<slug:room>", consumers.Events.as_asgi()),
                re_path("", django_app),
            ]
        ),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter(
                    [
                        path("chat/<slug:room>", consumers.Chat.as_asgi()),
                        path("announcements", consumers.Announcements.as_asgi()),
                    ]
                )
            )
        ),
        "channel": ChannelNameRouter({"tally": consumers.Tally.as_asgi()}),
    }
)
