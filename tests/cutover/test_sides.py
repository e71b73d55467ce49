"""The two apps of a cutover."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.cutover.sides import mounted
from bridge.dispatcher import Mount
from bridge.errors import ConfigError
from bridge.types import Environ, StartResponse


def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    return []


def test_a_side_is_told_as_in_a_dispatcher() -> None:
    """M1: apps of any kind, or a Mount for the kind and the settings."""
    assert mounted("old", app, {}).kind == "wsgi"
    side = mounted("new", Mount(app, "wsgi", settings={"threads": 1}), {})
    assert (side.kind, side.name) == ("wsgi", "the new app")
    with pytest.raises(ConfigError, match="the old app: "):
        mounted("old", object(), {})


@pytest.mark.parametrize("more", [{"when": bool}, {"strip_prefix": True}, {"keep_prefix": False}])
def test_a_side_has_no_prefix(more: dict[str, Any]) -> None:
    """M5: what belongs to prefixes is refused."""
    with pytest.raises(ConfigError, match=re.escape("the old app is a Mount with when")):
        mounted("old", Mount(app, **more), {})
