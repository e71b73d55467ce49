"""A new app that fails to start or to stop, or hangs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from bridge import Cutover, Route
from bridge.asgi.lifespan import Lifespan
from bridge.errors import LifespanFailed
from bridge.types import ASGIApp, Receive, Scope, Send


def living(name: str, told: list[str], hangs_at: str = "") -> ASGIApp:
    """An app with a lifespan, which may hang in one of its phases."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            if phase == hangs_at:
                await asyncio.Event().wait()
            told.append(f"{name} {phase}")
            await send({"type": f"lifespan.{phase}.complete"})

    return app


def cutover(new: ASGIApp, told: list[str], **more: Any) -> Cutover:
    """One whose route is with the new app, in short times."""
    made = Cutover(living("old", told), new, [Route("a", "/a", mode="new")], **more)
    made.timeouts = (0.4, 0.4)
    return made


async def live(app: Cutover, meanwhile: Callable[[], object]) -> None:
    """Start and stop."""
    lifespan = Lifespan(app)
    await lifespan.startup()
    meanwhile()
    await lifespan.shutdown()


def test_a_new_app_that_hangs_at_its_start_gets_no_requests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M1: after a part of the time that the host gives, so that it does not end the start."""
    told: list[str] = []
    app = cutover(living("new", told, "startup"), told)
    asyncio.run(live(app, lambda: told.append(app.choose(app.table.routes[0], {}).side)))
    assert told == ["old startup", "old", "old shutdown"]
    assert "did not answer lifespan.startup within 0." in app.new_failed
    assert "so the old app answers everything: the app did not answer" in caplog.text


def test_one_that_hangs_at_its_end_lets_the_old_one_stop() -> None:
    """M1: half of the time is left for that; the host hears of it."""
    told: list[str] = []
    app = cutover(living("new", told, "shutdown"), told)
    with pytest.raises(LifespanFailed, match=r"the new app: .* did not answer lifespan.shutdown"):
        asyncio.run(live(app, lambda: None))
    assert told == ["old startup", "new startup", "old shutdown"]


def test_with_require_new_the_host_says_how_long_it_may_take() -> None:
    """M1: then a start without it is none."""
    told: list[str] = []
    app = cutover(living("new", told, "startup"), told, require_new=True)

    async def start() -> None:
        lifespan = Lifespan(app, startup_timeout=0.8)
        with pytest.raises(LifespanFailed, match=r"within 0.8 s"):
            await lifespan.startup()

    asyncio.run(start())
    assert not app.new_failed


def test_one_that_raises_goes_on_as_on_other_servers(caplog: pytest.LogCaptureFixture) -> None:
    """M1: as with uvicorn, an app that raises knows no lifespan; the log says which app it is."""
    told: list[str] = []

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("no database")

    app = cutover(raises, told)
    with caplog.at_level(logging.WARNING, "bridge"):
        asyncio.run(live(app, lambda: told.append(app.choose(app.table.routes[0], {}).side)))
    assert told == ["old startup", "new", "old shutdown"]
    assert "the new app raised at lifespan.startup and runs on without lifespan" in caplog.text
    assert "it has to send lifespan.startup.failed" in caplog.text
