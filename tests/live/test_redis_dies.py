"""Redis dies, hangs and comes back under load; gateway and workers are real processes."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.apart import gateway, worker
from tests.support.hosts import start
from tests.support.redis import needs_redis, redis, redis_url, started_again
from tests.support.waiting import eventually

pytestmark = [needs_redis, pytest.mark.slow]


class Load:
    """Clients that ask one after the other; `seen` counts their answers since the last `turn`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.seen: Counter[str] = Counter()
        #: All that was ever seen.
        self.kinds: set[str] = set()

    def turn(self) -> None:
        """Count anew."""
        self.seen = Counter()

    def until(self, answer: str, count: int = 100) -> None:
        """Wait until so many clients have got this answer."""
        eventually(lambda: self.seen[answer] >= count, 60)

    def _ask(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                try:
                    response = client.get(self._url)
                    answer = str(response.status_code)
                    if response.status_code == 503:
                        answer += f" after {response.headers['retry-after']}"
                except httpx.HTTPError as error:
                    answer = type(error).__name__
                self.seen[answer] += 1
                self.kinds.add(answer)

    @contextmanager
    def running(self, clients: int = 8) -> Iterator[None]:
        """Ask, as long as the block lasts."""
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def test_redis_dies_hangs_and_comes_back() -> None:
    """L10: 503 with Retry-After while it is gone or hangs; nobody is left waiting; all goes on."""
    app = "tests.support.apps.hello:asgi"
    with start(redis()) as first:
        url = redis_url(first)
        with start(gateway(url)) as front, worker(url, app), worker(url, app):
            load = Load(front.url("/"))
            with load.running():
                load.until("200")
                first.kill()
                load.until("503 after 1")
                with started_again(first) as second:
                    load.turn()
                    load.until("200")
                    second.send_signal(signal.SIGSTOP)
                    load.until("503 after 1", 200)
                    second.send_signal(signal.SIGCONT)
                    load.turn()
                    load.until("200", 500)
                    load.turn()
                    load.until("200", 500)
                    assert set(load.seen) == {"200"}
        # Nobody was left waiting, or got what is no answer.
        assert load.kinds <= {"200", "503 after 1", "502"}
