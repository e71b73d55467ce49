"""Formats of the access log, compiled to expressions (S50).

A format is compiled once, into one expression that computes only the atoms in it:
`%(h)s "%(r)s"` becomes ``lambda r: f'{host(r)}{k0}{request_line(r)}{k1}'``.

What clients choose (target, fields, user) is escaped, so that a line is always one line, and a
quoted part always ends at its quote: control characters, quotes, backslashes and everything
beyond ASCII appear as ``\\x22``. Targets are logged as they were sent, percent-encoded.

    h  client's address        t  time, [22/Nov/2026:15:24:54 +0000]     T  seconds taken
    l  -                       r  request line                           M  milliseconds
    u  user of Basic auth      m  method       U  path     q  query      D  microseconds
    s  status                  H  protocol     f  Referer  a  User-Agent  L  seconds, as 0.000123
    B  bytes of body           b  the same, - for none                   p  process id, <123>
    {x}i  request field        {x}o  response field                      {x}e  CGI variable
"""

from __future__ import annotations

import binascii
import os
import re
import time
from collections.abc import Callable
from importlib import import_module
from typing import Final, Protocol, TypeVar

from bridge.caches import Memo, always
from bridge.errors import ConfigError
from bridge.http.status import reason_phrase
from bridge.server.logs.loggers import coloured_status
from bridge.server.logs.served import Served
from bridge.types import Address, RawHeaders

Key = TypeVar("Key")


class RequestPart(Protocol):
    """A request, from its head."""

    @property
    def method(self) -> str:
        """The method."""

    @property
    def target(self) -> bytes:
        """The request target as it was sent, percent-encoded."""

    @property
    def http11(self) -> bool:
        """True for HTTP/1.1, False for HTTP/1.0."""

    @property
    def headers(self) -> RawHeaders:
        """The request fields, their names in lower case."""

    @property
    def client(self) -> Address | None:
        """The client that a trusted proxy has named; None if there is none."""


class IdentityPart(Protocol):
    """The addresses of a connection."""

    @property
    def client(self) -> Address | None:
        """Address and port of the peer; None if it is a Unix socket."""


class ConnectionPart(Protocol):
    """The connection of a request."""

    @property
    def identity(self) -> IdentityPart:
        """Its addresses."""


class Record(Protocol):
    """What a line may contain; an exchange that is over is a record.

    `started` is the time of the request by `time.perf_counter`, read only if the format
    `uses_duration`; `response_headers` is read only if it has ``{x}o``.
    """

    status: int
    started: float
    served: Served

    @property
    def sent(self) -> int:
        """Bytes of body."""

    @property
    def request(self) -> RequestPart:
        """The request."""

    @property
    def connection(self) -> ConnectionPart:
        """The connection of the request."""

    @property
    def response_headers(self) -> RawHeaders:
        """The fields of the response."""


# ------------------------------------------------------------- formats

#: The formats that have names. Atoms in them that are not Gunicorn's work only in these formats.
FORMATS: Final = {
    "default": '%(peer)s - "%(r)s" %(status_text)s',
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
    "json": (
        '{"time": "%(utc)s", "client": %(client)s, "method": "%(m)s", "target": %(target)s, '
        '"protocol": "%(H)s", "status": %(s)s, "bytes": %(B)s, "duration": %(duration)s, '
        '"host": %(host)s, "referer": %(referer)s, "user_agent": %(user_agent)s}'
    ),
}

