"""Which process listens at a port."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from bridge.server.network import holders
from bridge.server.network.holders import holder

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads what only Linux shows")


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_process_is_named(host: str) -> None:
    """S30: its name and number, for IPv4 and IPv6."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with server:
        name = Path("/proc/self/comm").read_text().strip()
        assert holder(str(server.getsockname()[1])) == f": {name}, process {os.getpid()}"


@linux
def test_who_does_not_listen_is_not_named() -> None:
    """S30: a port that nobody has, and what is no port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert holder(str(bound.getsockname()[1])) == ""
    assert holder("http") == ""


def test_a_system_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """S30: nothing is said, and nothing raised."""
    monkeypatch.setattr(holders, "_TABLES", (str(tmp_path / "none"),))
    assert holder("80") == ""
    odd = tmp_path / "odd"
    odd.write_text("head\nx\n")
    monkeypatch.setattr(holders, "_TABLES", (str(odd),))
    assert holder("80") == ""
