"""How readers wait, and who is woken."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import deque

import pytest

from bridge.channels.waiting import Line, Reader, wait_in_thread, wait_on_loop
from tests.support.waiting import eventually


class Box:
    """Things that are taken one by one, by readers of all kinds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.things: deque[object] = deque()
        self.line = Line()
        self.looks = 0

    def look(self, reader: Reader) -> object | None:
        with self.lock:
            self.looks += 1
            if self.things:
                return self.things.popleft()
            self.line.stand(reader)
            return None

    def leave(self, reader: Reader) -> None:
        with self.lock:
            self.line.leave(reader)
            following = self.line.first() if self.things else None
        if following is not None:
            following.wake()

    def put(self, thing: object) -> bool:
        with self.lock:
            self.things.append(thing)
            reader = self.line.first()
        return reader is not None and reader.wake()

    def waiting(self) -> int:
        with self.lock:
            return len(self.line._readers)


class _Named:
    def wake(self) -> bool:
        return True


def test_a_line_is_first_come_first_served() -> None:
    """L6: who has waited longest is woken first; who stands twice has one place."""
    line, first, second, third = Line(), _Named(), _Named(), _Named()
    assert not line
    assert line.first() is None
    for reader in (first, second, first, third):
        line.stand(reader)
    line.leave(second)
    line.leave(second)
    assert line
    assert line.first() is first
    line.stand(first)
    assert line.all() == [third, first]
    assert not line


class TestThreads:
    def test_nothing_comes(self) -> None:
        """L6: after the time there is nothing, and nobody stands in line."""
        box = Box()
        assert wait_in_thread(box.look, box.leave, 0.01) is None
        assert wait_in_thread(box.look, box.leave, 0) is None
        assert not box.line

    def test_each_thing_wakes_one(self) -> None:
        """L6: threads that wait get one thing each, and nobody is woken for nothing."""
        box, got = Box(), []
        threads = [
            threading.Thread(target=lambda: got.append(wait_in_thread(box.look, box.leave, 60)))
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: box.waiting() == 5)
        looks = box.looks
        box.put("first")
        eventually(lambda: got == ["first"])
        assert box.looks == looks + 1
        for number in range(4):
            box.put(number)
        for thread in threads:
            thread.join(60)
        assert sorted(got[1:]) == [0, 1, 2, 3]

    def test_who_leaves_passes_the_news_on(self) -> None:
        """L6: the woken one was cancelled, or too late: the next in line looks."""
        box, got = Box(), []
        late = threading.Thread(target=lambda: got.append(wait_in_thread(box.look, box.leave, 60)))

        async def give_up() -> None:
            task = asyncio.create_task(wait_on_loop(box.look, box.leave, 60))
            await asyncio.sleep(0)
            late.start()
            while box.waiting() < 2:
                await asyncio.sleep(0.001)
            box.put("thing")  # wakes the task, which is cancelled before it looks
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(give_up())
        late.join(60)
        assert got == ["thing"]


class TestLoops:
    def test_nothing_comes(self) -> None:
        """L6: after the time there is nothing, and nobody stands in line."""
        box = Box()
        assert asyncio.run(wait_on_loop(box.look, box.leave, 0.01)) is None
        assert not box.line

    def test_woken_on_its_own_loop_and_from_a_thread(self) -> None:
        """L6: a task is woken by code on its loop and by any thread."""
        box = Box()

        async def main() -> list[object]:
            loop = asyncio.get_running_loop()
            tasks = [asyncio.create_task(wait_on_loop(box.look, box.leave, 60)) for _ in range(3)]
            await asyncio.sleep(0)
            assert box.put("own")
            assert box.put("own too")
            await loop.run_in_executor(None, box.put, "thread")
            return await asyncio.gather(*tasks)

        assert asyncio.run(main()) == ["own", "own too", "thread"]

    def test_several_loops(self) -> None:
        """L6: tasks of several loops wait in one line."""
        box, got = Box(), []

        def run() -> None:
            got.append(asyncio.run(wait_on_loop(box.look, box.leave, 60)))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: box.waiting() == 3)
        for number in range(3):
            box.put(number)
        for thread in threads:
            thread.join(60)
        assert sorted(got) == [0, 1, 2]

    def test_woken_twice(self) -> None:
        """L6: a task that is woken again before it looks finds what there is, once."""
        box = Box()

        async def main() -> None:
            task = asyncio.create_task(wait_on_loop(box.look, box.leave, 60))
            await asyncio.sleep(0)
            [reader] = box.line._readers
            reader.wake()
            reader.wake()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert box.looks == 2
            box.put("thing")
            assert await task == "thing"

        asyncio.run(main())

    def test_a_closed_loop_is_told(self) -> None:
        """L6: whoever wakes a task of a closed loop learns that it must wake another."""
        box = Box()
        loop = asyncio.new_event_loop()
        task = loop.create_task(wait_on_loop(box.look, box.leave, 60))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        [reader] = box.line._readers
        assert not reader.wake()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task


GEVENT = """
import gevent
from gevent import monkey; monkey.patch_all()
from bridge.channels.waiting import wait_in_thread
from bridge.loops.waiters import NativeThread
from tests.channels.test_waiting import Box

box, ran = Box(), []
gevent.spawn(ran.append, "other")
thread = NativeThread(lambda: box.put("from a thread"), "putter")
gevent.spawn(thread.start)
assert wait_in_thread(box.look, box.leave, 30) == "from a thread"
assert ran == ["other"]
greenlets = [gevent.spawn(wait_in_thread, box.look, box.leave, 30) for _ in range(3)]
gevent.sleep(0)
greenlets[0].kill()
for number in range(2):
    box.put(number)
gevent.joinall(greenlets)
assert [each.value for each in greenlets[1:]] == [0, 1]
assert not box.line

# the hub of a greenlet that waits is destroyed
def wait_and_go():
    hub = gevent.get_hub()
    greenlet = gevent.spawn(wait_in_thread, box.look, box.leave, 30)
    gevent.sleep(0)
    kept.append(greenlet)
    hub.destroy(destroy_loop=True)
kept = []
thread = NativeThread(wait_and_go, "short")
thread.start()
assert thread.join(30)
[reader] = box.line._readers
assert not reader.wake()
print("good")
"""


def test_greenlets() -> None:
    """L6: a greenlet that waits lets others run, is woken from any thread, and may be killed."""
    done = subprocess.run([sys.executable, "-c", GEVENT], capture_output=True, timeout=60)
    assert done.stdout == b"good\n", done.stderr.decode()