#: Atom -> expression over the record `r`, with names of this module.
_ATOMS: Final = {
    "h": "_client(r)[0]",
    "l": "'-'",
    "u": "_user(r.request.headers)",
    "t": "_local_time()",
    "r": "r.request.method} {_TARGETS[r.request.target]} "
    "HTTP/{'1.1' if r.request.http11 else '1.0'",
    "m": "r.request.method",
    "U": "_clean(r.request.target.partition(b'?')[0])",
    "q": "_clean(r.request.target.partition(b'?')[2])",
    "H": "'HTTP/1.1' if r.request.http11 else 'HTTP/1.0'",
    "s": "r.status",
    "B": "r.sent",
    "b": "r.sent or '-'",
    "f": "_field(r.request.headers, b'referer')",
    "a": "_field(r.request.headers, b'user-agent')",
    "T": "int(_duration(r))",
    "M": "int(_duration(r) * 1e3)",
    "D": "int(_duration(r) * 1e6)",
    "L": "format(_duration(r), '.6f')",
    "p": "_process()",
    # Behind a `Cutover`: the route of the request, and who answered, `old` or `new`.
    "route": "r.served.route",
    "side": "r.served.side",
}
_OWN_ATOMS: Final = {
    "peer": "_PEERS[r.request.client or r.connection.identity.client or _NOBODY]",
    "status_text": "_STATUS_TEXTS[r.status]",
    "utc": "_utc()",
    "client": "_quoted(_client(r)[0])",
    "target": "_quoted(str(r.request.target, 'latin-1'))",
    "duration": "format(_duration(r), '.6f')",
    "host": "_json_field(_quoted, r.request.headers, b'host')",
    "referer": "_json_field(_quoted, r.request.headers, b'referer')",
    "user_agent": "_json_field(_quoted, r.request.headers, b'user-agent')",
}
#: Atoms with a name in braces; `n` is the name, in lower case.
_NAMED: Final = {
    "i": "_field(r.request.headers, {n})",
    "o": "_field([(key.lower(), value) for key, value in r.response_headers], {n})",
}
#: CGI variables for ``{x}e`` that do not follow from a field.
_VARIABLES: Final = {
    "REMOTE_ADDR": _ATOMS["h"],
    "REMOTE_PORT": "_client(r)[1]",
    "REMOTE_USER": _ATOMS["u"],
    "REQUEST_METHOD": _ATOMS["m"],
    "SERVER_PROTOCOL": _ATOMS["H"],
    "QUERY_STRING": _ATOMS["q"],
    "REQUEST_URI": "_clean(r.request.target)",
    "RAW_URI": "_clean(r.request.target)",
    "CONTENT_TYPE": "_field(r.request.headers, b'content-type')",
    "CONTENT_LENGTH": "_field(r.request.headers, b'content-length')",
}
_ATOM: Final = re.compile(r"%\((?:(?P<atom>\w+)|\{(?P<name>[^}]+)\}(?P<kind>[ioe]))\)s|%%|%")


def uses_duration(template: str) -> bool:
    """Whether lines contain the duration of requests, for which `Record.started` is needed."""
    return any(f"%({atom})s" in template for atom in ("T", "M", "D", "L", "duration"))


def compile_format(template: str, *, colour: bool = False) -> Callable[[Record], str]:
    """Make a function from a record to its line. Raises `ConfigError` for an unknown atom."""
    own = template in FORMATS.values()
    if not own and "%" not in template:
        raise ConfigError(
            f"access_log_format is {template!r}; give {', '.join(FORMATS)}, or a format such as "
            f"{FORMATS['combined']!r}"
        )
    atoms = _ATOMS | _OWN_ATOMS if own else _ATOMS
    names: dict[str, object] = dict(globals())
    if colour:
        names["_STATUS_TEXTS"] = _COLOURED_STATUS_TEXTS
    if template == FORMATS["json"]:
        # Only imported for this format: 0.5 MB.
        names["_quoted"] = import_module("json.encoder").encode_basestring_ascii

    def constant(value: object) -> str:
        name = f"k{len(names)}"
        names[name] = value
        return name

    parts = []
    at = 0
    for match in _ATOM.finditer(template):
        parts.append(constant(template[at : match.start()]))
        parts.append(_expression(match, atoms, constant))
        at = match.end()
    parts.append(constant(template[at:]))
    # Safe: only expressions of our tables get here; text and names of fields are constants.
    source = "".join(f"{{{part}}}" for part in parts if names.get(part) != "")
    line: Callable[[Record], str] = eval(f'lambda r: f"""{source}"""', names)
    return line


