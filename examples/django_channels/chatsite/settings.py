"""Settings of the example project."""

import os

# Only for an example on your own machine.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "an example's key, which everybody can read")
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
    "chat",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
]

ROOT_URLCONF = "chatsite.urls"
ASGI_APPLICATION = "chatsite.asgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# Visitors' names are in their cookies, so the project has no database.
DATABASES = {}
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
USE_TZ = True

CHANNEL_LAYERS = {
    "default": {
        # Or "channels_redis.core.RedisChannelLayer", with the same CONFIG.
        "BACKEND": os.environ.get("CHANNEL_LAYER", "bridge.channels.django.RedisChannelLayer"),
        "CONFIG": {
            "hosts": [os.environ.get("REDIS_URL", "redis://localhost:6379/0")],
            "prefix": "chat",
            "capacity": 200,
        },
    }
}
