"""What proxies say of the client: `Forwarded` (RFC 7239) and `X-Forwarded-*` (S32).

Any client can send these fields, so they are read only when the connection comes from an address
that the operator trusts, and then from the right: the last entry was written by the proxy we talk
to, the one before it by that proxy's peer, and so on. The first entry that names an untrusted
address is the client; whatever stands left of it is hearsay.

    peer (trusted) <- entry n (trusted proxy) <- entry n-1 (the client) <- entry n-2 (anything)

Two families of fields can be there at once, and a proxy that writes one seldom removes the other.
So the client's address is taken from `X-Forwarded-For` wherever there is one, and from `Forwarded`
otherwise; a proxy must remove the one that it does not write. What all of them say of the scheme
must agree, or the request is refused: taking http for https has security consequences.

The host is left alone: `X-Forwarded-Host` passes most proxies unchecked, and would let any client
choose the host in the links an app makes. A proxy should pass the `Host` itself on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.errors import ConfigError, RequestError

Address = tuple[str, int]
#: ``(host, port)``, or ``(path, None)`` on a Unix socket.
Server = tuple[str, int | None]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The fields read here, in lower case: without one of these there is nothing to resolve.
FORWARDING_HEADERS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-ssl",
    }
)

#: What the values of `X-Forwarded-Proto` and ``proto=`` mean.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PORT = re.compile(r"[0-9]{1,5}")

# One parameter of one element and the mark that ends it (RFC 7239 §4; RFC 9110 §5.6.4 for the
# quoted-string). Possessive, so that no value takes longer than its length to refuse.
_PARAMETER = re.compile(
    r"""[ \t]*+
    (?:(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)=
       (?:(?P<token>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)
        |"(?P<quoted>(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+)"))?
    [ \t]*+(?P<end>[,;]|\Z)""",
    re.VERBOSE,
)
_QUOTED_PAIR = re.compile(r"\\(.)")

# An address with or without a port: `1.2.3.4:56`, `[2001:db8::1]:56`, `2001:db8::1`.
_NODE = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")


class Resolved(NamedTuple):
    """A request as the outermost trusted proxy saw it.

    `client` is ``(address, port)``, port 0 where it is not known; None where the proxy does not
    tell (`unknown`, an obfuscated name). `scheme` is ``http`` or ``https``.
    """

    client: Address | None
    scheme: str
    server: Server | None


class Forwarded:
    """Whom to believe, and what follows from what they say. Made once per server.

    `trusted`: addresses and networks (``10.0.0.0/8``), as one comma-separated string or a
    sequence; ``*`` trusts everyone, ``unix`` the peers on Unix sockets, who are also trusted
    where loopback is. Raises `ConfigError` for anything else.
    """

    def __init__(self, trusted: str | Iterable[str]) -> None:
        entries = trusted.split(",") if isinstance(trusted, str) else list(trusted)
        names = {entry.strip() for entry in entries} - {""}
        self._everyone = "*" in names
        self._networks = [_network(name) for name in sorted(names - {"*", "unix"})]
        self._hosts = {
            str(network.network_address) for network in self._networks if network.num_addresses == 1
        }
        #: Whether peers on Unix sockets may speak for others.
        self.trusts_unix = "unix" in names or self.trusts("127.0.0.1") or self.trusts("::1")

    def trusts(self, peer: str) -> bool:
        """Whether the peer with the address `peer` may speak for others.

        Ask once per connection: this may parse the address.
        """
        return self._everyone or peer in self._hosts or self._in_network(peer)

    def resolve(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        client: Address | None,
        scheme: str,
        server: Server | None = None,
    ) -> Resolved:
        """What the `headers` of a request from a trusted peer say; names in lower case.

        `client`, `scheme` and `server` are the connection's own, and stay where nothing is said.
        Raises `RequestError` (400) where the fields are malformed or name different schemes.
        """
        fields = _collect(headers)
        elements = _elements(fields.get(b"forwarded", ()))
        standard = [element.get("for", "unknown") for element in elements]
        customary = _members(fields.get(b"x-forwarded-for", ()))
        outermost = self._outermost(standard)
        at = self._outermost(customary)
        if customary:
            client = _node(customary[at])
        elif standard:
            client = _node(standard[outermost])
        told = _standard_schemes(elements[outermost:])
        told |= _customary_schemes(fields, at, len(customary))
        if len(told) > 1:
            raise RequestError(
                "forwarding headers name both http and https for one request; have each proxy "
                "overwrite or remove what it is sent"
            )
        if server is not None and server[1] is not None:
            server = server[0], _port(fields, at, len(customary), server[1])
        return Resolved(client, told.pop() if told else scheme, server)

    def _outermost(self, hops: Sequence[str]) -> int:
        """The index of the right-most hop that is not trusted; 0, the left-most, if all are."""
        if self._everyone:
            return 0
        for index in range(len(hops) - 1, 0, -1):
            node = _node(hops[index])
            if node is None or not self.trusts(node[0]):
                return index
        return 0

    def _in_network(self, peer: str) -> bool:
        address = _ip(peer)
        return address is not None and any(address in network for network in self._networks)


# ------------------------------------------------------------- addresses


def _network(name: str) -> Network:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        raise ConfigError(
            f"forwarded_allow_ips has {name!r}; give addresses (10.0.0.7), networks (10.0.0.0/8), "
            "'unix' or '*'"
        ) from None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `text` is; an IPv4 address in IPv6 clothes is that IPv4 address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _node(text: str) -> Address | None:
    """A hop's address and port (0: none given); None for what is not an address."""
    match = _NODE.fullmatch(text)
    if match is None:
        address, port = _ip(text), 0
    else:
        address = _ip(match["four"] if match["six"] is None else match["six"])
        port = int(match["port"] or 0)
    if address is None or port > 0xFFFF:
        return None
    return str(address), port


