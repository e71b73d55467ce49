"""Processes that share channels and groups over one Redis."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.channels import RedisLayer
from tests.support.hosts import Host, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.waiting import eventually

pytestmark = needs_redis

ROOT = Path(__file__).parents[3]

#: Reads the channel "work" in three tasks that are cancelled again and again, until it is told to
#: stop by "end"; prints what it has got, in its order, for each of the senders.
READER = """
import asyncio, json, random, sys
from bridge.channels.redis.store import Store
from bridge.errors import LayerUnavailable
got, ended = [], asyncio.Event()

async def read(store):
    channel, message = await store.receive_waiting(["work", "more"])
    if message is not None:
        got.append([message["by"], message["n"]])

async def cancelled_reader(store, chance):
    while not ended.is_set():
        task = asyncio.create_task(read(store))
        await asyncio.wait([task], timeout=chance.random() / 100)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

async def main():
    store = Store(sys.argv[1], prefix="processes", expiry=60)
    await store.open()
    client = store.new_reply_channel()
    news = []
    def deliver(message):
        news.append(message.get("n"))
        if message.get("end"): ended.set()
    store.attach(client, deliver)
    await store.group_add("news", client)
    print(client, flush=True)
    chance = random.Random(client)
    await asyncio.gather(*(cancelled_reader(store, chance) for _ in range(3)))
    await store.close()
    print(json.dumps([got, news]), flush=True)

asyncio.run(main())
"""

#: Sends many messages, from two tasks, and tries again those that a full channel did not take.
SENDER = """
import asyncio, sys
from bridge.channels.redis.store import Store
from bridge.errors import ChannelFull

async def send(store, by, channel):
    for n in range(300):
        while True:
            try:
                await store.send(channel, {"by": by, "n": n})
                break
            except ChannelFull:
                await asyncio.sleep(0.01)

async def main():
    store = Store(sys.argv[1], prefix="processes", expiry=60)
    await store.open()
    await asyncio.gather(*(send(store, sys.argv[2] + c, c) for c in ("work", "more")))
    await store.close()

asyncio.run(main())
"""


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def test_nothing_is_lost_and_nothing_comes_twice(redis_server: Host) -> None:
    """L8: readers of two processes come and go, and get each message of two senders once."""
    url = redis_url(redis_server)
    layer = RedisLayer(url, prefix="processes")
    with process(READER, url) as one, process(READER, url) as other:
        clients = line(one), line(other)
        with process(SENDER, url, "first ") as first, process(SENDER, url, "second ") as second:
            for n in range(50):
                layer.send_group("news", {"n": n})
            assert (first.wait(60), second.wait(60)) == (0, 0)
        eventually(lambda: layer.global_statistics()["messages_pending"] == 0)
        for client in clients:
            layer.send(client, {"end": True, "n": 50})
        found: list[Any] = [json.loads(line(each)) for each in (one, other)]
    got = [message for each, _ in found for message in each]
    names = [f"{by} {channel}" for by in ("first", "second") for channel in ("work", "more")]
    assert sorted(got) == sorted([name, n] for name in names for n in range(300))
    assert [news for _, news in found] == [list(range(51))] * 2
    layer.close()


def test_capacity_holds_for_all(redis_server: Host) -> None:
    """L8: what several processes send to one channel counts together."""
    code = (
        "import sys; from bridge.channels import RedisLayer\n"
        "from bridge.errors import ChannelFull\n"
        "layer, full = RedisLayer(sys.argv[1], prefix='room', capacity=10), 0\n"
        "for _ in range(10):\n"
        "  try: layer.send('a', {})\n"
        "  except ChannelFull: full += 1\n"
        "layer.close(); print(full)"
    )
    url = redis_url(redis_server)
    with process(code, url) as one, process(code, url) as other:
        assert int(line(one)) + int(line(other)) == 10
    layer = RedisLayer(url, prefix="room", capacity=10)
    assert layer.channel_statistics("a")["messages_pending"] == 10
    layer.flush()
    layer.close()


def test_redis_is_killed_under_load() -> None:
    """L8: processes go on by themselves when a new Redis is there; what is lost is in the log."""
    code = (
        "import sys, time; from bridge.channels import RedisLayer\n"
        "from bridge.errors import LayerUnavailable\n"
        "layer, failed, after = RedisLayer(sys.argv[1], prefix='killed'), 0, 0\n"
        "client = layer.new_reply_channel(); layer.attach(client, print)\n"
        "while after < 100:\n"
        "  try:\n"
        "    layer.send('a', {'n': after}); layer.receive(['a'])\n"
        "    if failed: after += 1\n"
        "    elif not after: print('ready', flush=True); after = 0\n"
        "  except LayerUnavailable: failed += 1; time.sleep(0.01)\n"
        "layer.close(); print('failed', failed > 0, flush=True)"
    )
    with start(redis()) as host:
        url = redis_url(host)
        with process(code, url) as one, process(code, url) as other:
            for each in (one, other):
                assert line(each) == "ready"
            host.kill()
            with started_again(host):
                for each in (one, other):
                    said = line(each)
                    while said == "ready":
                        said = line(each)
                    assert said == "failed True"
