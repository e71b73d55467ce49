"""A channel layer over Redis for any thread."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.channels.redis.layer import RedisLayer
from bridge.errors import ChannelFull, ConfigError, LayerUnavailable, WaitNotPossible
from tests.support import conformance
from tests.support.hosts import Host, free_port, start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.waiting import eventually

pytestmark = needs_redis

ROOT = Path(__file__).parents[3]


def run_python(code: str, *arguments: str) -> str:
    """What a process of its own prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def layer(redis_server: Host, request: pytest.FixtureRequest) -> Iterator[RedisLayer]:
    made = RedisLayer(redis_url(redis_server), prefix=request.node.name, capacity=2)
    yield made
    made.close()


def test_conformance(redis_server: Host) -> None:
    """L8: asgiref 1.1.2's own suite passes, with none of its tests left out."""
    outcome = conformance.run("bridge.channels:RedisLayer", redis_url(redis_server, 5))
    assert outcome == (conformance.TESTS, [], [])


def test_threads_and_loops(layer: RedisLayer) -> None:
    """L8: it works from any thread, and on any loop."""
    sender = threading.Thread(target=layer.send, args=("a", {"n": 1}))
    sender.start()
    assert layer.receive(["a"], block=True) == ("a", {"n": 1})
    sender.join()

    async def main() -> None:
        waiting = asyncio.create_task(layer.receive_async(["a"]))
        await asyncio.to_thread(layer.send, "a", {"n": 2})
        assert await waiting == ("a", {"n": 2})

    asyncio.run(main())
    layer.send("b", {})
    layer.send("b", {})
    with pytest.raises(ChannelFull):
        layer.send("b", {})
    figures = layer.channel_statistics("b")
    assert (figures["messages_pending"], figures["channel_full_count"]) == (2, 1)
    assert layer.global_statistics()["messages_count"] == 4
    assert layer.receive(["c"]) == (None, None)
    layer.flush()
    assert layer.receive(["b"]) == (None, None)
    assert layer.receive([layer.new_channel("a?")]) == (None, None)


def test_from_many_threads_at_once(redis_server: Host) -> None:
    """L8: the first calls of many threads make one pair of connections, and all are answered."""
    layer = RedisLayer(redis_url(redis_server), prefix="many")
    ready = threading.Barrier(8)

    def work(n: int) -> None:
        ready.wait()
        for _ in range(20):
            layer.send(f"c{n}", {"n": n})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert layer.global_statistics()["messages_pending"] == 160
    layer.flush()
    layer.close()
    eventually(lambda: "bridge-channels" not in [each.name for each in threading.enumerate()])


def test_groups_and_clients(layer: RedisLayer, redis_server: Host) -> None:
    """L8: clients of this process get what is sent to them, and to their groups, from anywhere."""
    other = RedisLayer(redis_url(redis_server), prefix=layer._make()._queues.split(":")[0])
    seen: list[Any] = []
    channel = layer.new_reply_channel()
    layer.attach(channel, seen.append)
    layer.send(channel, {"n": 1})
    assert seen == [{"n": 1}]
    layer.group_add("g", channel)
    assert other.group_channels("g") == [channel]
    other.send_group("g", {"n": 2})
    other.send(channel, {"n": 3})
    eventually(lambda: len(seen) == 3)
    layer.send_group("g", {"n": 4})
    other.group_discard("g", channel)
    layer.send_group("g", {"n": 5})
    assert seen == [{"n": n} for n in range(1, 5)]
    layer.detach(channel)
    layer.send(channel, {"n": 6})
    assert len(seen) == 4
    other.close()


def test_closing(layer: RedisLayer) -> None:
    """L8: who waits is told; the next use connects anew; not from a function that it calls."""
    said: list[str] = []

    def wait() -> None:
        with pytest.raises(LayerUnavailable) as caught:
            layer.receive(["w"], block=True)
        said.append(str(caught.value))

    layer.send("a", {"n": 1})
    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: layer._here().store._receiver._waited_for)
    layer.close()
    layer.close()
    thread.join()
    assert said == ["the channel layer was closed"]
    assert layer.receive(["a"]) == ("a", {"n": 1})
    errors: list[BaseException] = []

    def close(_: object) -> None:
        try:
            layer.close()
        except WaitNotPossible as error:
            errors.append(error)

    channel = layer.new_reply_channel()
    layer.attach(channel, close)
    layer.group_add("g", channel)
    layer.send_group("g", {})
    assert len(errors) == 1


def test_the_body_of_a_request(layer: RedisLayer) -> None:
    """L8: a channel whose messages are made when they are read needs nothing of Redis."""

    async def main() -> None:
        chunks = iter([{"content": b"a"}, {"content": b"b"}])

        async def take() -> dict[str, Any]:
            return next(chunks)

        channel = layer.new_channel("http.request.body?")
        source = layer.attach_source(channel, take)
        assert await layer.receive_async([channel]) == (channel, {"content": b"a"})
        assert await asyncio.to_thread(layer.receive, [channel], True) == (
            channel,
            {"content": b"b"},
        )
        source.close()

    asyncio.run(main())


