"""What runs in a thread, as its frames tell it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from bridge.loops.watchdog.stack import (
    Place,
    Stack,
    frame_of_loop,
    read_stack,
    runs_app_code,
    source_line,
)
from bridge.wsgi.call import WsgiCall


def seen_by(call: Callable[[Callable[[], None]], object]) -> tuple[bool, Stack | None]:
    """What is seen of the code that `call` calls its argument in."""
    loop = sys._getframe()
    seen: list[tuple[bool, Stack | None]] = []

    def look() -> None:
        frame = sys._getframe(1)
        seen.append((runs_app_code(frame, loop), read_stack(frame, loop)))

    call(look)
    return seen[0]


def stack_of(call: Callable[[Callable[[], None]], object]) -> Stack:
    runs, stack = seen_by(call)
    assert runs
    assert stack is not None
    return stack


def test_the_stack_begins_in_the_loop_and_ends_at_the_last_call() -> None:
    """R3: what is outside of the loop is not told; each place has its line of code."""

    def inner(look: Callable[[], None]) -> None:
        look()

    def outer(look: Callable[[], None]) -> None:
        inner(look)

    stack = stack_of(outer)
    assert [each.function.rpartition(".")[2] for each in stack.places] == ["outer", "inner"]
    assert (stack.request, stack.kind, stack.in_greenlet, stack.is_debugged) == (
        "",
        "",
        False,
        False,
    )
    assert stack.place == stack.places[-1]
    assert source_line(stack.place) == "look()"
    file, first, function = stack.places[0]
    assert stack.text.startswith(f'  File "{file}", line {first}, in {function}\n    inner(look)\n')


@pytest.mark.parametrize("root", ["", "/api"])
def test_the_request_of_a_wsgi_app_is_told(root: str) -> None:
    """R3: with the path of its mount, and no code of the server's."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["look"]()
        start_response("204 No Content", [])
        return []

    def call(look: Callable[[], None]) -> None:
        environ = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": root, "PATH_INFO": "/ü\n", "look": look}
        WsgiCall(app, environ, Mock())()

    def only(look: Callable[[], None]) -> None:
        call(look)

    stack = stack_of(only)
    assert (stack.kind, stack.request) == ("WSGI", f"POST {root}/\\xfc\\n")
    functions = [each.function.rpartition(".")[2] for each in stack.places]
    assert functions == ["only", "call", "app"]


@pytest.mark.parametrize(
    ("scope", "request_"),
    [
        ({"type": "http", "method": "GET", "path": "/a"}, "GET /a"),
        ({"type": "websocket", "path": "/ws"}, "WebSocket /ws"),
        ({"type": "lifespan"}, ""),
        ({"type": "http"}, ""),
        (None, ""),
        ("a string", ""),
    ],
)
def test_the_request_of_an_asgi_app_is_told(scope: Any, request_: str) -> None:
    """R3: whatever the app calls its scope with."""

    def app(scope: Any, look: Callable[[], None]) -> None:
        look()

    stack = stack_of(lambda look: app(scope, look))
    assert stack.request.strip() == request_


def test_the_server_s_own_code_is_no_app() -> None:
    """R3: nor is asyncio, nor a loop that is idle."""
    loop = sys._getframe()
    assert not runs_app_code(loop, loop)
    assert not runs_app_code(None, loop)
    assert read_stack(loop, loop) is None
    assert read_stack(None, loop) is None


def test_the_last_line_of_the_app_s_own_is_named() -> None:
    """R3: not that of a library which it calls; if there is none of its own, that one."""

    def view(look: Callable[[], None]) -> None:
        sorted([1], key=lambda _: asyncio.run(run(look)))

    async def run(look: Callable[[], None]) -> None:
        look()

    stack = stack_of(view)
    assert stack.place.function.endswith("run")
    library = Place(asyncio.__file__.replace("asyncio/__init__", "json/decoder"), 3, "decode")
    frozen = Place("<frozen importlib._bootstrap>", 9, "_load")
    installed = Place("/srv/venv/lib/python3/site-packages/client.py", 3, "read")
    both = Stack((stack.place, library, frozen, installed), 0, "", "", False, False)
    assert both.place == stack.place
    assert Stack((library, installed), 0, "", "", False, False).place == installed
    assert 'File "<frozen importlib._bootstrap>", line 9, in _load' in both.text


def test_a_stack_is_told_in_bounded_length() -> None:
    """R3: the last calls of a deep recursion, and how many there are before them."""

    def deep(count: int, look: Callable[[], None]) -> None:
        if count:
            deep(count - 1, look)
        else:
            look()

    stack = stack_of(lambda look: deep(200, look))
    assert len(stack.places) == 30
    assert stack.left_out == 172
    assert stack.text.startswith("  (172 calls before)\n")
    sys.setrecursionlimit(5000)
    try:
        assert stack_of(lambda look: deep(2000, look)).in_greenlet  # its beginning is not reached
    finally:
        sys.setrecursionlimit(1000)


def test_a_debugger_is_recognized() -> None:
    """R3: a program that a person looks at stands still on purpose."""
    names = {"__name__": "bdb"}
    exec("def wait(look):\n    look()", names)
    assert stack_of(names["wait"]).is_debugged  # type: ignore[arg-type]


def test_the_frame_of_a_loop_is_the_one_that_runs_it() -> None:
    """R3: asyncio's own has two frames between it and a callback, which are new each time."""
    found = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            done = loop.create_future()
            loop.call_soon(
                lambda done=done: (
                    found.append(frame_of_loop(sys._getframe(1))),
                    done.set_result(0),
                )
            )
            await done

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
    assert found[0] is found[1]
    assert found[0].f_code.co_name == "run_forever"
