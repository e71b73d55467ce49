"""The project as one app for views of both kinds: ``asgi-bridge serve mysite.both_ways``."""

import os

import bridge.django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = bridge.django.application(static=True)
