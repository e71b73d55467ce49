"""Django: hello, at the root and for each item, without middleware or database."""

from __future__ import annotations

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="for the bench only", USE_TZ=True
)


def hello(request, item=""):
    return HttpResponse(b"Hello, world!", content_type="text/plain")


async def hello_async(request):
    return HttpResponse(b"Hello, world!", content_type="text/plain")


urlpatterns = [path("", hello), path("items/<item>", hello), path("async", hello_async)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
