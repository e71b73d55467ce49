"""What is asked, and the check that a server gives the right answer before it is loaded."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from bench.peers.processes import Failed


@dataclass(frozen=True)
class Request:
    """A GET of `path`, or a POST of `upload` bytes of ``x``; the body that must come back.

    `browser`: under load each request has a head as browsers send it, 12 fields in 700 bytes, and
    its path, query, Referer, cookie and id are new. Its path begins with `path`. `connections`: so
    many ask at the same time.
    """

    path: str = "/"
    upload: int = 0
    answer: bytes = b"Hello, world!"
    browser: bool = False
    connections: int = 64

    @property
    def first_path(self) -> str:
        """A path that is asked for."""
        return f"{self.path}1" if self.browser else self.path


def check(port: int, request: Request) -> None:
    """Ask twice on one connection, and raise ``Failed`` unless both answers are exact."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(2):
            _check_one(connection, request)
            if connection.sock is None:
                raise Failed("the connection was not kept alive")
    except http.client.HTTPException as error:
        raise Failed(f"no whole answer to the check: {error!r}") from error
    finally:
        connection.close()


def _check_one(connection: http.client.HTTPConnection, request: Request) -> None:
    if request.upload:
        connection.request("POST", request.path, b"x" * request.upload)
    else:
        connection.request("GET", request.first_path)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise Failed(f"answered {response.status}: {body[:80]!r}")
    if body != request.answer:
        raise Failed(f"answered {len(body)} bytes, {body[:40]!r}..., not the expected body")