# ------------------------------------------------------------- Redis is not there


def test_bad_address() -> None:
    """L13: a wrong address is refused when the layer is made."""
    with pytest.raises(ConfigError):
        RedisLayer("http://a")


def test_nothing_there(caplog: pytest.LogCaptureFixture) -> None:
    """L13: each call says so at once, and the log once; with the client of the process waiting."""
    layer = RedisLayer(f"redis://127.0.0.1:{free_port()}")
    layer.attach(layer.new_reply_channel(), print)
    for call in (lambda: layer.send("a", {}), lambda: layer.receive(["a"], block=True)):
        with pytest.raises(LayerUnavailable, match="is it running there"):
            call()
    layer.close()
    assert caplog.text.count("is it running there") == 1


def test_attached_before_the_first_connection() -> None:
    """L8: a client that is there before Redis is gets its messages when there is one."""
    with start(redis()) as host:
        layer, other = (RedisLayer(redis_url(host)) for _ in range(2))
        host.kill()
        seen: list[Any] = []
        channel = layer.new_reply_channel()
        layer.attach(channel, seen.append)
        with pytest.raises(LayerUnavailable):
            layer.send("a", {})
        with started_again(host):
            eventually(lambda: other._here().store.link.up or _tried(other))
            other.send(channel, {"n": 1})
            eventually(lambda: seen == [{"n": 1}])
            layer.close()
            other.close()


def _tried(layer: RedisLayer) -> bool:
    try:
        layer.group_channels("none")
    except LayerUnavailable:
        return False
    return True


# ------------------------------------------------------------- other kinds of processes


FORK = """
import os, sys
from bridge.channels import RedisLayer
layer = RedisLayer(sys.argv[1], prefix="fork")
layer.send("a", {"by": "parent"})
name = layer.new_reply_channel()
child = os.fork()
layer.send("b", {"by": "both"})
if child == 0:
    assert layer.new_reply_channel().split("!")[0] != name.split("!")[0]
    assert layer.receive(["a"]) == ("a", {"by": "parent"})
    layer.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert layer.receive(["a"]) == (None, None)
assert layer.channel_statistics("b")["messages_pending"] == 2
layer.flush()
print("done")
"""


def test_after_a_fork(redis_server: Host) -> None:
    """L8: a child connects by itself, has channels of its own, and leaves its parent's alone."""
    assert run_python(FORK, redis_url(redis_server)) == "done\n"


GEVENT = """
import gevent.monkey
if sys.argv[2] == "patched": gevent.monkey.patch_all()
import gevent, sys
from bridge.channels import RedisLayer
layer = RedisLayer(sys.argv[1], prefix="gevent")
turns = 0
def turn():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)
spinning = gevent.spawn(turn)
waiting = gevent.spawn(layer.receive, ["a"], True)
while turns < 6:
    gevent.sleep(0.001)  # the other greenlet waits, and this one runs on
gevent.joinall([gevent.spawn(layer.send, "b", {"n": n}) for n in range(50)], raise_error=True)
assert layer.channel_statistics("b")["messages_pending"] == 50
waiting.kill()
layer.send("a", {"n": 1})
assert layer.receive(["a"], True) == ("a", {"n": 1})
spinning.kill()
layer.flush()
layer.close()
print("done")
"""


@pytest.mark.parametrize("kind", ["patched", "plain"])
def test_in_greenlets_of_gevent(redis_server: Host, kind: str) -> None:
    """L8: a greenlet that waits for Redis lets the others run; one that is killed loses nothing."""
    assert run_python("import sys\n" + GEVENT, redis_url(redis_server), kind) == "done\n"


EXIT = """
import sys, threading
from bridge.channels import RedisLayer
layer = RedisLayer(sys.argv[1], prefix="exit")
layer.attach(layer.new_reply_channel(), print)
layer.send("a", {})
def wait():
    try: layer.receive(["w"], True)
    except Exception as error: print(error)
threading.Thread(target=wait).start()
"""


def test_at_the_end_of_the_process(redis_server: Host) -> None:
    """L8: it closes its connections by itself, and threads that wait end."""
    assert run_python(EXIT, redis_url(redis_server)) == "the channel layer was closed\n"


def test_a_process_that_is_killed(redis_server: Host, layer: RedisLayer) -> None:
    """L8: its clients leave their groups when a message to them has expired unread."""
    code = (
        "import sys, time; from bridge.channels import RedisLayer\n"
        "layer = RedisLayer(sys.argv[1], prefix=sys.argv[2]); name = layer.new_reply_channel()\n"
        "layer.attach(name, print); layer.group_add('g', name); print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    prefix = layer._make()._queues.split(":")[0]
    with subprocess.Popen(
        [sys.executable, "-c", code, redis_url(redis_server), prefix],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    sender = RedisLayer(redis_url(redis_server), prefix=prefix, expiry=0.2)
    assert len(list(sender.group_channels("g"))) == 1

    def gone() -> bool:
        sender.send_group("g", {})
        return not list(sender.group_channels("g"))

    eventually(gone, pause=0.15)
    sender.close()
