"""Names of hosts that greenlets look up."""

from __future__ import annotations

import _socket
import asyncio
import socket
import threading
from typing import Any

import pytest

from bridge.runners.patching import names
from tests.runners.patching.sockets.jobs import paused, run_jobs


class SlowResolver:
    """A `_socket` whose look-ups take until `go` is set; it notes their threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.threads: set[int] = set()
        for name in (
            "_getaddrinfo",
            "_gethostbyname",
            "_gethostbyname_ex",
            "_gethostbyaddr",
            "_getnameinfo",
        ):
            monkeypatch.setattr(names, name, self._slow(getattr(names, name)))

    def _slow(self, original: Any) -> Any:
        def slow(*arguments: Any) -> Any:
            if threading.get_native_id() != self.loop_thread:
                self.threads.add(threading.get_native_id())
                assert self.go.wait(30)
            return original(*arguments)

        self.loop_thread = threading.get_native_id()
        return slow


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> SlowResolver:
    return SlowResolver(monkeypatch)


LOOK_UPS: dict[str, Any] = {
    "getaddrinfo": lambda: socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4],
    "gethostbyname": lambda: names.gethostbyname("localhost"),
    "gethostbyname_ex": lambda: names.gethostbyname_ex("localhost")[2],
    "gethostbyaddr": lambda: names.gethostbyaddr("127.0.0.1")[2],
    "getnameinfo": lambda: names.getnameinfo(("127.0.0.1", 80), 0)[0],
}
NUMBERS: dict[str, Any] = {
    "getaddrinfo": lambda: socket.getaddrinfo("127.0.0.1", 80),
    "getaddrinfo of IPv6": lambda: socket.getaddrinfo("::1", "http"),
    "getaddrinfo of nothing": lambda: socket.getaddrinfo(None, 80),
    "gethostbyname": lambda: names.gethostbyname("127.0.0.1"),
    "gethostbyname of nothing": lambda: names.gethostbyname(""),
    "getnameinfo": lambda: names.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST),
}


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_in_a_thread(look_up: str, resolver: SlowResolver) -> None:
    """G6: a look-up does not block the loop, and gives what it gives elsewhere."""
    resolver.go.set()
    expected = LOOK_UPS[look_up]()
    resolver.go.clear()

    async def main(begin: Any) -> None:
        call = begin(LOOK_UPS[look_up])
        await paused(call)
        resolver.go.set()
        assert await call.done == expected
        assert len(resolver.threads) == 1

    run_jobs(main)


@pytest.mark.parametrize("look_up", NUMBERS)
def test_numbers(look_up: str, resolver: SlowResolver) -> None:
    """G6: what is a number already is found at once, without a thread."""
    expected = NUMBERS[look_up]()

    async def main(begin: Any) -> None:
        assert await begin(NUMBERS[look_up]).done == expected
        assert not resolver.threads

    run_jobs(main)


def test_errors() -> None:
    """G6: a name that nobody knows, or that is none, is the usual error."""

    async def main(begin: Any) -> None:
        for look_up in (socket.getaddrinfo, lambda host, _: names.gethostbyname(host)):
            with pytest.raises(socket.gaierror):
                await begin(lambda f=look_up: f("no.such.host.invalid", 80)).done
            with pytest.raises((TypeError, ValueError, UnicodeError)):
                await begin(lambda f=look_up: f("a" * 300, 80)).done
            with pytest.raises(TypeError):
                await begin(lambda f=look_up: f(5, 80)).done

    run_jobs(main)


def test_in_other_threads(resolver: SlowResolver) -> None:
    """G6: the loop's own look-ups are made as ever."""
    resolver.go.set()

    async def main(begin: Any) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, family=socket.AF_INET)
        assert found[0][4] == ("127.0.0.1", 80)

    run_jobs(main)


def test_resolved() -> None:
    """G6: an address has its name replaced, and is left alone if it has none, or is none."""

    async def main(begin: Any) -> None:
        def resolved(address: Any, family: int = socket.AF_INET) -> Any:
            return names.resolved(names.current_worker(), family, address)

        def job() -> None:
            assert resolved(("localhost", 80)) == ("127.0.0.1", 80)
            assert resolved((b"localhost", 80)) == ("127.0.0.1", 80)
            for address in (("", 1), ("127.0.0.1", 1), ("<broadcast>", 1), (None, 1), (), "text"):
                assert resolved(address) is address
            assert resolved("/a/path", socket.AF_UNIX) == "/a/path"
            address = ("::1", 80, 0, 0)
            assert resolved(address, socket.AF_INET6) is address

        await begin(job).done
        assert names.resolved(None, socket.AF_INET, ("localhost", 80)) == ("localhost", 80)

    run_jobs(main)


def test_what_is_replaced() -> None:
    """G6: the functions of `_socket` are replaced there; the others are told to the caller."""
    pairs = dict(names.patch())
    assert pairs[names._getaddrinfo] is _socket.getaddrinfo is names.getaddrinfo
    assert {function.__name__ for function in pairs} == {  # type: ignore[attr-defined]
        "getaddrinfo",
        "gethostbyname",
        "gethostbyname_ex",
        "gethostbyaddr",
        "getnameinfo",
    }
