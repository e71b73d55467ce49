"""Settings, some of which tests set by the environment."""

from __future__ import annotations

import os
from typing import Any

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["*"]
DEBUG = os.environ.get("DEBUG") == "1"
ROOT_URLCONF = "tests.support.apps.both_ways.urls"
ASGI_APPLICATION = os.environ.get("ASGI_APPLICATION")
INSTALLED_APPS = [
    *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
    *("django.contrib.staticfiles", "bridge.django"),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *filter(None, os.environ.get("MORE_MIDDLEWARE", "").split(",")),
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
USE_TZ = True
STATIC_URL = "static/"
DATA_UPLOAD_MAX_MEMORY_SIZE = None
DATABASES: dict[str, Any] = {}
if "POSTGRES_PORT" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "test",
        "USER": "test",
        "HOST": "127.0.0.1",
        "PORT": os.environ["POSTGRES_PORT"],
        "CONN_MAX_AGE": int(os.environ["CONN_MAX_AGE"]),
    }
