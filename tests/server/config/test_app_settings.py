"""The settings of the app, of listening and of responses: what holds if nobody says anything."""

from __future__ import annotations

from bridge.arguments.checks import WSGI_DEFAULTS
from bridge.server.config.app_settings import AppSettings
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.setting import settings_of


def test_defaults_are_those_that_people_know() -> None:
    """Without a word it listens on 127.0.0.1:8000, for this machine only."""
    config = Config()
    assert (config.host, config.port, config.bind) == ("127.0.0.1", 8000, ())
    assert (config.interface, config.runner, config.lifespan) == ("auto", "thread", "auto")


def test_the_adapters_have_the_same_defaults() -> None:
    """S60: an app runs the same way under an adapter and under the server."""
    config = Config()
    assert {name: getattr(config, name) for name in WSGI_DEFAULTS} == WSGI_DEFAULTS


def test_its_rows_come_first() -> None:
    """The reference page and `--help` begin with the app."""
    rows = [setting.name for setting in settings_of(AppSettings)]
    assert rows == [setting.name for setting in SETTINGS][: len(rows)]
    assert rows[0] == "app"
