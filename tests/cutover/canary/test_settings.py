"""What a route says of its canary."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cutover.canary.gates import Gate
from bridge.cutover.canary.settings import CanarySettings
from bridge.cutover.canary.steps import Steps
from bridge.cutover.canary.stickiness import Stickiness
from bridge.errors import ConfigError

GATE = {"window": "60s", "max_error_points": 1}


def test_settings_of_a_file_and_of_python_are_the_same() -> None:
    """M20-M22: a gate may be a table, and times and flags text."""
    settings = CanarySettings(
        sticky="header:X-Tenant", gate=GATE, steps=[1, 100], step_time="1h", rescue="yes"
    )
    assert settings == CanarySettings(
        sticky="header:X-Tenant", gate=Gate(window=60), steps=[1, 100], step_time="1h", rescue=True
    )
    assert (settings.sticky, settings.steps) == (
        Stickiness("header:X-Tenant"),
        Steps([1, 100], "1h"),
    )
    assert settings.first_share == 1.0
    plain = CanarySettings()
    assert (plain.first_share, plain.gate, plain.rescue) == (None, None, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": [1, 5]}, "steps is set, and there is no gate; set one, such as gate = "),
        ({"on_rollback": print}, "on_rollback is set, and there is no gate"),
        ({"sticky": "ip"}, "sticky is 'ip'"),
        ({"rescue": "maybe"}, "rescue is 'maybe'; allowed is true or false"),
        ({"gate": GATE, "steps": [5, 1]}, "steps is [5, 1]"),
        ({"gate": {"windows": 60}}, "windows is no setting of a gate; did you mean window?"),
        ({"gate": {"min_requests": 5}}, "a gate has no window"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any], said: str) -> None:
    """M20-M22: with what was seen, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        CanarySettings(**given)
    assert said in str(caught.value)
