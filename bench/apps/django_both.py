"""The same project as `django_app`, by `bridge.django`: for views of both kinds."""

from __future__ import annotations

import bench.apps.django_app
import bridge.django

assert bench.apps.django_app.settings.configured
app = bridge.django.application()
