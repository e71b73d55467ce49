"""A request and a response as data: what is compared, recorded, replayed and reported (M11, M13).

Names of fields are in lower case; names and values are text in ISO-8859-1, one character for each
byte, so that nothing is lost. Bodies are bytes, cut where `truncated` says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from bridge.types import RawHeaders, Scope

Fields: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request; `path` and `query` are percent-encoded, as they were sent.

    `truncated`: `body` is only its beginning.
    """

    method: str
    path: str
    query: str = ""
    headers: Fields = ()
    body: bytes = b""
    truncated: bool = False
    scheme: str = "http"

    @property
    def target(self) -> str:
        """Path and query, as in a request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def base(self) -> str:
        """Scheme and host, such as ``https://shop.example``."""
        return f"{self.scheme}://{first(self.headers, 'host') or 'localhost'}"


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """One response; `seconds` is how long it took.

    `truncated`: `body` is only its beginning. `error` says why there is no response: the app has
    raised, or nobody answered; then `status` is 0.
    """

    status: int
    headers: Fields = ()
    body: bytes = b""
    truncated: bool = False
    seconds: float = 0.0
    error: str | None = None


def fields_from(headers: RawHeaders) -> Fields:
    """Return ASGI's fields, pairs of bytes, as those of a record."""
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers
    )


def request_from_scope(scope: Scope) -> RecordedRequest:
    """Return the request of an ASGI scope, without its body."""
    raw_path = scope.get("raw_path")
    path = quote(scope["path"]) if raw_path is None else raw_path.decode("latin-1")
    return RecordedRequest(
        scope["method"],
        path,
        scope.get("query_string", b"").decode("latin-1"),
        fields_from(scope["headers"]),
        scheme=scope.get("scheme", "http"),
    )


def first(headers: Fields, name: str) -> str | None:
    """Return the value of the first field called `name`; None: there is none."""
    return next((value for known, value in headers if known == name), None)


def all_of(headers: Fields, name: str) -> list[str]:
    """Return the values of all fields called `name`."""
    return [value for known, value in headers if known == name]


def as_fields(pairs: Iterable[tuple[str, str]]) -> Fields:
    """Return `pairs` of texts as fields, their names in lower case."""
    return tuple((name.lower(), value) for name, value in pairs)
