"""When a silent client is pinged, and when it is given up."""

from __future__ import annotations

import pytest

from bridge.websocket.keep_alive import GIVE_UP, NOTHING, PING, KeepAlive


def test_a_silent_client_is_pinged_and_then_given_up() -> None:
    """S20: a ping after each interval; if nothing comes for the timeout after it, the end."""
    keep_alive = KeepAlive(20, 10, now=100)
    checks = [(119, NOTHING), (120, PING), (129, NOTHING), (130, GIVE_UP)]
    assert [
        (now, keep_alive.check(now, received=False, excused=False)) for now, _ in checks
    ] == checks


def test_whatever_comes_is_a_sign_of_life() -> None:
    """S20: a client that sends anything at all is pinged again, and kept."""
    keep_alive = KeepAlive(20, 10, now=0)
    for now in (20, 40, 60):
        assert keep_alive.check(now, received=False, excused=False) == PING
        assert keep_alive.check(now + 15, received=True, excused=False) == NOTHING


def test_a_client_that_we_do_not_read_is_excused() -> None:
    """S20: while reading pauses, no answer can be expected; nor for a ping sent meanwhile."""
    keep_alive = KeepAlive(20, 10, now=0)
    assert keep_alive.check(20, received=False, excused=False) == PING
    assert keep_alive.check(35, received=False, excused=True) == NOTHING
    assert keep_alive.check(40, received=False, excused=True) == PING
    assert keep_alive.check(55, received=False, excused=False) == NOTHING
    assert keep_alive.check(60, received=False, excused=False) == PING
    assert keep_alive.check(70, received=False, excused=False) == GIVE_UP


@pytest.mark.parametrize(
    ("interval", "timeout", "expected"), [(0, 10, [NOTHING] * 3), (20, 0, [PING, NOTHING, NOTHING])]
)
def test_zero_is_never(interval: float, timeout: float, expected: list[int]) -> None:
    """S20: no interval: no pings; no timeout: a silent client is kept."""
    keep_alive = KeepAlive(interval, timeout, now=0)
    assert [
        keep_alive.check(now, received=False, excused=False) for now in (20, 40, 1000)
    ] == expected
