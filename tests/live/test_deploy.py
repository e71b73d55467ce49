"""A deploy: all workers are replaced, while everything at once goes on at their gateway (L11)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import httpx
import pytest
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect

from bridge.channels import RedisLayer
from tests.support.apart import end_worker, gateway, start_worker
from tests.support.apps.apart import publish
from tests.support.hosts import Host, start
from tests.support.load import Load
from tests.support.redis import needs_redis, redis, redis_url
from tests.support.waiting import eventually

pytestmark = [needs_redis, pytest.mark.slow]

APPS = "tests.support.apps.apart:app"
#: Of every kind: WSGI, ASGI 3, 2 and 1.
PATHS = ["/flask/hello", "/star/hello", "/two/hello", "/greeting/hello"]
#: Clients that ask again and again; streams, and as many WebSockets.
ASKING, LISTENING = 200, 50
#: WebSockets whose consumers publish, and how many messages each sends at once.
SPEAKING, BURST = 5, 3
#: Workers at a time, and how often all of them are replaced.
WORKERS, ROUNDS = 2, 2
#: The longest that anything may take.
PATIENCE = 90


class Crowd:
    """Streams and WebSockets at a gateway, and all that is published to them.

    What a sender publishes is numbered, and each number is published when the one before has been,
    by whichever worker is there: so it is clear what each client has to hear, and in which order.
    """

    def __init__(self, front: Host, url: str) -> None:
        self.front = front
        self.layer = RedisLayer(url)
        #: Sender -> how many it has published.
        self.published: Counter[str] = Counter()
        #: What each client has heard: sender -> its numbers.
        self.heard: list[dict[str, list[int]]] = []
        #: Streams and WebSockets that were closed; echoes that were not the next.
        self.closed: list[str] = []
        self.wrong: list[str] = []
        #: The workers that have echoed -> how often.
        self.echoes: Counter[str] = Counter()
        self._end = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait; not for a crowd that has lost somebody."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                assert self.closed == self.wrong == []
                await asyncio.sleep(0.05)  # the pace of asking

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Crowd]:
        """Have all of them listen and speak as long as the block lasts, and hear all of it."""
        sockets = [await self._open() for _ in range(LISTENING)]
        echoes: list[asyncio.Queue[str]] = [asyncio.Queue() for _ in sockets]
        both = list(zip(sockets, echoes, strict=True))
        listening = [asyncio.create_task(self._listen()) for _ in range(LISTENING)]
        listening += [asyncio.create_task(self._hear(*each)) for each in both]
        try:
            await self._in_groups(f"{LISTENING} {LISTENING}")
            async with asyncio.TaskGroup() as speaking:
                for number, each in enumerate(both):
                    speaking.create_task(self._speak(number, *each))
                speaking.create_task(self._publish_by_view())
                speaking.create_task(self._publish_from_here())
                yield self
                self._end.set()
            await self.until(lambda: all(map(self._has_last, self.heard)))
        finally:
            for task in listening:
                task.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
            await asyncio.gather(*(socket.close() for socket in sockets))
            await asyncio.to_thread(self.layer.close)
        await self._in_groups("0 0")

    def _has_last(self, heard: dict[str, list[int]]) -> bool:
        published = self.published.items()
        return all(sender in heard and heard[sender][-1] >= n - 1 for sender, n in published)

    async def _in_groups(self, wanted: str) -> None:
        """Wait until so many streams and WebSockets are in their groups."""
        async with httpx.AsyncClient(timeout=PATIENCE) as client, asyncio.timeout(PATIENCE):
            while (await client.get(self.front.url("/flask/members"))).text != wanted:
                await asyncio.sleep(0.05)  # the pace of asking

    # --------------------------------------------------------- listening

    def _note(self, heard: dict[str, list[int]], text: str) -> None:
        sender, number = text.split()
        heard.setdefault(sender, []).append(int(number))

    async def _listen(self) -> None:
        heard: dict[str, list[int]] = {}
        self.heard.append(heard)
        reader, writer = await asyncio.open_connection(self.front.address, self.front.port)
        try:
            writer.write(b"GET /news/events HTTP/1.1\r\nHost: x\r\n\r\n")
            async for line in reader:
                if line.startswith(b"data: "):
                    self._note(heard, line[6:].decode())
                elif line == b"0\r\n":
                    break
            self.closed.append(f"a stream, after {heard}")
        finally:
            writer.close()

    async def _open(self) -> ClientConnection:
        url = self.front.url("/news/talk", "ws")
        return await connect(url, proxy=None, open_timeout=PATIENCE, ping_interval=None)

    async def _hear(self, socket: ClientConnection, echoes: asyncio.Queue[str]) -> None:
        heard: dict[str, list[int]] = {}
        self.heard.append(heard)
        while True:
            try:
                kind, _, text = str(await socket.recv()).partition(" ")
            except Exception as error:
                self.closed.append(f"a WebSocket: {error!r}, after {heard}")
                return
            if kind == "news":
                self._note(heard, text)
            else:
                echoes.put_nowait(text)

    # --------------------------------------------------------- speaking

    async def _speak(
        self, number: int, socket: ClientConnection, echoes: asyncio.Queue[str]
    ) -> None:
        """Say something again and again; each message is echoed, in its turn."""
        me, numbers = f"socket-{number}", count()
        verb = "publish" if number < SPEAKING else "say"
        while not self._end.is_set():
            texts = [f"{verb} {me} {next(numbers)}" for _ in range(BURST)]
            for text in texts:
                await socket.send(text)
            for text in texts:
                async with asyncio.timeout(PATIENCE):
                    echo, worker = (await echoes.get()).rsplit(maxsplit=1)
                if echo != text:
                    self.wrong.append(f"{me} said {text!r}, and heard {echo!r}")
                self.echoes[worker] += 1
            if verb == "publish":
                self.published[me] += BURST
            await asyncio.sleep(random.uniform(0, 1))

    async def _publish_by_view(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while not self._end.is_set():
                number = self.published["view"]
                answer = await client.get(self.front.url(f"/flask/publish/{number}"))
                assert answer.status_code == 200
                self.published["view"] += 1
                await asyncio.sleep(0.1)

    async def _publish_from_here(self) -> None:
        """Publish from a process that is neither a gateway nor a worker."""
        while not self._end.is_set():
            number = self.published["process"]
            await asyncio.to_thread(publish, self.layer, "process", number)
            self.published["process"] += 1
            await asyncio.sleep(0.1)


def test_everything_at_once(tmp_path: Path) -> None:
    """L11 L9 L10: no request fails, nothing is closed, no message is lost, doubled or late."""
    with ExitStack() as running:
        url = redis_url(running.enter_context(start(redis())))
        front = running.enter_context(start(gateway(url)))
        numbers = count()

        def launch() -> Host:
            host = start_worker(tmp_path / f"{next(numbers)}.log", url, APPS)
            running.callback(end_worker, host)
            return host

        load = Load(front, PATHS, lambda: random.uniform(0, 0.5))
        crowd, codes = asyncio.run(_deploy(front, url, load, launch))
        closed = load.told_to_close + load.closed_idle
        print(
            f"\n{WORKERS} workers replaced {ROUNDS} times: {load.answered} requests of {ASKING} "
            f"clients, {len(load.failed)} failed, {closed} of their connections closed; "
            f"{crowd.published.total()} messages published by {len(crowd.published)} senders to "
            f"{len(crowd.heard)} streams and WebSockets, {len(crowd.closed)} of them closed; "
            f"{crowd.echoes.total()} messages of WebSockets echoed by {len(crowd.echoes)} workers"
        )
        assert load.failed == crowd.closed == crowd.wrong == []
        assert closed == 0
        wanted = {sender: list(range(number)) for sender, number in crowd.published.items()}
        assert len(wanted) == SPEAKING + 2
        assert [heard for heard in crowd.heard if heard != wanted] == []
        assert codes == [0] * WORKERS * ROUNDS
        eventually(lambda: _left_in(url) == (0, 0, WORKERS, WORKERS + 1))


async def _deploy(
    front: Host, url: str, load: Load, launch: Callable[[], Host]
) -> tuple[Crowd, list[int]]:
    """Replace all workers, a new one before the old one stops; return the codes of these."""
    crowd, codes = Crowd(front, url), []
    workers = deque([await asyncio.to_thread(launch) for _ in range(WORKERS)])
    async with crowd.running(), load.running(ASKING):
        for _ in range(WORKERS * ROUNDS):
            workers.append(await asyncio.to_thread(launch))
            await crowd.until(partial(_serves, workers[-1], crowd, load))
            codes.append(await asyncio.to_thread(workers.popleft().stop, PATIENCE))
            await load.more(ASKING)
    return crowd, codes


def _serves(worker: Host, crowd: Crowd, load: Load) -> bool:
    """Whether a worker has answered requests, and called consumers for WebSockets."""
    pid = str(worker.process.pid)
    return pid in crowd.echoes and any(body.endswith(pid) for body in load.bodies)


def _left_in(url: str) -> tuple[int, int, int, int]:
    """Return what Redis has: requests, those that were read, workers that read, processes."""
    with Redis.from_url(url) as store:
        [group] = store.xinfo_groups("bridge:requests")
        return (
            store.xlen("bridge:requests"),
            group["pending"],
            group["consumers"],
            store.hlen("bridge:peers"),
        )
