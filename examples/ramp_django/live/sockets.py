"""Which consumer takes which WebSocket."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from live.consumers import Stock

application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter([path("books/<int:number>/stock", Stock.as_asgi())]))
)
