"""The old project's settings, and what the async part needs beside them.

In a project of your own you would write these lines into the settings themselves.
"""

from shop.settings import *  # noqa: F403
from shop.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "bridge.django"]  # manage.py runbridge
ROOT_URLCONF = "live.urls"
ASGI_APPLICATION = "live.asgi.application"

# WhiteNoise's middleware is synchronous, and with it each async view would hold a thread.
_WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
MIDDLEWARE = [
    "live.middleware.static_files" if name == _WHITENOISE else name for name in MIDDLEWARE
]
