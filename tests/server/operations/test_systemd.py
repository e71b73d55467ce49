"""What systemd hears, over a real datagram socket that stands for its own (O4)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.server.operations.systemd import Notifier
from tests.support.hosts import ROOT
from tests.support.systemd import Systemd


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(f"{tmp_path}/notify" if request.param == "path" else f"@{tmp_path}")
    yield made
    made.socket.close()


def notifier(systemd: Systemd, **environ: str) -> Notifier:
    return Notifier.from_environment({"NOTIFY_SOCKET": systemd.address, **environ})


def test_a_reload(systemd: Systemd) -> None:
    """O4: a reload has the time at which it began, on the clock that systemd compares; an end."""
    told = notifier(systemd)
    before = time.monotonic_ns() // 1000
    with told.reload():
        first, second = systemd.hear().splitlines()
    assert systemd.hear_all() == ["READY=1"]
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.monotonic_ns() // 1000
    with contextlib.suppress(ZeroDivisionError), told.reload():
        raise ZeroDivisionError
    assert systemd.hear_all()[1:] == ["READY=1"]


def test_as_long_as_the_loop_turns(systemd: Systemd) -> None:
    """O4: WATCHDOG=1 twice in the time that systemd waits; a status only if it has changed."""
    usec = {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}

    async def main() -> None:
        told = notifier(systemd, **usec)
        told.begin(asyncio.get_running_loop(), lambda: "one\ntwo")
        assert systemd.hear_all() == ["READY=1", "WATCHDOG=1", "STATUS=one two"]
        for _ in range(3):
            while not (heard := systemd.hear_all()):
                await asyncio.sleep(0.01)
            assert set(heard) == {"WATCHDOG=1"}
        time.sleep(0.3)  # the loop stands still
        assert systemd.hear_all() == []
        told.stopping()
        told.close()
        told.stopping()
        await asyncio.sleep(0.1)
        assert systemd.hear_all() == ["STOPPING=1"]

    asyncio.run(main())


def test_a_status_that_changes(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """O4: it is told now and then; no watchdog that is not wanted, or not of this process."""
    monkeypatch.setattr("bridge.server.operations.systemd.STATUS_PAUSE", 0.01)
    statuses = iter("aaabbbcccc")

    async def main(**environ: str) -> None:
        told = notifier(systemd, **environ)
        told.begin(asyncio.get_running_loop(), lambda: next(statuses))
        heard: list[str] = []
        while len(heard) < 4:
            heard += systemd.hear_all()
            await asyncio.sleep(0.001)
        assert heard == ["READY=1", "STATUS=a", "STATUS=b", "STATUS=c"]
        told.close()

    asyncio.run(main(WATCHDOG_USEC="1000", WATCHDOG_PID=str(os.getpid() + 1)))
    statuses = iter("abcccc")
    asyncio.run(main(WATCHDOG_USEC="often"))


def test_without_systemd() -> None:
    """O4: nothing is told, and nothing scheduled."""

    async def main() -> None:
        told = Notifier.from_environment({})
        told.begin(asyncio.get_running_loop(), lambda: pytest.fail("a status is asked for"))
        with told.reload():
            told.stopping()
        told.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "address", ["/no/such/socket", "vsock:2:1234", f"/{'x' * 200}", "a\0b", "@" + "x" * 200]
)
def test_a_socket_that_does_not_work(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """O4: it is told once, and harms nothing."""
    caplog.set_level(logging.WARNING, "bridge.error")
    told = Notifier(address)
    told.stopping()
    told.stopping()
    (message,) = caplog.messages
    assert message.startswith("systemd is not told: NOTIFY_SOCKET=")


def test_a_socket_that_nobody_reads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """O4: the process does not wait for systemd."""
    deaf = Systemd(f"{tmp_path}/notify")
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    told = Notifier(deaf.address)
    for _ in range(2000):
        told.stopping()
    assert len(caplog.messages) == 1
    deaf.socket.close()


# ------------------------------------------------------------- a process that serves, or several


APP = """
async def app(scope, receive, send):
    pass
"""


@pytest.fixture(params=["alone", "supervised"])
def service(
    request: pytest.FixtureRequest, systemd: Systemd, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "shop.py").write_text(APP)
    arguments: list[Any] = [
        sys.executable, "-m", "bridge", "serve", "shop:app", "--app-dir", str(tmp_path),
        "--port=0", "--drain-delay=60", f"--workers={1 if request.param == 'alone' else 2}",
    ]  # fmt: skip
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NOTIFY_SOCKET": systemd.address,
        "WATCHDOG_USEC": "200000",
    }
    process = subprocess.Popen(arguments, env=environ, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_the_life_of_a_service(systemd: Systemd, service: subprocess.Popen[bytes]) -> None:
    """O4: ready when it serves, reloading at SIGHUP, stopping at SIGTERM, before the drain."""
    assert systemd.hear() == "READY=1"
    assert systemd.hear() == "WATCHDOG=1"
    assert systemd.hear().startswith(("STATUS=0 requests served", "STATUS=serving: 1 of 2 workers"))
    service.send_signal(signal.SIGHUP)
    heard = systemd.until("READY=1")
    assert [text.partition("\n")[0] for text in heard if text != "WATCHDOG=1"] == [
        "RELOADING=1", "READY=1",
    ]  # fmt: skip
    systemd.until("WATCHDOG=1")
    service.send_signal(signal.SIGTERM)
    systemd.until("STOPPING=1")
    systemd.until("WATCHDOG=1")  # it drains, and its loop turns
    service.send_signal(signal.SIGINT)
    assert service.wait(30) in (0, 130)
