"""Middleware that lets async views wait without a thread."""

from asgiref.sync import iscoroutinefunction
from django.utils.decorators import sync_and_async_middleware
from whitenoise.middleware import WhiteNoiseMiddleware


@sync_and_async_middleware
def static_files(get_response):
    """Serve static files, unless the request is for an async view."""
    return get_response if iscoroutinefunction(get_response) else WhiteNoiseMiddleware(get_response)
