"""An app's lifespan is watched; `test_awkward.py` has the apps whose startup fails (M51)."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.check.asgi.lifespan import WatchedLifespan
from bridge.check.findings import Findings
from tests.support.apps.awkward.asgi import good


def run(app: Any, seconds: float = 5) -> tuple[list[str], dict[str, Any]]:
    """What is found, and the state."""
    findings = Findings()

    async def both() -> dict[str, Any]:
        lifespan = WatchedLifespan(app, findings, seconds)
        await lifespan.startup()
        await lifespan.shutdown()
        return lifespan.state

    state = asyncio.run(both())
    return [f"{each.id}: {each.text}" for each in findings], state


def test_a_good_one() -> None:
    """M51: nothing is told, and what it puts into its state is known."""
    assert run(good) == ([], {"ready": True})


def test_one_that_returns() -> None:
    """M51: knows no lifespan."""

    async def returns(scope: Any, receive: Any, send: Any) -> None: ...

    assert run(returns)[0] == ["no-lifespan: it knows no lifespan (it returns)"]


async def _begin(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()


def test_a_shutdown_that_fails_or_hangs() -> None:
    """M51: each is told with its phase."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await _begin(receive, send)
        raise OSError("the pool is gone")

    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        await _begin(receive, send)
        await asyncio.Event().wait()

    (said,) = run(fails)[0]
    assert said == "lifespan-fails: its shutdown fails: OSError: the pool is gone"
    (said,) = run(hangs, 0.1)[0]
    assert said == "lifespan-hangs: it does not answer lifespan.shutdown within 0.1 s"