def _expression(
    match: re.Match[str], atoms: dict[str, str], constant: Callable[[object], str]
) -> str:
    """Return the expression for one atom of a format."""
    if match[0] == "%%":
        return "'%'"
    name, kind = match["name"], match["kind"]
    if name is None:
        expression = atoms.get(match["atom"] or "")
        if expression is None:
            raise ConfigError(
                f"access_log_format has {match[0]!r}, which is no atom; there are "
                f"{', '.join(f'%({atom})s' for atom in _ATOMS)}, %({{name}}i)s, %({{name}}o)s, "
                "%({name}e)s, and %% for a percent sign"
            )
        return expression
    if kind == "e":
        if not name.startswith("HTTP_"):
            return _VARIABLES.get(name, "'-'")
        name, kind = name[5:].replace("_", "-"), "i"
    return _NAMED[kind].format(n=constant(name.lower().encode("latin-1", "replace")))


# ------------------------------------------------------------- functions in the expressions

_PLAIN: Final = bytes(code for code in range(0x20, 0x7F) if code not in b'"\\')
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in range(256) if code not in _PLAIN}


def _clean(value: bytes) -> str:
    """Escape `value`, so that it can end neither its line nor its quotes."""
    text = str(value, "latin-1")
    if '"' not in text and "\\" not in text and text.isascii() and text.isprintable():
        return text
    return text.translate(_ESCAPES)


_NOBODY: Final = ("-", 0)


def _client(record: Record) -> Address:
    return record.request.client or record.connection.identity.client or _NOBODY


def _duration(record: Record) -> float:
    """Return the seconds since the request began."""
    return max(0.0, time.perf_counter() - record.started)  # two clocks, a few microseconds apart


def _process() -> str:
    return f"<{os.getpid()}>"


def _find(headers: RawHeaders, name: bytes) -> bytes | None:
    for key, value in headers:
        if key == name:
            return value
    return None


def _field(headers: RawHeaders, name: bytes) -> str:
    value = _find(headers, name)
    return _clean(value) if value else "-"


def _json_field(quoted: Callable[[str], str], headers: RawHeaders, name: bytes) -> str:
    value = _find(headers, name)
    return "null" if value is None else quoted(str(value, "latin-1"))


def _user(headers: RawHeaders) -> str:
    """Return the user of Basic authentication (RFC 7617 §2); the password is not checked."""
    scheme, _, token = (_find(headers, b"authorization") or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return "-"
    try:
        user = binascii.a2b_base64(token.strip(), strict_mode=True).partition(b":")[0]
    except binascii.Error:
        return "-"
    return _clean(user) or "-"


def _is_short(_: object, text: str) -> bool:
    return len(text) <= 256


def _status_text(status: int) -> str:
    return f"{status} {reason_phrase(status)}"


#: Status -> ``200 OK``; peer -> ``192.0.2.7:51234``; target -> escaped text.
_STATUS_TEXTS: Final = Memo(_status_text, always)
_COLOURED_STATUS_TEXTS: Final = Memo[int, str](
    lambda status: coloured_status(status, _status_text(status)), always
)
_PEERS: Final = Memo[Address, str](
    lambda peer: "unix" if peer is _NOBODY else f"{peer[0]}:{peer[1]}", _is_short
)
_TARGETS: Final = Memo(_clean, _is_short)


# ------------------------------------------------------------- time

_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


class _Clock:
    """The current time as text, formatted once a second."""

    def __init__(self, text: Callable[[int], str]) -> None:
        self._text = text
        self._cached: tuple[int, str] = (0, "")

    def __call__(self, now: float) -> str:
        second, text = self._cached
        if second != int(now):
            second, text = self._cached = int(now), self._text(int(now))
        return text


def _apache(now: int) -> str:
    local = time.localtime(now)
    month = _MONTHS[3 * local.tm_mon - 3 : 3 * local.tm_mon]  # %b depends on the locale
    return time.strftime(f"[%d/{month}/%Y:%H:%M:%S %z]", local)


_LOCAL: Final = _Clock(_apache)
_UTC: Final = _Clock(lambda now: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)))


def _local_time() -> str:
    return _LOCAL(time.time())


def _utc() -> str:
    now = time.time()
    return f"{_UTC(now)}.{int(now % 1 * 1000):03d}Z"
