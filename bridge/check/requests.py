"""What is sent to an app: nothing that could change data, unless its path was given for that. Pure.

GET, HEAD and OPTIONS are for reading (RFC 9110, "Safe Methods"). A POST goes to paths that were
given as *unsafe*, and to one path that cannot exist: only if the app has said before, by a 404 or
405, that nothing is there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from bridge.types import Scope

#: The answers that say that nothing is at a path.
NOTHING_THERE: Final = frozenset({404, 405})
#: Bytes of the large body.
LARGE: Final = 1024 * 1024

_FORM: Final = b"name=check&text=a+few+words"
_JSON: Final = json.dumps({"name": "check", "numbers": [1, 2, 3]}).encode()


@dataclass(frozen=True)
class Request:
    """One request. `about` says what is special; `chunked`: its body comes without a length."""

    method: str
    path: str
    about: str = ""
    body: bytes = b""
    content_type: str = ""
    chunked: bool = False
    #: The client leaves: when it has the first piece, or in the middle of its own body.
    leaves: bool = False
    #: Fields that the user has given, names in lower case.
    fields: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" ({self.about})" if self.about else "")

    @property
    def where(self) -> str:
        """Method and path alone."""
        return f"{self.method} {self.path}"

    def scope(self, root_path: str = "") -> Scope:
        """Return its ASGI scope."""
        path, _, query = self.path.partition("?")
        headers = {"host": "localhost", "accept": "*/*", "user-agent": "asgi-bridge-check"}
        if self.content_type:
            headers["content-type"] = self.content_type
        if self.chunked:
            headers["transfer-encoding"] = "chunked"
        elif self.body:
            headers["content-length"] = str(len(self.body))
        headers.update(self.fields)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": root_path + path,
            "raw_path": (root_path + path).encode("ascii", "replace"),
            "query_string": query.encode("ascii", "replace"),
            "root_path": root_path,
            "headers": [
                (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }


Fields: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Options:
    """What the user allows: paths to read, and to POST to; fields to send; seconds to wait."""

    paths: tuple[str, ...] = ("/",)
    unsafe: tuple[str, ...] = ()
    fields: Fields = ()
    seconds: float = 5.0
    threads: int = 8
    verbose: bool = False
    #: Whether the process may be patched for a trial of ``greenlet --patch``.
    patches: bool = False
    missing: str = field(default_factory=lambda: f"/bridge-check-{secrets.token_hex(6)}")


def reading(paths: Sequence[str], missing: str, fields: Fields = ()) -> Iterator[Request]:
    """Yield requests that only read: of each path, and one of the path that cannot exist."""
    for path in paths:
        yield Request("GET", path, fields=fields)
        yield Request("GET", path, "again", fields=fields)
        yield Request("HEAD", path, fields=fields)
        yield Request("OPTIONS", path, fields=fields)
        yield Request("GET", path, "and leave", leaves=True, fields=fields)
    yield Request("GET", missing, fields=fields)


def posting(path: str, fields: Fields = (), *, there: bool) -> Iterator[Request]:
    """Yield POSTs of bodies of all kinds; only if something is `there`, one that breaks off."""
    form = "application/x-www-form-urlencoded"
    yield Request("POST", path, "form", _FORM, form, fields=fields)
    yield Request("POST", path, "JSON", _JSON, "application/json", fields=fields)
    yield Request("POST", path, "chunks", _JSON, "application/json", chunked=True, fields=fields)
    yield Request("POST", path, "1 MiB", bytes(LARGE), "application/octet-stream", fields=fields)
    if there:
        yield Request("POST", path, "and leave", _JSON, "application/json", False, True, fields)


def summary(sent: Sequence[Request], missing: str) -> str:
    """Return what was sent, for people: ``GET, HEAD, OPTIONS /; GET /none``."""
    methods: dict[str, dict[str, int]] = {}
    for each in sent:
        counts = methods.setdefault(each.path, {})
        counts[each.method] = counts.get(each.method, 0) + 1
    return "; ".join(
        ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
        + f" {path}"
        + (" (a path that cannot exist)" if path.rstrip("/") == missing else "")
        for path, counts in methods.items()
    )
