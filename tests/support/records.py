"""An exchange that is over, as far as the access log looks at it."""

from __future__ import annotations

import time

from bridge.server.logs.served import BY_THE_APP


class Request:
    method = "GET"
    target = b"/a%20b?x=1"
    http11 = True
    client: tuple[str, int] | None = None

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = headers


class Identity:
    client: tuple[str, int] | None = ("192.0.2.7", 51234)


class Connection:
    """The connection that the request came by."""

    def __init__(self) -> None:
        self.identity = Identity()


class Record:
    """An exchange that is over, as far as the log looks at it."""

    status = 200
    sent = 13
    served = BY_THE_APP

    def __init__(self, *headers: tuple[bytes, bytes], took: float = 0.0) -> None:
        self.request = Request(list(headers))
        self.connection = Connection()
        self.started = time.perf_counter() - took
        self.response_headers = [(b"Content-Type", b"text/html"), (b"x-note", b'say "hi"\n')]
