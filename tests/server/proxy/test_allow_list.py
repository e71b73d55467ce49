"""Whom to believe: addresses, networks, Unix sockets, everyone (S30, S32)."""

from __future__ import annotations

import ipaddress

import pytest

from bridge.errors import ConfigError
from bridge.server.proxy.allow_list import AllowList, ip_address


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ("127.0.0.1,::1", "127.0.0.1", True),
        ("127.0.0.1,::1", "::1", True),
        ("127.0.0.1,::1", "0:0:0:0:0:0:0:1", True),
        ("127.0.0.1,::1", "127.0.0.2", False),
        ("127.0.0.1,::1", "::ffff:127.0.0.1", True),
        ("127.0.0.1,::1", "", False),
        ("10.0.0.0/8", "10.200.3.4", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.0.0.9", True),
        (" 10.0.0.7/8 , 2001:db8::/32 ", "2001:db8:1::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("*", "203.0.113.9", True),
        ("*", "", True),
        ("", "127.0.0.1", False),
        ("", "", False),
        ("127.0.0.1", "not an address", False),
    ],
)
def test_trust(trusted: str, peer: str, believed: bool) -> None:
    """S30, S32: addresses, networks and `*` are trusted; no address is none of these."""
    assert AllowList(trusted, "trusted").trusts(peer) is believed


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.0/8", False),
        ("10.0.0.0/8,unix", True),
        ("*", True),
        ("", False),
    ],
)
def test_trust_in_unix_sockets(trusted: str, believed: bool) -> None:
    """S32: peers on Unix sockets are trusted where loopback, `unix` or everyone is."""
    assert AllowList(trusted, "trusted").trusts_unix is believed


def test_trusted_as_a_list() -> None:
    """S30, S32: the list of trusted addresses may be a sequence."""
    assert AllowList(["10.0.0.1", "10.0.1.0/24"], "trusted").trusts("10.0.1.77")


@pytest.mark.parametrize("wrong", ["localhost", "10.0.0.0/33", "10.0.0", "**", "127.0.0.1;::1"])
def test_wrong_trust(wrong: str) -> None:
    """S32: an entry that is no address is an operator's error, not an address never met."""
    with pytest.raises(ConfigError, match=r"^trusted_proxies has .*networks \(10\.0\.0\.0/8\)"):
        AllowList(wrong, "trusted_proxies")


@pytest.mark.parametrize(
    ("trusted", "client", "is_unix", "allowed"),
    [
        ("10.0.0.0/8", ("10.0.0.1", 5000), False, True),
        ("10.0.0.0/8", ("192.0.2.1", 5000), False, False),
        ("10.0.0.0/8", None, False, False),
        ("10.0.0.0/8", None, True, False),
        ("unix", None, True, True),
        ("unix", None, False, False),
        ("unix", ("127.0.0.1", 5000), False, False),
        ("127.0.0.1", None, True, True),
        ("127.0.0.1", None, False, False),
        ("*", None, False, True),
    ],
)
def test_peers_of_connections(
    trusted: str, client: tuple[str, int] | None, is_unix: bool, allowed: bool
) -> None:
    """S32: a client without an address is trusted on a Unix socket only, or with `*`."""
    assert AllowList(trusted, "trusted").allows(client, is_unix) is allowed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.01", None),
        ("example.com", None),
        ("", None),
    ],
)
def test_ip_address(text: str, expected: str | None) -> None:
    """S32: an address has one form, without its zone; an IPv4 address in IPv6 is that one."""
    assert ip_address(text) == (None if expected is None else ipaddress.ip_address(expected))
