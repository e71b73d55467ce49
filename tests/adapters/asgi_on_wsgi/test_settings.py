"""What an `AsgiToWsgi` can be told."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from bridge.adapters.asgi_on_wsgi.settings import Settings, make_settings
from bridge.errors import ConfigError


def test_defaults() -> None:
    """A41: what is not said has the default that `AsgiToWsgi` documents, or no limit."""
    assert make_settings() == Settings(
        lifespan="auto",
        startup_timeout=None,
        shutdown_timeout=None,
        response_timeout=inf,
        stream_timeout=inf,
        disconnect_grace=5.0,
        pathsend=False,
    )


@pytest.mark.parametrize("none", [None, 0])
def test_no_limit(none: Any) -> None:
    """A41: None or 0 is no limit for a timeout."""
    settings = make_settings(
        startup_timeout=none, shutdown_timeout=none, response_timeout=none, stream_timeout=none
    )
    assert settings.startup_timeout is settings.shutdown_timeout is None
    assert settings.response_timeout == settings.stream_timeout == inf


def test_values_are_taken_over() -> None:
    """A41: each setting, as it was given."""
    given: dict[str, Any] = {
        "lifespan": "on",
        "startup_timeout": 1.0,
        "shutdown_timeout": 2.0,
        "response_timeout": 3.0,
        "stream_timeout": 4.0,
        "disconnect_grace": 0.0,
        "pathsend": True,
    }
    assert make_settings(**given) == Settings(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lifespan", "maybe"),
        ("startup_timeout", -1),
        ("response_timeout", "soon"),
        ("disconnect_grace", -1),
        ("pathsend", "yes, please"),
    ],
)
def test_a_value_that_is_not_allowed(name: str, value: Any) -> None:
    """A41: the error names the setting and the value."""
    with pytest.raises(ConfigError) as caught:
        make_settings(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)
