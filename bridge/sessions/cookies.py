"""Session cookies: where a scope has one, and how a response gets one (M40).

All of this is pure. A cookie that comes in is never an error, whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote

from bridge.errors import ConfigError
from bridge.http.headers import has_controls, is_token, list_members
from bridge.log import logger
from bridge.types import Message, RawHeaders, Scope

#: Messages that begin a response, and can take a cookie to the client.
OPENING: Final = frozenset(
    {"http.response.start", "websocket.http.response.start", "websocket.accept"}
)
#: What has a session. A lifespan has none.
WITH_SESSION: Final = frozenset({"http", "websocket"})

#: Browsers keep no cookie that is larger, and say nothing (RFC 6265 §6.1; Werkzeug warns here).
MAX_SIZE: Final = 4093

# ------------------------------------------------------------- what comes in


def cookie_text(scope: Scope) -> str:
    """Return the Cookie fields of a scope as one text. What is no UTF-8 becomes U+FFFD."""
    fields = [value for name, value in scope["headers"] if name == b"cookie"]
    return b"; ".join(fields).decode("utf-8", "replace")


#: One cookie as Werkzeug reads it: a name, and a token or a quoted text. Nothing that was taken is
#: given back (``++``, ``*+``): thousands of spaces would be tried in each way to divide them.
_COOKIE = re.compile(
    r'[ \t]*+([^ \t=";]++)(?:[ \t]*+=[ \t]*+("(?:[^\\"]|\\.)*+"|[^ \t";]*+))?[ \t]*+(?:;|\Z)',
    re.ASCII,
)
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2}|.)")


def first_cookie(text: str, name: str) -> str:
    """Return the value of the first cookie called `name`, as Flask does; empty if there is none."""
    at = 0
    while True:
        found = _COOKIE.match(text, at)
        if found is None:
            at = text.find(";", at) + 1
            if not at:
                return ""
        elif found[1] == name:
            return _unquoted(found[2] or "")
        else:
            at = found.end()


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(_unescape, value[1:-1].encode()).decode("utf-8", "replace")


def _unescape(found: re.Match[bytes]) -> bytes:
    text = found[1]
    return text if len(text) == 1 else int(text, 8).to_bytes(1, "big")


# ------------------------------------------------------------- what goes out


@dataclass(frozen=True, kw_only=True)
class Cookie:
    """The name and the attributes of a session cookie, written as Werkzeug writes them.

    Raises `ConfigError` for what would make no cookie, or another one than was meant.
    """

    name: str
    domain: str | None = None
    path: str = "/"
    secure: bool = False
    httponly: bool = True
    samesite: str | None = None
    partitioned: bool = False

    def __post_init__(self) -> None:
        if not is_token(str(self.name).encode()):
            raise ConfigError(
                f"session_cookie_name is {self.name!r}; a cookie's name has letters, digits "
                "and -_.!#$%&'*+^`|~ only"
            )
        for what in ("domain", "path"):
            value = getattr(self, what)
            if value and (";" in value or has_controls(value.encode())):
                raise ConfigError(
                    f"session_cookie_{what} is {value!r}; it has a semicolon or a control character"
                )
        if self.samesite is not None and str(self.samesite).lower() not in _SAME_SITE:
            raise ConfigError(
                f"session_cookie_samesite is {self.samesite!r}; allowed are 'Lax', 'Strict', "
                "'None', and None for no such attribute"
            )

    def keep(self, value: str, expires: datetime | None) -> bytes:
        """Return the Set-Cookie value that has the client keep `value`, for a time or not."""
        return self._dump(value, None if expires is None else http_date(expires))

    def delete(self) -> bytes:
        """Return the Set-Cookie value that has the client forget the cookie."""
        return self._dump("", "Thu, 01 Jan 1970 00:00:00 GMT", max_age=0)

    def _dump(self, value: str, expires: str | None, max_age: int | None = None) -> bytes:
        attributes = (
            ("Domain", _domain(self.domain)),
            ("Expires", expires),
            ("Max-Age", max_age),
            ("Secure", self.secure or self.partitioned),
            ("HttpOnly", self.httponly),
            ("Path", quote(self.path, safe="%!$&'()*+,/:=@")),
            ("SameSite", None if self.samesite is None else str(self.samesite).title()),
            ("Partitioned", self.partitioned),
        )
        parts = [f"{self.name}={value}"]
        for name, text in attributes:
            if text is not None and text is not False:
                parts.append(name if text is True else f"{name}={text}")
        return "; ".join(parts).encode("ascii")


_SAME_SITE: Final = ("strict", "lax", "none")


def _domain(domain: str | None) -> str | None:
    if not domain:
        return None
    return domain.partition(":")[0].lstrip(".").encode("idna").decode("ascii")


def http_date(time: datetime) -> str:
    """Return a time as in HTTP (RFC 9110 §5.6.7); one without a zone is taken for UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return format_datetime(time.astimezone(UTC), usegmt=True)


def with_fields(message: Message, cookies: Iterable[bytes], vary: bool) -> Message:
    """Return the message that begins a response with more Set-Cookie fields, and Vary: Cookie.

    A handshake that succeeds has no Vary: nothing keeps it.
    """
    headers: RawHeaders = [(bytes(name), bytes(value)) for name, value in _headers(message)]
    headers += [(b"set-cookie", cookie) for cookie in cookies]
    if vary and message["type"] != "websocket.accept":
        headers = vary_on_cookie(headers)
    return {**message, "headers": headers}


def sets_cookie(message: Message, name: str) -> bool:
    """Whether the message that begins a response sets or deletes the cookie called `name`."""
    cookies = (value for field, value in _headers(message) if bytes(field).lower() == b"set-cookie")
    return any(bytes(each).partition(b"=")[0].strip() == name.encode("ascii") for each in cookies)


def _headers(message: Message) -> Iterable[Any]:
    return message.get("headers") or ()


def vary_on_cookie(headers: RawHeaders) -> RawHeaders:
    """Return `headers` with ``Cookie`` in their Vary field."""
    found = [at for at, (name, _) in enumerate(headers) if name.lower() == b"vary"]
    known = [member for at in found for member in list_members(headers[at][1])]
    if b"cookie" in known or b"*" in known:
        return headers
    if not found:
        return [*headers, (b"vary", b"Cookie")]
    changed = list(headers)
    name, value = changed[found[-1]]
    changed[found[-1]] = (name, b", ".join(filter(None, [value, b"Cookie"])))
    return changed


def warn_if_large(name: str, cookie: bytes) -> None:
    """Tell the log that browsers will not keep a cookie."""
    if len(cookie) > MAX_SIZE:
        logger.warning(
            "the session cookie %s has %d bytes; browsers keep none above %d, and say nothing",
            name, len(cookie), MAX_SIZE,
        )  # fmt: skip
