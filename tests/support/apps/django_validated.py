"""The Django example under the validator, as WSGI and through `WsgiToAsgi`.

``EXAMPLE_DATABASE`` names its SQLite file; `database.migrate` makes one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bridge import WsgiToAsgi
from tests.support.validated import opaque, validated

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples" / "django_on_bridge"))

from mysite.wsgi import application

wsgi = validated(application)
asgi = WsgiToAsgi(wsgi)
opaque_asgi = opaque(asgi)
