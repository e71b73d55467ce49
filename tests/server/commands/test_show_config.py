"""`asgi-bridge config`: every setting, its value and its source (O6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.server.commands.show_config import as_json, as_toml
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.sources import from_file, make_config

GIVEN: dict[str, Any] = {
    "app": 'shop:create_app("caf\u00e9")',
    "bind": ("127.0.0.1:1", "unix:/run/a b.sock"),
    "root_path": "/a\\b",
    "timeout_write": 0.25,
    "limit_body_size": 2048,
    "uds_mode": 0o600,
    "access_log": False,
    "access_log_format": "%(h)s \t\x1b \U0001f600",
    "log_config": {"version": 1, "handlers": {"my file": {"class": "a.B", "delay": True}}},
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the project's own pyproject.toml."""
    monkeypatch.chdir(tmp_path)


def test_what_is_shown_is_a_file_of_settings() -> None:
    """O6: saved and read again, it is the same; what is left at its default stays a comment."""
    config = Config(**GIVEN)
    Path("shown.toml").write_text(as_toml(config), encoding="utf-8")
    assert make_config({}, {}, "shown.toml") == config
    assert set(from_file("shown.toml")) == GIVEN.keys()


def test_every_setting_is_there_with_its_source() -> None:
    """O6: one line for each, aligned, in the sections of the reference page."""
    config = make_config({"port": ("9000", "--port")}, {"BRIDGE_THREADS": "3"}, None)
    lines = as_toml(config).splitlines()
    rows = [line for line in lines if " = " in line]
    assert [row.removeprefix("# ").split()[0] for row in rows] == [each.name for each in SETTINGS]
    assert len({row.index(" = ") for row in rows}) == 1
    assert len({row.index("  # ", 30) for row in rows}) == 1
    by_name = {row.removeprefix("# ").split()[0]: row.split() for row in rows}
    assert by_name["port"] == ["port", "=", "9000", "#", "--port"]
    assert by_name["threads"] == ["threads", "=", "3", "#", "BRIDGE_THREADS"]
    assert by_name["backlog"] == ["#", "backlog", "=", "2048", "#", "default"]
    assert "# Listening" in lines


def test_a_long_value_does_not_move_the_others() -> None:
    """O6: the column of the sources is where it was."""
    shown = as_toml(Config(app="a" * 100)).splitlines()
    assert max(len(line) for line in shown if not line.startswith("app")) < 80


def test_secrets_are_hidden() -> None:
    """O6: in both forms; that there is one is told."""
    config = Config(channels="redis://:sesame@host", ssl_certfile="c", ssl_keyfile_password="open")
    for text in (as_toml(config), as_json(config)):
        assert "sesame" not in text
        assert "open" not in text
        assert text.count("***") == 2
    Path("shown.toml").write_text(as_toml(config))
    assert make_config({}, {}, "shown.toml").channels is None


def test_as_json() -> None:
    """O6: each has its value as a type of JSON, and its source."""
    found = json.loads(as_json(make_config({"bind": (["a:1"], "--bind")}, {}, None)))
    assert [*found] == [each.name for each in SETTINGS]
    assert found["bind"] == {"value": ["a:1"], "source": "--bind"}
    assert found["uds_mode"] == {"value": "666", "source": "default"}
    assert found["channels"] == {"value": None, "source": "default"}
