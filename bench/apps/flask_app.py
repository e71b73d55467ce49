"""Flask: hello, at the root and for each item."""

from __future__ import annotations

from flask import Flask

wsgi = Flask(__name__)


@wsgi.get("/")
@wsgi.get("/items/<item>")
def hello(item=""):
    return "Hello, world!"
