"""Calls from which the running loop is hidden."""

from __future__ import annotations

import asyncio

import pytest

from bridge.loops.hidden import call_without_loop, hidden_loop, remember_loop


def test_the_loop_is_hidden_in_a_call() -> None:
    """G5: the call may run a loop of its own; after it the first one goes on, and its task."""

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert call_without_loop(asyncio.run, asyncio.sleep(0, "other loop")) == "other loop"
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task

    asyncio.run(main())


def test_the_loop_is_back_after_an_error() -> None:
    """G5: what the call raises leaves the loop as it was."""

    def broken() -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        raise LookupError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(LookupError):
            call_without_loop(broken)
        assert asyncio.get_running_loop() is loop

    asyncio.run(main())


def test_without_a_loop() -> None:
    """A call outside of every loop is a plain call."""
    assert call_without_loop(divmod, 7, 2) == (3, 1)


def test_a_hidden_loop_can_be_found() -> None:
    """G5, L6: while it runs, code from which it is hidden finds it, in its own thread."""
    loop = asyncio.new_event_loop()

    async def main() -> None:
        assert call_without_loop(hidden_loop) is loop
        assert await asyncio.to_thread(hidden_loop) is None

    remember_loop(loop)
    assert hidden_loop() is None
    loop.run_until_complete(main())
    loop.close()
    assert hidden_loop() is None
