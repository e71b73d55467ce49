"""Frameworks: a view of each that sleeps, and one of Django that uses its database."""

from __future__ import annotations

import os
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import bottle
import django
import falcon
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import path
from pyramid.config import Configurator
from pyramid.response import Response

from tests.support.apps.libraries.timed import timed

# ------------------------------------------------------------- Flask

_flask = flask.Flask(__name__)


@_flask.get("/")
def _flask_view() -> str:
    flask.g.mine = mine = object()
    text = timed(time.sleep, flask.request.environ)
    assert flask.g.mine is mine
    return text


# ------------------------------------------------------------- Django


def _django_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(timed(time.sleep, request.META))


def _orm_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(timed(_in_database, request.META))


def _in_database(seconds: float, database: str = "default") -> None:
    with connections[database].cursor() as cursor:
        cursor.execute("select pg_backend_pid(), pg_sleep(%s)", (seconds,))
        _numbers.now = cursor.fetchone()[0]


def _persistent_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(timed(_in_the_same_connection, request.META))


def _in_the_same_connection(seconds: float) -> None:
    _in_database(seconds, "persistent")
    assert vars(_numbers).setdefault("first", _numbers.now) == _numbers.now


_numbers = threading.local()
urlpatterns = [
    path("", _django_view),
    path("orm", _orm_view),
    path("persistent", _persistent_view),
]
_database = urlsplit(os.environ["POSTGRES"])
_options = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": _database.hostname,
    "PORT": _database.port,
    "USER": _database.username,
    "NAME": _database.path[1:],
}
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no use",
    DATABASES={"default": _options, "persistent": {**_options, "CONN_MAX_AGE": None}},
)
django.setup()
_django = get_wsgi_application()


def _django_orm(environ: dict[str, Any], start_response: Any) -> Any:
    return _django({**environ, "PATH_INFO": "/orm"}, start_response)


def _django_persistent(environ: dict[str, Any], start_response: Any) -> Any:
    return _django({**environ, "PATH_INFO": "/persistent"}, start_response)


# ------------------------------------------------------------- Bottle

_bottle = bottle.Bottle()


@_bottle.get("/")  # type: ignore[untyped-decorator]
def _bottle_view() -> str:
    return timed(time.sleep, bottle.request.environ)


# ------------------------------------------------------------- Pyramid


def _pyramid_view(request: Any) -> Response:
    return Response(timed(time.sleep, request.environ))


_pyramid = Configurator()
_pyramid.add_route("all", "/")
_pyramid.add_view(_pyramid_view, route_name="all")


# ------------------------------------------------------------- Falcon


class _Falcon:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.text = timed(time.sleep, request.env)


_falcon = falcon.App()
_falcon.add_route("/", _Falcon())

PAGES: dict[str, Any] = {
    "Flask": _flask,
    "Django": _django,
    "Bottle": _bottle,
    "Pyramid": _pyramid.make_wsgi_app(),
    "Falcon": _falcon,
    "Django's ORM": _django_orm,
    "Django's ORM with CONN_MAX_AGE": _django_persistent,
}
