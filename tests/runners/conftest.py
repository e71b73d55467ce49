"""What the tests of threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def pool_threads() -> Iterator[Callable[[], list[threading.Thread]]]:
    """The threads that the test has started, whenever it is called; none may be left at its end."""
    before = {*threading.enumerate()}

    def started() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before]

    yield started
    for thread in started():
        thread.join(10)
    assert started() == []
