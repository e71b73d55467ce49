"""A response on its way from the loop's side to the host, without either."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from bridge.adapters.asgi_on_wsgi.response_queue import GONE, ResponseQueue
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.loops.waiters import ThreadWaiter
from tests.adapters.asgi_on_wsgi.direct import LIMIT


class Sleepless:
    """A waiter that must not be waited with."""

    def wait(self, timeout: float) -> bool:
        raise AssertionError("waited, though there was news")

    def wake(self) -> None:
        raise AssertionError("woken, though nobody waits")


def test_pieces_come_out_in_order() -> None:
    """A20: as they were put in, and counted on both sides."""
    queue = ResponseQueue()
    queue.start("200 OK", [("x-a", "b")])
    for piece in (b"a", b"bc"):
        assert not queue.put(piece)
    queue.end(b"d")
    assert (queue.status, queue.headers, queue.ended) == ("200 OK", [("x-a", "b")], True)
    assert [queue.take() for _ in range(3)] == [b"a", b"bc", b"d"]
    assert (queue.queued, queue.taken) == (4, 4)
    assert not queue.chunks


def test_an_end_without_a_piece() -> None:
    """A20: an empty last piece is none."""
    queue = ResponseQueue()
    queue.end()
    assert queue.ended
    assert not queue.chunks


def test_the_app_pauses_above_64_kib_and_goes_on_below_32() -> None:
    """A20: `put` says so, and the host learns when the app may go on, once."""
    queue = ResponseQueue()
    assert not queue.put(b"x" * LOW_WATER)
    assert not queue.put(b"x" * (HIGH_WATER - LOW_WATER))
    assert not queue.is_full()
    assert queue.put(b"x")
    assert queue.is_full()
    assert queue.must_wait()
    queue.take()
    assert not queue.lets_app_continue(), "one byte too many is left"
    queue.take()
    assert queue.lets_app_continue()
    assert not queue.lets_app_continue(), "the app was told already"


def test_an_app_need_not_wait_for_what_was_just_taken() -> None:
    """A20: it says that it waits, and then looks once more, so that no wake-up is lost."""
    queue = ResponseQueue()
    queue.put(b"x" * 2 * HIGH_WATER)
    queue.take()
    assert not queue.must_wait()
    assert queue.lets_app_continue()


def news(queue: ResponseQueue, what: str) -> None:
    if what == "piece":
        queue.put(b"x")
    elif what == "end":
        queue.end()
    elif what == "failure":
        queue.fail(ValueError())
    else:
        queue.hint([("Link", "<a>")])


@pytest.mark.parametrize("what", ["piece", "end", "failure", "hint"])
def test_whatever_comes_wakes_the_host(what: str) -> None:
    """A34: news that came before the host waits costs no wait; later news end it."""
    queue = ResponseQueue()
    news(queue, what)
    assert queue.wait(Sleepless(), LIMIT)

    notified: list[bool] = []
    waiting = threading.Event()

    class Waiter(ThreadWaiter):
        def wait(self, timeout: float) -> bool:
            waiting.set()
            return super().wait(timeout)

    host = threading.Thread(target=lambda: notified.append(queue.wait(Waiter(), LIMIT)))
    host.start()
    assert waiting.wait(LIMIT)
    news(queue, what)
    host.join(LIMIT)
    assert notified == [True]


def test_a_head_wakes_nobody() -> None:
    """A34: something follows it, or the host looks for it by itself."""
    queue = ResponseQueue()
    queue.start("200 OK", [])
    assert not queue.wait(ThreadWaiter(), 0)


def test_a_wait_that_is_over_is_not_woken() -> None:
    """A34: news wake a host that waits, and no other."""
    queue = ResponseQueue()
    assert not queue.wait(ThreadWaiter(), 0)
    queue.notify_host()
    assert queue.wait(Sleepless(), LIMIT)
    assert not queue.wait(ThreadWaiter(), 0), "news are told once"


def test_hints_wait_in_order() -> None:
    """A24: several early hints before a response."""
    queue = ResponseQueue()
    assert queue.hints is None
    for link in ("<a>", "<b>"):
        queue.hint([("Link", link)])
    assert queue.hints is not None
    assert [*queue.hints] == [[("Link", "<a>")], [("Link", "<b>")]]


def test_a_file_is_the_end(tmp_path: Path) -> None:
    """A24: the rest of a response may be a file, which the host closes."""
    queue = ResponseQueue()
    (tmp_path / "file").write_bytes(b"x")
    with io.FileIO(tmp_path / "file") as file:
        queue.end_with(file)
        assert (queue.ended, queue.file) == (True, file)
        assert not queue.chunks


def test_what_the_host_does() -> None:
    """A26: the app's side sees when it has stopped."""
    queue = ResponseQueue()
    queue.set_host(GONE)
    assert queue.host == GONE
