"""Decide which peers are trusted: addresses and networks that the operator names (S30, S32)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from bridge.errors import ConfigError
from bridge.types import Address

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AllowList:
    """Addresses that are trusted.

    `trusted`: addresses and networks (``10.0.0.0/8``), as one comma-separated string or a
    sequence. ``*`` trusts every peer, ``unix`` those on Unix sockets, which are also trusted if
    loopback is. `setting` is the setting that they come from. Raises `ConfigError` for anything
    else.
    """

    def __init__(self, trusted: str | Iterable[str], setting: str) -> None:
        entries = trusted.split(",") if isinstance(trusted, str) else list(trusted)
        names = {entry.strip() for entry in entries} - {""}
        self.everyone = "*" in names
        self._networks = [_network(name, setting) for name in sorted(names - {"*", "unix"})]
        self._hosts = {
            str(network.network_address) for network in self._networks if network.num_addresses == 1
        }
        #: Whether peers on Unix sockets are trusted.
        self.trusts_unix = "unix" in names or self.trusts("127.0.0.1") or self.trusts("::1")

    def trusts(self, peer: str) -> bool:
        """Whether the peer with the address `peer` is trusted.

        Ask once per connection: this may parse the address.
        """
        return self.everyone or peer in self._hosts or self._in_network(peer)

    def allows(self, client: Address | None, is_unix: bool) -> bool:
        """Whether the peer of a connection is trusted; `is_unix`: it came over a Unix socket."""
        return self.trusts_unix if is_unix else self.trusts(client[0] if client else "")

    def _in_network(self, peer: str) -> bool:
        address = ip_address(peer)
        return address is not None and any(address in network for network in self._networks)


def _network(name: str, setting: str) -> Network:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        raise ConfigError(
            f"{setting} has {name!r}; give addresses (10.0.0.7), networks (10.0.0.0/8), "
            "'unix' or '*'"
        ) from None


def ip_address(text: str) -> IpAddress | None:
    """Parse an address; None if `text` is none. IPv4-mapped IPv6 is converted to IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
