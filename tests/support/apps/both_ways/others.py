"""Other things that `ASGI_APPLICATION` may name."""

from __future__ import annotations

from django.core.handlers.asgi import ASGIHandler

import bridge
import bridge.django
from tests.support.apps.hello import wsgi

#: As `get_asgi_application()` makes it.
django_only = ASGIHandler()
mounted = bridge.Dispatcher({"/": bridge.django.application(), "/hello": wsgi})
