"""One side of a replay: it is asked a recorded request, and gives a recorded response (M13)."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Sequence
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from bridge.cutover.shadow.records import (
    Fields,
    RecordedRequest,
    RecordedResponse,
    all_of,
    as_fields,
    first,
)
from bridge.cutover.shadow.replay.recording import without_black
from bridge.errors import BridgeError, ConfigError

#: The most of a response's body that is compared.
MOST_BODY: Final = 1024 * 1024
#: Seconds that an answer may take.
PATIENCE: Final = 30.0

#: Fields that are not sent again: they belong to a connection, or ask what only the old app knows.
_NOT_SENT: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "http2-settings", "expect", "content-length",
        "accept-encoding", "host", "if-none-match", "if-modified-since", "if-match",
        "if-unmodified-since", "if-range",
    }
)  # fmt: skip


class Unanswered(BridgeError):
    """A side has not answered; `never`: it could not even be connected to."""

    def __init__(self, message: str, *, never: bool = False) -> None:
        super().__init__(message)
        self.never = never


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect (overrides http.client's)."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Side:
    """The old or the new app, at `url`: ``http://host:port``, ``https://...``, ``unix:/path``.

    `headers` are sent instead of recorded ones of the same names. With `keep_cookies`, cookies that
    it sets come back to it, as to a browser. Raises `ConfigError` for what is no such address.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        *,
        patience: float = PATIENCE,
        keep_cookies: bool = False,
    ) -> None:
        self.name = name
        self.url = url
        self.answered = False
        self._headers = as_fields(headers)
        self._patience = patience
        self._cookies: dict[str, str] | None = {} if keep_cookies else None
        self._base, self._host = "", None
        if not url.startswith("unix:"):
            try:
                place = urlsplit(url)
                good = place.scheme in ("http", "https") and place.hostname and place.port != 0
            except ValueError:
                good = False
            if not good or place.path not in ("", "/") or place.query or place.fragment:
                raise ConfigError(
                    f"{url!r} is no address of an app; allowed are http://host:port, "
                    "https://host and module:attr"
                )
            self._host = place.netloc.rpartition("@")[2]
            self._base = f"{place.scheme}://{self._host}"

    def ask(self, request: RecordedRequest) -> RecordedResponse:
        """Return the response to `request`. Raises `Unanswered`."""
        began = monotonic()
        connection = self._connection()
        try:
            self._connect(connection)
            self._send(connection, request)
            sock = connection.sock
            answer = connection.getresponse()
            body, cut = _read(answer, sock, began + self._patience)
        except TimeoutError:
            raise Unanswered(f"no answer within {self._patience:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(_why(error)) from None
        except ValueError as error:  # a target or a field that HTTP does not allow
            raise Unanswered(f"cannot be sent: {error}") from None
        finally:
            connection.close()
        self.answered = True
        headers = as_fields(answer.getheaders())
        self._take_cookies(headers)
        headers = tuple(
            (name, self._at_home(value, request) if name == "location" else value)
            for name, value in headers
        )
        return RecordedResponse(answer.status, headers, body, cut, monotonic() - began)

    def _connection(self) -> http.client.HTTPConnection:
        if self.url.startswith("unix:"):
            return _UnixConnection(self.url.removeprefix("unix:"), self._patience)
        place = urlsplit(self.url)
        host = place.hostname or ""
        if place.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                host, place.port, timeout=self._patience, context=context
            )
        return http.client.HTTPConnection(host, place.port, timeout=self._patience)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.connect()
        except OSError as error:
            raise Unanswered(_why(error), never=not self.answered) from None

    def _send(self, connection: http.client.HTTPConnection, request: RecordedRequest) -> None:
        connection.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self._fields(request):
            connection.putheader(name, value.encode("latin-1", "replace"))
        if request.body or request.method not in ("GET", "HEAD", "OPTIONS"):
            connection.putheader("content-length", str(len(request.body)))
        connection.putheader("connection", "close")
        connection.endheaders(request.body or None)

    def _fields(self, request: RecordedRequest) -> Fields:
        """Return the fields that are sent: the recorded ones, and ours in their place."""
        codings = first(request.headers, "accept-encoding") or ""
        ours = {name for name, _ in self._headers}
        host = self._host or first(request.headers, "host") or "localhost"
        fields = [("host", host)] if "host" not in ours else []
        if "gzip" in codings and "accept-encoding" not in ours:
            fields.append(("accept-encoding", "gzip, deflate"))  # what we can read
        for name, value in without_black(request.headers):
            if name not in _NOT_SENT and name not in ours and name != "cookie":
                fields.append((name, value))
        fields += [pair for pair in self._headers if pair[0] != "cookie"]
        cookie = self._cookie(request, ours)
        return (*fields, ("cookie", cookie)) if cookie else tuple(fields)

    def _cookie(self, request: RecordedRequest, ours: set[str]) -> str:
        source = self._headers if "cookie" in ours else without_black(request.headers)
        pairs = {
            pair.partition("=")[0].strip(): pair.strip()
            for value in all_of(source, "cookie")
            for pair in value.split(";")
        }
        pairs |= {name: f"{name}={value}" for name, value in (self._cookies or {}).items()}
        return "; ".join(filter(None, pairs.values()))

    def _take_cookies(self, headers: Fields) -> None:
        if self._cookies is None:
            return
        for value in all_of(headers, "set-cookie"):
            pair, *attributes = value.split(";")
            name, _, content = (part.strip() for part in pair.partition("="))
            given = {each.strip().lower() for each in attributes}
            if not content or given & {"max-age=0", "max-age=-1"}:
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = content

    def _at_home(self, location: str, request: RecordedRequest) -> str:
        """Return a Location as if this side were where the request was recorded."""
        try:
            place = urlsplit(location)
        except ValueError:  # such as http://[
            return location
        if self._base and f"{place.scheme}://{place.netloc}" == self._base:
            home = urlsplit(request.base)
            return place._replace(scheme=home.scheme, netloc=home.netloc).geturl()
        return location


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read(
    answer: http.client.HTTPResponse, sock: socket.socket | None, end: float
) -> tuple[bytes, bool]:
    """Return the body, or its beginning and that it is cut. Raises `TimeoutError` after `end`."""
    parts: list[bytes] = []
    room = MOST_BODY
    while room > 0:
        left = end - monotonic()
        if left <= 0:
            raise TimeoutError
        if sock is not None and sock.fileno() >= 0:
            sock.settimeout(left)
        part = answer.read1(min(room, 65536))
        if not part:
            if answer.length:  # fewer bytes than were promised
                raise http.client.IncompleteRead(b"", answer.length)
            return b"".join(parts), False
        parts.append(part)
        room -= len(part)
    return b"".join(parts), bool(answer.read1(1))
