"""Visitors of the demo: a bounded number of requests a second, for a bounded time, to this machine.

None has a cookie, so each request is another visitor, and a share of 5 % is 5 of 100 of them.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import time
from pathlib import Path
from threading import Event, Thread

ADDRESS = "127.0.0.1"
PATHS = ("/", "/api/items/1", "/cart", "/", "/api/items/2", "/cart", "/", "/api/items", "/cart")
#: Each asks, waits for the answer, and asks again: a server that is slow is asked less.
VISITORS = 4


class Load:
    """Ask the server at `port` at most `rate` times a second, for `seconds`, until `end`.

    Once a second it writes to `told` how many answers there were, and how many of them errors.
    """

    def __init__(self, port: int, rate: float, seconds: float, told: Path) -> None:
        self._port = port
        self._pause = VISITORS / rate
        self._until = time.monotonic() + seconds
        self._told = told
        self._ended = Event()
        #: For each visitor: answers, errors.
        self._counts = [[0, 0] for _ in range(VISITORS)]
        work = [(self._visit, number) for number in range(VISITORS)]
        self._threads = [Thread(target=call, args=(number,)) for call, number in work]
        self._threads.append(Thread(target=self._tell))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop asking; returns when nobody asks any more."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, number: int) -> None:
        counts, paths = self._counts[number], itertools.cycle(PATHS)
        connection = http.client.HTTPConnection(ADDRESS, self._port, timeout=10)
        while not self._ended.wait(self._pause) and time.monotonic() < self._until:
            try:
                connection.request("GET", next(paths))
                response = connection.getresponse()
                response.read()
                failed = response.status >= 500
            except (OSError, http.client.HTTPException):
                if self._ended.is_set():
                    break
                connection.close()  # the next request opens it again
                failed = True
            counts[0] += 1
            counts[1] += failed
        connection.close()

    def _tell(self) -> None:
        running = True
        while running:
            running = not self._ended.wait(1) and time.monotonic() < self._until
            answers, errors = (sum(each) for each in zip(*self._counts, strict=True))
            new = self._told.with_suffix(".new")
            new.write_text(json.dumps({"answers": answers, "errors": errors, "running": running}))
            os.replace(new, self._told)
