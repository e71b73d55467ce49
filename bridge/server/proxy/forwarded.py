"""Find the client in what proxies say: `Forwarded` (RFC 7239) and `X-Forwarded-*` (S32).

Any client can send these fields, so they are read only if the connection comes from an address
that the operator trusts. They are read from the right: the last entry was written by the proxy at
the other end of the connection, the one before it by that proxy's peer, and so on. The first entry
that names an untrusted address is the client; entries to its left are not trusted.

    peer (trusted) <- entry n (trusted proxy) <- entry n-1 (the client) <- entry n-2 (anything)

A request can have two families of fields, because a proxy that writes one seldom removes the other.
Only one of them is read: the one that the operator names, or else `X-Forwarded-*` if any of these
is there, because most proxies write them, and `Forwarded` otherwise. If the fields of the family
name different schemes the request is refused: to take http for https has security consequences.

At most `MOST_HOPS` entries are read, from the right: a client could send thousands.

The host is not changed: most proxies pass `X-Forwarded-Host` on unchecked, so any client could
choose the host in the links that an app makes. A proxy should pass on `Host` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.errors import RequestError
from bridge.http.schemes import HTTP_SCHEMES
from bridge.server.proxy.allow_list import AllowList, ip_address
from bridge.types import Address, ServerAddress

#: The fields that are read here, in lower case.
FORWARDING_HEADERS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-ssl",
    }
)

#: Which family is read: `Forwarded.__init__`.
FAMILIES = ("auto", "x-forwarded", "forwarded")
#: The most entries of a chain that are read, from the right, and the most parameters of all.
MOST_HOPS = 50
MOST_PARAMETERS = 500
#: The most bytes of `Forwarded` in lines with quotes: those can be read from the left only.
MOST_QUOTED = 8192

_PORT = re.compile(r"[0-9]{1,5}")

# One parameter of one element and the mark that ends it (RFC 7239 §4; RFC 9110 §5.6.4 for the
# quoted-string). Possessive, so that no value takes longer than its length to refuse.
_PARAMETER = re.compile(
    r"""[ \t]*+
    (?:(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)=
       (?:(?P<token>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)
        |"(?P<quoted>(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+)"))?
    [ \t]*+(?P<end>;|\Z)""",
    re.VERBOSE,
)
_QUOTED_PAIR = re.compile(r"\\(.)")
#: A line in which every quote ends, and an element of such a line with its comma.
_WELL_QUOTED = re.compile(r'[^"]*+(?:"(?:[^"\\]|\\.)*+"[^"]*+)*+')
_ELEMENT = re.compile(r'[^",]*+(?:"(?:[^"\\]|\\.)*+"[^",]*+)*+(?:,|\Z)')

# An address with or without a port: `1.2.3.4:56`, `[2001:db8::1]:56`, `2001:db8::1`.
_NODE = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")


class Resolved(NamedTuple):
    """A request as the outermost trusted proxy saw it.

    `client` is ``(address, port)``, with port 0 if it is not known; None if the proxy does not tell
    (`unknown`, an obfuscated name). `scheme` is ``http`` or ``https``.
    """

    client: Address | None
    scheme: str
    server: ServerAddress | None


class Forwarded(AllowList):
    """Which peers are trusted, and what their fields say. Made once per server.

    `trusted` is as for `AllowList`. `family`: ``x-forwarded`` or ``forwarded``, the fields that the
    proxy writes; ``auto`` reads `X-Forwarded-*` if there is one, and `Forwarded` otherwise.
    Raises `ConfigError`.
    """

    def __init__(self, trusted: str | Iterable[str], family: str = "auto") -> None:
        super().__init__(trusted, "forwarded_allow_ips")
        self._family = family

    def resolve(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        client: Address | None,
        scheme: str,
        server: ServerAddress | None = None,
    ) -> Resolved:
        """Read the `headers` of a request from a trusted peer; names in lower case.

        `client`, `scheme` and `server` are the connection's own, and stay if no field names others.
        Raises `RequestError` (400) if the fields are malformed or name different schemes.
        """
        fields = _collect(headers)
        standard = fields.pop(b"forwarded", [])
        if self._family == "forwarded" or (self._family == "auto" and not fields):
            return self._standard(standard, client, scheme, server)
        return self._customary(fields, client, scheme, server)

    def _standard(
        self, lines: list[str], client: Address | None, scheme: str, server: ServerAddress | None
    ) -> Resolved:
        """Read `Forwarded`."""
        elements = _elements(lines)
        hops = [element.get("for", "unknown") for element in elements]
        at = self._outermost(hops)
        # The scheme at the outermost trusted hop, or at the next hop inwards that names one.
        for element in elements[at:]:
            if "proto" in element:
                scheme = _scheme(element["proto"])
                break
        return Resolved(_node(hops[at]) if hops else client, scheme, server)

    def _customary(
        self,
        fields: dict[bytes, list[str]],
        client: Address | None,
        scheme: str,
        server: ServerAddress | None,
    ) -> Resolved:
        """Read `X-Forwarded-*`. Raises `RequestError` if they contradict each other."""
        hops = _members(fields.get(b"x-forwarded-for", ()))
        at = self._outermost(hops)
        told = _customary_schemes(fields, at, len(hops))
        if len(told) > 1:
            raise RequestError(
                "forwarding headers name both http and https for one request; have each proxy "
                "overwrite or remove what it is sent"
            )
        if server is not None and server[1] is not None:
            server = server[0], _port(fields, at, len(hops), server[1])
        return Resolved(_node(hops[at]) if hops else client, told.pop() if told else scheme, server)

    def _outermost(self, hops: Sequence[str]) -> int:
        """Return the index of the right-most hop that is not trusted; 0 if all are trusted."""
        if self.everyone:
            return 0
        for index in range(len(hops) - 1, 0, -1):
            node = _node(hops[index])
            if node is None or not self.trusts(node[0]):
                return index
        return 0


# ------------------------------------------------------------- addresses


def _node(text: str) -> Address | None:
    """Parse a hop: its address and port (0: none given); None if it is not an address."""
    match = _NODE.fullmatch(text)
    if match is None:
        address, port = ip_address(text), 0
    else:
        address = ip_address(match["four"] if match["six"] is None else match["six"])
        port = int(match["port"] or 0)
    if address is None or port > 0xFFFF:
        return None
    return str(address), port


# ------------------------------------------------------------- fields


def _collect(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    """Return the forwarding fields alone, in order, as text."""
    fields: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in FORWARDING_HEADERS:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return fields


def _members(lines: Sequence[str]) -> list[str]:
    """Return the last members of a list field, over all its lines, without empty ones."""
    members: list[str] = []
    for line in reversed(lines):
        members[:0] = line.rsplit(",", MOST_HOPS)[-MOST_HOPS:]
        if len(members) >= MOST_HOPS:
            break
    return [member for text in members[-MOST_HOPS:] if (member := text.strip(" \t"))]


def _elements(lines: list[str]) -> list[dict[str, str]]:
    """Return the last elements of `Forwarded`, left to right: names in lower case -> values.

    Raises `RequestError` if a quoted string has no end, one of these elements breaks the grammar,
    or a limit is exceeded.
    """
    texts: list[str] = []
    quoted = sum(len(line) for line in lines if '"' in line)
    if quoted > MOST_QUOTED:
        raise RequestError(f"Forwarded has {quoted} bytes; with quotes, {MOST_QUOTED} are read")
    for line in reversed(lines):
        if '"' not in line:
            texts[:0] = line.rsplit(",", MOST_HOPS)[-MOST_HOPS:]
        elif _WELL_QUOTED.fullmatch(line):
            texts[:0] = [text.removesuffix(",") for text in _ELEMENT.findall(line)[-MOST_HOPS:]]
        else:
            raise _malformed(line)
    texts = texts[-MOST_HOPS:]
    if sum(text.count(";") for text in texts) > MOST_PARAMETERS:
        raise RequestError(f"Forwarded has more than {MOST_PARAMETERS} parameters")
    return [element for text in texts if (element := _parse(text))]


def _malformed(line: str) -> RequestError:
    return RequestError(f"Forwarded is {line[:80]!r}, which RFC 7239 §4 does not allow")


def _parse(text: str) -> dict[str, str]:
    """Parse an element of `Forwarded`. Raises `RequestError` if it breaks the grammar.

    Else a client could leave a quoted string open, and hide in it what a proxy appends.
    """
    element: dict[str, str] = {}
    at, end = 0, ";"
    while end:
        match = _PARAMETER.match(text, at)
        name = match["name"].lower() if match and match["name"] else None
        if match is None or name in element:
            raise _malformed(text)
        if name is not None:
            quoted = match["quoted"]
            element[name] = match["token"] if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        at, end = match.end(), match["end"]
    return element


def _at_hop(members: list[str], at: int, hops: int) -> list[str]:
    """Return the member that belongs to hop `at` if there is one for each hop, else all."""
    return [members[at]] if len(members) == hops > 0 else members


def _customary_schemes(fields: dict[bytes, list[str]], at: int, hops: int) -> set[str]:
    protos = _at_hop(_members(fields.get(b"x-forwarded-proto", ())), at, hops)
    flags = _at_hop(_members(fields.get(b"x-forwarded-ssl", ())), at, hops)
    return {_scheme(proto) for proto in protos} | {
        "https" if flag.lower() == "on" else "http" for flag in flags
    }


def _scheme(name: str) -> str:
    scheme = HTTP_SCHEMES.get(name.lower())
    if scheme is None:
        raise RequestError(f"forwarding headers name the scheme {name[:40]!r}, not http or https")
    return scheme


def _port(fields: dict[bytes, list[str]], at: int, hops: int, port: int) -> int:
    """Return the port that the client connected to; if several differ, the innermost proxy's."""
    told = _at_hop(_members(fields.get(b"x-forwarded-port", ())), at, hops)
    if not told:
        return port
    if _PORT.fullmatch(told[-1]) is None or int(told[-1]) > 0xFFFF:
        raise RequestError(f"X-Forwarded-Port is {told[-1][:40]!r}, not a port number")
    return int(told[-1])
