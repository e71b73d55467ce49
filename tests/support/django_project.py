"""A Django project within the process of the tests, whoever has configured Django there before.

Django can be configured once in a process. So the settings are put over those that there are, and
taken away again. Folder and database are the same for the whole process: Django's threads and
classes keep them.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import django
from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.db import connection, connections
from django.test.utils import override_settings

ENGINES = "django.contrib.sessions.backends."
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
MODELS = ("contenttypes.ContentType", "auth.Permission", "auth.Group", "auth.User")

#: What is the same for all tests; `override_settings` changes it for one of them.
SETTINGS: dict[str, Any] = {
    "SECRET_KEY": "a key of the tests",
    "SECRET_KEY_FALLBACKS": [],
    "INSTALLED_APPS": [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
    ],
    "AUTHENTICATION_BACKENDS": [MODEL_BACKEND],
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "SESSION_ENGINE": ENGINES + "db",
    "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    "ALLOWED_HOSTS": ["*"],
    "USE_TZ": True,
    "MIDDLEWARE": [],
}


@functools.cache
def _folder() -> Path:
    """A folder of this process, for its database and its files."""
    made = tempfile.mkdtemp(prefix="bridge-django-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@contextmanager
def project() -> Iterator[None]:
    """Have a project with sessions and users."""
    if not settings.configured:
        settings.configure()
    if not getattr(settings._wrapped, "SECRET_KEY", None):
        settings.SECRET_KEY = "a key that is needed when ours is taken away"
    if not apps.ready:
        django.setup(set_prefix=False)
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(_folder() / "db.sqlite3"),
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY;"},
    }
    with ExitStack() as entered:
        entered.enter_context(override_settings(**SETTINGS, SESSION_FILE_PATH=str(_folder())))
        databases = connections.configure_settings({"default": database})
        entered.enter_context(mock.patch.object(connections, "settings", databases))
        _forget_connection()
        entered.callback(_forget_connection)
        _make_tables()
        yield


def _forget_connection() -> None:
    """Have this thread connect anew when it needs the database."""
    if hasattr(connections._connections, "default"):
        connections["default"].close()
        del connections["default"]


def _make_tables() -> None:
    from django.contrib.sessions.models import Session

    if connection.introspection.table_names():
        return
    with connection.schema_editor() as editor:
        for name in MODELS:
            editor.create_model(apps.get_model(name))
        editor.create_model(Session)
    connection.close()


def forget_all() -> None:
    """Delete what earlier tests have left in database and cache."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    Session.objects.all().delete()
    User.objects.all().delete()
    caches["default"].clear()
    connection.close()


@contextmanager
def engine(store: type) -> Iterator[str]:
    """Have `store` as the engine of a module, whose name is given."""
    module = types.ModuleType("engine_of_a_test")
    module.SessionStore = store  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        yield module.__name__
