"""The settings that bound what a client may take: all there, and safe without a word (S2)."""

from __future__ import annotations

import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.config.limit_settings import LimitSettings
from bridge.server.config.setting import Setting, settings_of

ROWS = tuple(settings_of(LimitSettings))


def test_every_limit_and_time_has_its_setting() -> None:
    """S2: each limit has an option, and a default that is safe on the internet."""
    config = Config()
    assert (config.limit_request_line, config.limit_header_size) == (8192, 65536)
    assert (config.limit_header_count, config.limit_body_size) == (100, 0)
    assert (config.timeout_header, config.timeout_keep_alive) == (10.0, 75.0)
    assert (config.timeout_write, config.timeout_graceful_shutdown) == (60.0, 30.0)
    assert config.ws_max_message_size == 16 * 1024 * 1024


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_none_can_be_negative(row: Setting) -> None:
    """S2, S61: no number below zero is a limit, and what 0 means is said if it is special."""
    if row.default is True:
        return
    assert row.minimum is not None
    with pytest.raises(ConfigError, match=f"{row.name} is -1; allowed is"):
        Config(**{row.name: -1})
    assert row.zero_means == "" or row.help.endswith(f" 0: {row.zero_means}.")
