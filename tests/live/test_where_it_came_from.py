"""The code on the page about the mail of 2017 runs as it is printed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.hosts import ROOT
from tests.support.raw import request
from tests.support.serving import served

PAGE = ROOT / "docs" / "explanation" / "where-it-came-from.md"
#: File -> its code.
FILES = dict(
    re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```\n", PAGE.read_text("utf-8"), re.M | re.S)
)


def load(code: str) -> Any:
    """The callable that a file is about."""
    names: dict[str, Any] = {}
    exec(compile(code, "page", "exec"), names)
    return names.get("application") or names.get("consumer") or names["app"]


def test_there_are_five_files() -> None:
    """Each question that has an answer in code has a file."""
    assert len(FILES) == 5


@pytest.mark.parametrize("name", FILES)
def test_file_is_served_as_it_stands(name: str) -> None:
    """L2, L3, L5: the server finds out what each is; a large body arrives in pieces."""
    with served(load(FILES[name])) as server, server.connect() as client:
        client.send(request("/", method="POST", body=b"x" * 300_000))
        expected = b"300000 bytes" if name.startswith("body") else b"Hello, world"
        assert client.response().body == expected


def test_task_of_the_loop_when_inline() -> None:
    """L3: called on the loop, as in 2017, a plain consumer may make a task of it."""
    code = FILES["loop_consumer.py"].replace(
        "asyncio.run_coroutine_threadsafe(answer(message), loop)",
        "loop.create_task(answer(message))",
    )
    with served(load(code), runner="inline") as server, server.connect() as client:
        assert client.get().body == b"Hello, world"
