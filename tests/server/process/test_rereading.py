"""The settings of new workers at a reload."""

from __future__ import annotations

import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.process.rereading import next_config

TODAY = Config(app="app:app", port=8000, threads=4)


def test_what_is_written_now_counts() -> None:
    """P3: a setting that workers use is another one from now on."""
    new = next_config(TODAY, lambda: Config(app="app:app", port=8000, threads=8))
    assert (new.threads, new.port) == (8, 8000)


def test_what_belongs_to_the_supervisor_stays(caplog: pytest.LogCaptureFixture) -> None:
    """P3: sockets are open already; a line says what would need a restart."""
    with caplog.at_level("WARNING", logger="bridge.error"):
        new = next_config(TODAY, lambda: Config(app="app:app", port=9000, backlog=1, threads=8))
    assert (new.threads, new.port, new.backlog) == (8, 8000, TODAY.backlog)
    assert "port, backlog changed, and cannot change at a reload" in caplog.text


def test_settings_from_python_stay() -> None:
    """P3: the app that they name is imported again all the same."""
    assert next_config(TODAY, None) is TODAY
    mounts = Config(mount=["/=a:b"])
    assert next_config(mounts, None) is mounts


def test_an_app_that_is_an_object_cannot_be_loaded_again() -> None:
    """P3: that is said, with what to do instead."""
    with pytest.raises(ConfigError, match=r"cannot be loaded again; name it: serve\(\"module"):
        next_config(Config(app=lambda environ, start_response: []), None)


def test_what_is_wrong_in_the_file_is_said() -> None:
    """P3: then there is no reload."""

    def reread() -> Config:
        raise ConfigError("port is 'x'")

    with pytest.raises(ConfigError, match="port is 'x'"):
        next_config(TODAY, reread)

    def vanish() -> Config:
        raise FileNotFoundError("the working directory")

    with pytest.raises(ConfigError, match="cannot be read: the working directory"):
        next_config(TODAY, vanish)

    def be_nonsense() -> Config:
        raise RecursionError("[[[[ without an end")

    with pytest.raises(ConfigError, match=r"cannot be read: .* without an end"):
        next_config(TODAY, be_nonsense)
