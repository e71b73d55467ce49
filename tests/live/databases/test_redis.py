"""Many requests at once ask a real Redis, over a pool of connections."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.banks import ask_all, peak
from tests.support.hosts import Command, Host
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = needs_redis


def on_bridge(runner: str, store: Host) -> Command:
    """The app on our server, with one of the runners."""
    command = hosts.bridge(*hosts.RUNNERS[runner], "tests.support.apps.banks.with_redis:wsgi")
    return command.with_env(BANK_URL=redis_url(store))


def are_right(answers: list[dict[str, Any]]) -> None:
    """Each request has got what belongs to it, and all were counted."""
    assert [answer["seen"] for answer in answers] == [
        [number, str(number), None] for number in range(len(answers))
    ]
    assert sorted(answer["count"] for answer in answers) == [*range(1, len(answers) + 1)]
    assert all(answer["transaction"] is True for answer in answers)


@pytest.mark.parametrize("runner", hosts.RUNNERS)
def test_answers_of_redis_are_apart(runner: str, start_host: StartHost) -> None:
    """G7: requests that wait in the middle of a transaction get their own answers."""
    store = start_host(redis())
    host = start_host(on_bridge(runner, store))
    are_right(ask_all(host, 40, sleep=0.01, pause=0.01))


def test_requests_wait_for_redis_at_the_same_time(start_host: StartHost) -> None:
    """G8: 200 requests that each wait 0.5 s in Redis do so at once, over 50 connections."""
    store = start_host(redis())
    host = start_host(on_bridge("patched", store))
    begin = time.monotonic()
    are_right(ask_all(host, 200, sleep=0.5))
    assert time.monotonic() - begin < 60  # one after the other it is more than 100
    assert 20 < peak(host) <= 50
