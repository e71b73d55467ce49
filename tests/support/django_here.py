"""Django in the process of the tests, whatever other tests have told it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
import pytest
from django.conf import settings

closes_what_is_cancelled = pytest.mark.skipif(
    django.VERSION < (6,), reason="Django 5.2 leaves the body of a cancelled request open"
)


def set_up() -> None:
    """Set Django up, unless another test has done so."""
    if not settings.configured:
        settings.configure(SECRET_KEY="for tests only")
    django.setup(set_prefix=False)


@contextmanager
def project(*routes: Any, **values: Any) -> Iterator[Any]:
    """Have these routes as the project's, and these settings; gives the URLconf."""
    set_up()
    from django.test import override_settings

    module = type("Urlconf", (), {"urlpatterns": list(routes)})
    given = {"MIDDLEWARE": [], "ALLOWED_HOSTS": ["*"], **values}
    with override_settings(**{"ROOT_URLCONF": module, "FORCE_SCRIPT_NAME": None, **given}):
        yield module
