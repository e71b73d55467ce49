"""Threads that async views share: who gets which, and when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from bridge.django.lanes import MOST_IDLE, Lanes, RequestExecutor
from tests.support.django_here import set_up
from tests.support.waiting import eventually

set_up()


def lane_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("bridge-django")}


@pytest.fixture
def new_threads() -> Iterator[Callable[[], int]]:
    """``new_threads()``: how many lanes have begun in this test; at its end all have ended."""
    before = lane_threads()
    yield lambda: len(lane_threads() - before)
    eventually(lambda: not lane_threads() - before)


def thread_of(request: RequestExecutor) -> int:
    return request.submit(threading.get_ident).result(20)


def test_requests_one_after_the_other(new_threads: Callable[[], int]) -> None:
    """M30: they share one thread, which stays for the next ones."""
    lanes = Lanes()
    threads = set()
    for _ in range(5):
        request = RequestExecutor(lanes)
        assert not lanes.used  # none is taken before it is needed
        threads |= {thread_of(request), thread_of(request)}
        assert lanes.used == 1
        request.shutdown()
        request.shutdown()  # harmless
        eventually(lambda: not lanes.used)
    assert len(threads) == new_threads() == 1
    lanes.close()


def test_requests_at_once(new_threads: Callable[[], int]) -> None:
    """M30: each has a thread for itself; when they have ended, few stay for the next ones."""
    lanes = Lanes()
    requests = [RequestExecutor(lanes) for _ in range(MOST_IDLE + 4)]
    threads = [thread_of(each) for each in requests]
    assert [thread_of(each) for each in requests] == threads
    assert len(set(threads)) == new_threads() == len(requests)
    for each in requests:
        each.shutdown()
    eventually(lambda: MOST_IDLE <= new_threads() <= MOST_IDLE + 1)
    eventually(lambda: not lanes.used)
    assert thread_of(requests[0]) == threads[0]  # the first one is preferred
    eventually(lambda: not lanes.used)
    lanes.close()


def test_a_call_that_outlives_its_request(new_threads: Callable[[], int]) -> None:
    """M30: its thread is nobody else's before it has ended."""
    lanes = Lanes()
    first, second = RequestExecutor(lanes), RequestExecutor(lanes)
    go = threading.Event()
    held = first.submit(go.wait, 20)
    first.shutdown()
    assert thread_of(second) == thread_of(second)
    assert (lanes.used, new_threads()) == (2, 2)
    go.set()
    assert held.result(20)
    eventually(lambda: lanes.used == 1)
    second.shutdown()
    lanes.close()


def test_a_stop(new_threads: Callable[[], int]) -> None:
    """M30: a stop leaves a request its lane until it ends, and what comes later gets one, too."""
    lanes = Lanes()
    request = RequestExecutor(lanes)
    before = thread_of(request)
    lanes.close()
    assert thread_of(request) == before
    request.shutdown()
    eventually(lambda: not new_threads())
    assert thread_of(request)
    eventually(lambda: not lanes.used)


class Connections:
    """What a thread has open, and which threads were told to close that."""

    def __init__(self) -> None:
        self.closed: list[int] = []

    def close_all(self) -> None:
        self.closed.append(threading.get_ident())


def test_connections(monkeypatch: pytest.MonkeyPatch, new_threads: Callable[[], int]) -> None:
    """M30: only the first lane keeps its connections from one request to the next."""
    connections = Connections()
    monkeypatch.setattr("bridge.django.lanes.connections", connections)
    lanes = Lanes()
    requests = [RequestExecutor(lanes) for _ in range(3)]
    first, *others = [thread_of(each) for each in requests]
    for each in requests:
        each.shutdown()
    eventually(lambda: sorted(connections.closed) == sorted(others))
    lanes.close()
    eventually(lambda: first in connections.closed)
    eventually(lambda: not new_threads())
