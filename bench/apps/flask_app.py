"""Flask: hello."""

from __future__ import annotations

from flask import Flask

wsgi = Flask(__name__)


@wsgi.get("/")
def hello():
    return "Hello, world!"
