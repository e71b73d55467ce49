"""What a route says of its canary: who is in it, when it is taken back, how it climbs (M20-M22)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.cutover.canary.gates import Gate, read_gate
from bridge.cutover.canary.hook import check_hook
from bridge.cutover.canary.steps import Steps
from bridge.cutover.canary.stickiness import Stickiness
from bridge.errors import ConfigError

_FLAG: Final = Check(type=VALUE_TYPES["bool"])


@dataclass(frozen=True)
class CanarySettings:
    """The settings of a route in mode ``canary``, checked.

    `sticky`: see `Stickiness`. `gate`: a `Gate`, or a table of its values. `steps` and `step_time`:
    see `Steps`; there must be a gate. `rescue`: whether the old app answers for safe requests that
    the new one fails. `on_rollback`: a function, or its name as ``module:function``, which is
    called with a `Rollback` when the gate has broken.
    Raises `ConfigError`.
    """

    sticky: Any = "cookie"
    gate: Any = None
    steps: Any = None
    step_time: Any = "10m"
    rescue: Any = False
    on_rollback: Any = None

    def __post_init__(self) -> None:
        """Check all of it, and read what is text."""
        put: Any = object.__setattr__
        put(self, "sticky", Stickiness(self.sticky))
        if self.gate is not None and not isinstance(self.gate, Gate):
            put(self, "gate", read_gate(self.gate))
        if self.steps is not None:
            put(self, "steps", Steps(self.steps, self.step_time))
        for name in ("steps", "on_rollback"):
            if getattr(self, name) is not None and self.gate is None:
                raise ConfigError(
                    f"{name} is set, and there is no gate; set one, such as gate = "
                    '{ window = "60s", max_error_points = 1 }'
                )
        put(self, "rescue", _FLAG.read(self.rescue, "rescue"))
        put(self, "on_rollback", check_hook(self.on_rollback))

    @property
    def first_share(self) -> float | None:
        """The share to begin with, if there are steps."""
        return None if self.steps is None else float(self.steps.shares[0])
