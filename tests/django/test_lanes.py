"""Threads that async views share: who gets which, and when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from bridge.django.lanes import MOST_IDLE, Lane, Lanes, RequestExecutor
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


class Context:
    """Stands for asgiref's; a task that outlives its request keeps it."""


class Loop:
    """Runs what is to run soon at once."""

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        call()


def begun(lanes: Lanes, context: object | None = None, **more: bool) -> RequestExecutor:
    """The executor of a request; without a context that is kept, none outlives it."""
    return RequestExecutor(lanes, context or CONTEXT, Loop(), **more)  # type: ignore[arg-type]


CONTEXT = Context()


def thread_of(request: RequestExecutor) -> int:
    return request.submit(threading.get_ident).result(20)


def test_requests_one_after_the_other(new_threads: Callable[[], int]) -> None:
    """M30: they share one thread, which stays for the next ones."""
    lanes = Lanes()
    threads = set()
    for _ in range(5):
        request = begun(lanes)
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
    requests = [begun(lanes) for _ in range(MOST_IDLE + 4)]
    threads = [thread_of(each) for each in requests]
    assert [thread_of(each) for each in requests] == threads
    assert len(set(threads)) == new_threads() == len(requests)
    for each in requests:
        each.shutdown()
    eventually(lambda: MOST_IDLE <= new_threads() <= MOST_IDLE + 1)
    eventually(lambda: not lanes.used)
    request = begun(lanes)
    assert thread_of(request) == threads[0]  # the first one is preferred
    request.shutdown()
    eventually(lambda: not lanes.used)
    lanes.close()


def test_a_call_that_outlives_its_request(new_threads: Callable[[], int]) -> None:
    """M30: its thread is nobody else's before it has ended."""
    lanes = Lanes()
    first, second = begun(lanes), begun(lanes)
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
    """M30: a stop leaves a request its lane until it ends; a loop that begins keeps lanes again."""
    lanes = Lanes()
    request = begun(lanes)
    before = thread_of(request)
    lanes.close()
    assert thread_of(request) == before
    request.shutdown()
    eventually(lambda: not new_threads())
    lanes.open()
    threads = set()
    for _ in range(3):
        request = begun(lanes)
        threads.add(thread_of(request))
        request.shutdown()
        eventually(lambda: not lanes.used)
    assert len(threads) == new_threads() == 1
    lanes.close()


def test_a_task_that_outlives_its_request(new_threads: Callable[[], int]) -> None:
    """M30: it has one thread for all its calls, which is nobody else's, until it is collected."""
    lanes, context = Lanes(), Context()
    request = begun(lanes, context)
    thread_of(request)
    request.shutdown()
    eventually(lambda: not lanes.used)
    threads = {thread_of(request)}
    other = begun(lanes)
    assert thread_of(other) not in threads
    assert {thread_of(request), thread_of(request)} == threads
    other.shutdown()
    eventually(lambda: lanes.used == 1)
    del request, context
    eventually(lambda: not lanes.used)
    lanes.close()


def test_threads_end_with_the_process() -> None:
    """M30: a call that hangs does not keep a process from ending."""
    lanes = Lanes()
    request = begun(lanes)
    assert request.submit(lambda: threading.current_thread().daemon).result(20)
    request.shutdown()
    lanes.close()


def test_a_thread_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """M30: the error reaches the caller, and nothing counts as begun."""

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    lanes = Lanes()
    request = begun(lanes)
    with monkeypatch.context() as patched:
        patched.setattr("bridge.django.lanes.Lane", fail)
        with pytest.raises(RuntimeError, match="start new thread"):
            thread_of(request)
    assert not lanes.used
    assert thread_of(request)
    request.shutdown()
    eventually(lambda: not lanes.used)
    lanes.close()


def test_calls_that_fail_or_are_cancelled(new_threads: Callable[[], int]) -> None:
    """M30: an error is the caller's; what was cancelled before its turn does not run."""
    lanes = Lanes()
    request = begun(lanes)
    with pytest.raises(ZeroDivisionError):
        request.submit(lambda: 1 / 0).result(20)
    go = threading.Event()
    held, cancelled = request.submit(go.wait, 20), request.submit(pytest.fail, "it runs")
    assert cancelled.cancel()
    request.shutdown()
    go.set()
    assert held.result(20)
    eventually(lambda: not lanes.used)
    lanes.close()


def test_a_first_call_that_is_not_needed(new_threads: Callable[[], int]) -> None:
    """M30: what Django does to each thread's connections needs no thread for itself."""
    lanes = Lanes()
    request = begun(lanes, skips_first=True)
    assert request.submit(pytest.fail, "it runs").result(20) == []
    assert (lanes.used, new_threads()) == (0, 0)
    assert thread_of(request)
    request.shutdown()
    lanes.close()


class Connections:
    """What threads have open, and which of them were told to close that."""

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.in_atomic_block = False

    def all(self, *, initialized_only: bool) -> list[Connections]:
        return [self]

    def close_all(self) -> None:
        self.closed.append(threading.get_ident())


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Stands for Django's connections."""
    made = Connections()
    monkeypatch.setattr("bridge.django.lanes.connections", made)
    return made


def test_connections(connections: Connections, new_threads: Callable[[], int]) -> None:
    """M30: only the first lane keeps its connections from one request to the next."""
    lanes = Lanes()
    requests = [begun(lanes) for _ in range(3)]
    first, *others = [thread_of(each) for each in requests]
    for each in requests:
        each.shutdown()
    eventually(lambda: sorted(connections.closed) == sorted(others))
    lanes.close()
    eventually(lambda: first in connections.closed)
    eventually(lambda: not new_threads())


def test_open_transactions(connections: Connections, new_threads: Callable[[], int]) -> None:
    """M30: a thread whose transaction is still open at the end of its request ends with it."""
    lanes = Lanes()
    request = begun(lanes)
    connections.in_atomic_block = True
    spoiled = thread_of(request)
    request.shutdown()
    eventually(lambda: connections.closed == [spoiled] and not new_threads())
    connections.in_atomic_block = False
    threads = set()
    for _ in range(2):  # the next one keeps its connections
        request = begun(lanes)
        threads.add(thread_of(request))
        request.shutdown()
        eventually(lambda: not lanes.used)
    assert len(threads) == new_threads() == 1
    assert connections.closed == [spoiled]
    lanes.close()


def test_connections_are_closed_first(
    connections: Connections, new_threads: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """M30: a lane closes its connections before the next request can have it, and not in that."""
    lanes = Lanes()
    close, free = Lane.close_connections, []

    def look(lane: Lane) -> None:
        free.append(lane in lanes._idle)
        close(lane)

    monkeypatch.setattr(Lane, "close_connections", look)
    requests = [begun(lanes) for _ in range(3)]
    threads = [thread_of(each) for each in requests]
    for each in requests:
        each.shutdown()
    eventually(lambda: sorted(connections.closed) == sorted(threads[1:]))
    assert free == [False, False]
    lanes.close()


def test_connections_after_another_loop(
    connections: Connections, new_threads: Callable[[], int]
) -> None:
    """M30: if a request outlives a stop, its lane is not one more that keeps its connections."""
    lanes = Lanes()
    old = begun(lanes)
    former = thread_of(old)
    lanes.close()
    lanes.open()
    new = begun(lanes)
    now = thread_of(new)
    old.shutdown()
    eventually(lambda: connections.closed == [former])
    new.shutdown()
    eventually(lambda: not lanes.used)
    request = begun(lanes)
    assert thread_of(request) == now
    request.shutdown()
    eventually(lambda: not lanes.used)
    assert connections.closed == [former]
    lanes.close()
