"""The lifespan of the new app, which may fail, or hang, and takes nothing else along (M1).

The old app starts first, and stops last. So the new one gets a part of the time that the host gives
to both: less than is left at the start, and half of it at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from bridge.asgi.lifespan import Lifespan
from bridge.dispatcher import MountedApp
from bridge.errors import LifespanFailed

#: Seconds for startup and shutdown, where no host says how long it waits.
USUAL_TIMEOUTS: Final = (50.0, 20.0)
#: Seconds that must be left when the time of the new app is over: to cancel it, and to go on.
_RESERVE: Final = 3.0
_SHORTEST: Final = 0.1


class NewLifespan(Lifespan):
    """The lifespan of the new app; `go_on` is told if it fails to start.

    If that is None, it is an error, and the host says how long it may take. `timeouts`: what the
    host gives both apps together, from now on; 0: any time.
    """

    def __init__(
        self,
        app: MountedApp,
        go_on: Callable[[LifespanFailed], object] | None,
        timeouts: tuple[float, float],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        startup = timeouts[0] or USUAL_TIMEOUTS[0]
        shutdown = timeouts[1] or USUAL_TIMEOUTS[1]
        super().__init__(
            app.asgi,
            startup_timeout=None,
            shutdown_timeout=shutdown / 2,
            state=app.state,
            name=app.name,
        )
        self._go_on = go_on
        self._clock = clock
        self._ends = clock() + startup - min(_RESERVE, startup / 2)

    async def startup(self) -> None:
        """Have it start, in the time that is left."""
        if self._go_on is None:
            await super().startup()
            return
        self._timeouts["startup"] = max(round(self._ends - self._clock(), 1), _SHORTEST)
        try:
            await super().startup()
        except LifespanFailed as error:
            self._go_on(error)