# ------------------------------------------------------------- fields


def _collect(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    """The forwarding fields alone, in order, as text."""
    fields: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in FORWARDING_HEADERS:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return fields


def _members(lines: Iterable[str]) -> list[str]:
    """The members of a list field, over all its lines; empty ones do not count."""
    members = [member.strip(" \t") for line in lines for member in line.split(",")]
    return [member for member in members if member]


def _elements(lines: Iterable[str]) -> list[dict[str, str]]:
    """The elements of `Forwarded`, left to right: parameter names in lower case -> values."""
    return [element for line in lines for element in _parse(line) if element]


def _parse(line: str) -> list[dict[str, str]]:
    """One `Forwarded` line (RFC 7239 §4). Raises `RequestError` where it breaks the grammar.

    A quote that a client leaves open could otherwise swallow what a proxy appends.
    """
    element: dict[str, str] = {}
    elements = [element]
    at, end = 0, ","
    while end:
        match = _PARAMETER.match(line, at)
        name = match["name"].lower() if match and match["name"] else None
        if match is None or name in element:
            raise RequestError(f"Forwarded is {line[:80]!r}, which RFC 7239 §4 does not allow")
        if name is not None:
            quoted = match["quoted"]
            element[name] = match["token"] if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        at, end = match.end(), match["end"]
        if end == ",":
            element = {}
            elements.append(element)
    return elements


def _at_hop(members: list[str], at: int, hops: int) -> list[str]:
    """The member that belongs to hop `at`, where there is one for each; all of them otherwise."""
    return [members[at]] if len(members) == hops > 0 else members


def _standard_schemes(elements: Iterable[dict[str, str]]) -> set[str]:
    """The scheme at the outermost trusted hop, or at the next hop inwards that names one."""
    for element in elements:
        if "proto" in element:
            return {_scheme(element["proto"])}
    return set()


def _customary_schemes(fields: dict[bytes, list[str]], at: int, hops: int) -> set[str]:
    protos = _at_hop(_members(fields.get(b"x-forwarded-proto", ())), at, hops)
    flags = _at_hop(_members(fields.get(b"x-forwarded-ssl", ())), at, hops)
    return {_scheme(proto) for proto in protos} | {
        "https" if flag.lower() == "on" else "http" for flag in flags
    }


def _scheme(name: str) -> str:
    scheme = _SCHEMES.get(name.lower())
    if scheme is None:
        raise RequestError(f"forwarding headers name the scheme {name[:40]!r}, not http or https")
    return scheme


def _port(fields: dict[bytes, list[str]], at: int, hops: int, port: int) -> int:
    """The port that the client talks to; the innermost proxy's word where several differ."""
    told = _at_hop(_members(fields.get(b"x-forwarded-port", ())), at, hops)
    if not told:
        return port
    if _PORT.fullmatch(told[-1]) is None or int(told[-1]) > 0xFFFF:
        raise RequestError(f"X-Forwarded-Port is {told[-1][:40]!r}, not a port number")
    return int(told[-1])
