"""What the app of the rules (`apps.http_rules`) noted of what happened to it."""

from __future__ import annotations

import json

from tests.support.hosts import Host
from tests.support.raw import Client


def event(host: Host, name: str) -> str | None:
    """What it noted under `name`."""
    with Client(host.connect()) as client:
        noted: dict[str, str] = json.loads(client.get("/events").body)
    return noted.get(name)
