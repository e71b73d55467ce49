"""The mixture: what 64 clients ask, on the mounts that a server has."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.load.deploys.clients import Ask, Board, Client
from bench.load.deploys.sockets import SocketClient

MEGABYTE = 1_000_000
#: Bodies that are made beforehand, and the sizes of the chunks that one is sent in.
BODIES = 16
CHUNKS = (1, 100, 4_096, 65_536, 200_000)
#: Events come each 250 ms.
EVENTS_PER_SECOND = 4

HEAD = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n"


def _get(path: str) -> Ask:
    """GET; the answer is the path's last two words."""
    kind = path.rpartition("/")[2].encode()
    start = f"GET {path}/".encode()

    def ask(number: int) -> tuple[bytes, bytes]:
        return (
            b"%s%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (start, number),
            b"%s %d" % (kind, number),
        )

    return ask


def _events(path: str, count: int) -> Ask:
    """A stream of `count` events."""

    def ask(number: int) -> tuple[bytes, bytes]:
        target = b"%s/%d/%d" % (path.encode(), number, count)
        wanted = b"".join(b"data: %d of %d/%d\n\n" % (at, number, count) for at in range(count))
        return HEAD % (b"GET", target, b""), wanted

    return ask


def _uploads(path: str, chunked: bool) -> Ask:
    """Uploads of 1 MB, of a known length or in chunks; their digest is the answer."""
    bodies = [random.randbytes(MEGABYTE) for _ in range(BODIES)]
    digests = [hashlib.sha256(body).hexdigest().encode() for body in bodies]
    length = b"Content-Length: %d\r\n" % MEGABYTE
    if chunked:
        bodies, length = [_in_chunks(body) for body in bodies], b"Transfer-Encoding: chunked\r\n"

    def ask(number: int) -> tuple[bytes, bytes]:
        at = number % BODIES
        head = HEAD % (b"POST", b"%s/%d" % (path.encode(), number), length)
        return head + bodies[at], b"upload %d %s" % (number, digests[at])

    return ask


def _in_chunks(body: bytes) -> bytes:
    chunks = []
    while body:
        size = random.choice(CHUNKS)
        piece, body = body[:size], body[size:]
        chunks.append(b"%x\r\n%s\r\n" % (len(piece), piece))
    return b"".join(chunks) + b"0\r\n\r\n"


@dataclass(frozen=True)
class Mixture:
    """What is asked: at the mounts `asgi` and `wsgi` (None: there is none), by how many clients.

    `pace`: the longest pause of the fast ones, in seconds; 0: they ask as fast as they can.
    `stream`: seconds of the longest event stream; others last one second, or two. `tls`: the
    connections are encrypted; nobody looks at the certificate.
    """

    asgi: str | None = None
    wsgi: str | None = None
    clients: int = 64
    pace: float = 0
    stream: int = 7
    tls: bool = False


def join(board: Board, mixture: Mixture) -> None:
    """Have all of them ask."""
    asgi, wsgi, clients = mixture.asgi, mixture.wsgi, mixture.clients
    mounts = [mount for mount in (asgi, wsgi) if mount is not None]

    def client(what: str, make: Callable[[str], Ask], pause: float, most: int = 0) -> None:
        number = sum(1 for each in board.clients if each.what == what)
        mount = mounts[number % len(mounts)]
        Client(board, what, make(f"{mount}/{what}"), pause, most)

    share = clients / 64
    for _ in range(round(8 * share)):
        client("slow", _get, 0)
    for number in range(round(6 * share) or 1):
        client("upload", lambda path, n=number: _uploads(path, chunked=n % 4 > 1), 0.3)
    streams = [EVENTS_PER_SECOND * seconds for seconds in (1, 2, mixture.stream)]
    for number in range(round(6 * share) or 1):
        count = streams[number // 2 % len(streams)]
        client("events", lambda path, n=count: _events(path, n), 0.002 * (number % 2))
    if asgi is not None:
        for _ in range(round(8 * share) or 1):
            SocketClient(board, f"{asgi}/echo", 0.05)
    for number in range(clients - len(board.clients)):
        #: Of eight, one is idle now and then, and one comes on a new connection now and then.
        pause = 2.0 if number % 8 == 7 else mixture.pace
        client("fast", _get, pause, most=20 if number % 8 == 6 else 0)
