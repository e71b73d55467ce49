"""Which clients are in the share of the new app, and stay there (M20). Pure.

Each client has a place from 0 to 9999. Those whose place is below the share, in hundredths of a
percent, get the new app. So a higher share moves clients from the old app to the new one only, and
a lower one moves them back only. The place comes from one of these:

    cookie          a cookie of ours, with a random place; the default
    cookie:NAME     a cookie of the app's, such as its session
    header:NAME     a field of the request, such as a tenant or an API key
    client          the address; an IPv6 address counts by its /64, which is one household

A place by a cookie or field of the app's, or by the address, is a hash without a key: the same in
each worker, on each machine, and after each restart. Who has none of these gets the old app. With
``client``, all behind one address move together.

Clients that keep no cookies (bots, health checks, curl) have another place in each request: the
share is right for them all the same. All routes use one place, so that a client that is early is
early everywhere, and its way through the site has one side if the shares are equal. The cookie is
no secret: ``bridge_canary=0`` is the way to ask for the new app, ``bridge_canary=9999`` for the
old one, while a share is between 0 and 100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NamedTuple, TypeAlias

from bridge.errors import ConfigError
from bridge.http.headers import is_token
from bridge.types import RawHeaders

Fields: TypeAlias = Iterable[tuple[bytes, bytes]]

PLACES: Final = 10_000
COOKIE: Final = "bridge_canary"
#: How long a browser keeps the cookie: longer than it takes to move a route.
_MAX_AGE: Final = 90 * 86400
_NAME: Final = COOKIE.encode()
_LONGEST: Final = len(str(PLACES - 1))
_SECURE_SCHEMES: Final = frozenset({"https", "wss"})


class Placed(NamedTuple):
    """The place of a client; None: it has none, and gets the old app."""

    place: int | None
    #: Whether the client does not know it yet: the response should have `cookie_field`.
    unknown: bool = False

    def on_new(self, share: float) -> bool:
        """Whether this client gets the new app, with that share in percent."""
        return share >= 100 or (self.place is not None and self.place < share * (PLACES // 100))


@dataclass(frozen=True)
class Stickiness:
    """What tells clients apart: one of the settings above. `ConfigError` for anything else."""

    setting: str = "cookie"

    def __post_init__(self) -> None:
        """Check the setting."""
        kind, colon, name = str(self.setting).partition(":")
        named = kind in ("cookie", "header") and is_token(name.encode("utf-8"))
        if not named and not (kind in ("cookie", "client") and not colon):
            raise ConfigError(
                f"sticky is {self.setting!r}; allowed is cookie (one of ours), cookie:NAME or "
                "header:NAME (of the app's), or client (the address)"
            )

    def place(
        self, headers: Fields, client: Sequence[Any] | None, draw: Callable[[int], int]
    ) -> Placed:
        """Return the place of the client that has sent a request with these fields, from there.

        ``draw(10000)`` picks a place at random, as `random.randrange` does.
        """
        kind, _, name = self.setting.partition(":")
        if kind == "client":
            key = _address(client)
        elif kind == "header":
            wanted = name.lower().encode()
            key = next((value for field, value in headers if field.lower() == wanted), b"")
        elif name:
            key = next(_cookies(headers, name.encode()), b"")
        else:
            known = _known_place(headers)
            return Placed(draw(PLACES), True) if known is None else Placed(known)
        return Placed(place_of(key) if key else None)


def place_of(key: bytes) -> int:
    """Return the place of a client by what tells it from others."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % PLACES


def _known_place(headers: Fields) -> int | None:
    """Return the place in our cookie; None if there is none, or no place is in it."""
    for value in _cookies(headers, _NAME):
        if value.isdigit() and len(value) <= _LONGEST:
            return int(value)
    return None


def _cookies(headers: Fields, wanted: bytes) -> Iterator[bytes]:
    """Yield the values of all cookies of that name, empty ones not."""
    for field, text in headers:
        if wanted in text and field.lower() == b"cookie":
            for pair in text.split(b";"):
                name, _, value = pair.partition(b"=")
                if name.strip() == wanted and (value := value.strip().strip(b'"')):
                    yield value


def _address(client: Any) -> bytes:
    """Return the address of a client, or the network that counts as one; empty if unknown."""
    if not client or not client[0]:
        return b""
    host = str(client[0])
    if ":" not in host:
        return host.encode()
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.encode()
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return address.packed[:8] if mapped is None else str(mapped).encode()
    return host.encode()


# ------------------------------------------------------------- the response


#: What keeps a response out of shared caches.
PRIVATE: Final = (b"cache-control", b"private")


def cookie_field(place: int, scheme: str) -> tuple[bytes, bytes]:
    """Return the field that gives a client its place; `scheme` is that of its request."""
    secure = "; Secure" if scheme in _SECURE_SCHEMES else ""
    value = f"{COOKIE}={place}; Max-Age={_MAX_AGE}; Path=/; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", value.encode("ascii")


def with_cookie(headers: RawHeaders, field: tuple[bytes, bytes]) -> RawHeaders:
    """Return the fields of a response with that of `cookie_field`, if it may have one.

    A response that caches may keep for all clients gets none: a cache would hand one client's place
    to everyone. What the app says nothing of in this respect becomes ``private``, which keeps it
    out of shared caches only.

    No ``Vary: Cookie`` is added. What an app lets caches keep is by its own word the same for all
    clients, whoever made it; with Vary each client would need a copy of its own.
    """
    kept = _is_kept(headers)
    if kept is True:
        return headers
    if kept is False:
        return [*headers, field]
    return [*headers, field, PRIVATE]


def _is_kept(headers: Fields) -> bool | None:
    """Whether shared caches may keep a response; None if the app leaves it to them (RFC 9111 §3).

    A cache also keeps what it must ask about each time (``no-cache``), with its cookies.
    """
    directives: set[bytes] = set()
    expires = b""
    for name, value in headers:
        lower = name.lower()
        if lower == b"cache-control":
            directives.update(part.strip() for part in value.lower().split(b","))
        elif lower == b"expires":
            expires = value.strip()
    if directives & {b"private", b"no-store"}:
        return False
    if not directives and expires:
        return True if len(expires) > 2 else None  # 0 and -1 are in the past
    names = {each.partition(b"=")[0] for each in directives}
    lasts = names & {b"max-age", b"s-maxage"} and not directives & {b"max-age=0", b"s-maxage=0"}
    return True if b"public" in names or (lasts and b"no-cache" not in names) else None
