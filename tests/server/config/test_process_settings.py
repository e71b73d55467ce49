"""The settings of processes: when a supervisor is needed."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.server.config.config import Config


@pytest.mark.parametrize(
    "settings",
    [{"workers": 2}, {"max_requests": 1000}, {"max_rss": "500M"}, {"max_lifetime": 3600}],
)
def test_what_needs_a_supervisor(settings: dict[str, Any]) -> None:
    """P1, P4: several processes, or one that is replaced."""
    assert Config(**settings).supervised


@pytest.mark.parametrize(
    "settings", [{}, {"workers": 1}, {"timeout_worker": 5}, {"max_requests_jitter": 5}]
)
def test_one_process_needs_none(settings: dict[str, Any]) -> None:
    """P12: it costs nothing more than before."""
    assert not Config(**settings).supervised
