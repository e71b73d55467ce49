"""The channel layer of daphne."""

from __future__ import annotations

import django
from channels.asgi import get_channel_layer

django.setup(set_prefix=False)
channel_layer = get_channel_layer()
