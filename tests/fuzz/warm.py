"""A parser that has read thousands of streams reads the next one as a new parser does (S3).

``python -m tests.fuzz.warm [SECONDS [SEED]]`` looks at new streams for so long. It prints the seed
and, if the two disagree, the number of the stream, its bytes and both readings.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from bridge import accelerator
from bridge.errors import RequestError
from bridge.server.http1.parser import HeadParser
from bridge.server.http1.reader import Reader
from bridge.server.request import Request
from tests.fuzz.kinds import FEW, GREETINGS, NARROW, USUAL, Draw, Limits
from tests.fuzz.streams import make, pieces

Event = tuple[object, ...]
ReadPlain: TypeAlias = Callable[[bytes, int], accelerator.PlainHead | None]

#: What is told of a request; other events have fewer parts.
PARTS: Final = 11
#: Each as often as it stands here.
LIMITS: Final = (USUAL, USUAL, USUAL, USUAL, NARROW, FEW)


class Owner:
    """A connection on which each request is answered at once; notes all that its reader tells it.

    It goes on after a request that asks to close or to upgrade, so that more is read. `takes`: it
    asks for whole bodies first, as a connection does. `forgets`: each head is read, also if it is
    the same as the one before it.
    """

    def __init__(self, parser: HeadParser, *, takes: bool = True, forgets: bool = False) -> None:
        self.reader = Reader(parser, self)
        self.takes = takes
        self.forgets = forgets
        self.events: list[Event] = []
        self.body = b""
        self.ready = True

    def on_request(self, request: Request, head: bytes) -> None:
        self.events.append(parts(request))
        if self.forgets:
            self.reader.forget_head()
        self.ready = not request.length
        if request.length:
            self.body = b""
            whole = self.reader.take_body() if self.takes else None
            if whole is None:
                self.reader.resume()
            else:
                self.on_body(whole, True)

    def on_body(self, data: bytes, last: bool) -> None:
        self.body += data
        if last:
            self.events.append(("body", self.body))
            self.ready = True

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        self.events.append(("fault", error.status, str(error), begin, self.body))
        self.ready = False
        self.reader.stop()

    def talk(self, parts: Iterable[bytes]) -> list[Event]:
        """Everything that is told of these pieces, and what is left of them."""
        for piece in parts:
            self.reader.feed(piece)
            while self.ready and self.reader.resume():
                pass
        if not self.ready:
            self.events.append(("partial body", self.body))
        self.events.append(("left", self.reader.stop()))
        return self.events


def parts(request: Request) -> Event:
    """All that is public of a request; `PARTS` says how many they are."""
    return (
        *(request.method, request.target, tuple(request.headers), request.length),
        *(request.http11, request.close, request.expects_continue, request.upgrade),
        *(request.websocket, request.forwarded, request.fast),
    )


def new_parser(limits: Limits) -> HeadParser:
    """A parser that has read nothing, and that reads by llhttp alone, without the accelerator."""
    parser = HeadParser(limits.line, limits.size, limits.count, limits.field)
    parser.read_plain = None
    return parser


class Comparison:
    """Two readings of each stream: by parsers that are kept, and by new ones.

    `read_plain`: the accelerator's function, if there is one, for every other of those that are
    kept; the new ones are Python's.
    """

    def __init__(self, seed: int, read_plain: ReadPlain | None = None) -> None:
        self.seed = seed
        self.draw = Draw()
        self.warm = [{limits: new_parser(limits) for limits in set(LIMITS)} for _ in range(2)]
        for parser in self.warm[1].values():
            parser.read_plain = read_plain

    def stream(self, number: int) -> bytes:
        """The bytes of stream `number`; also begins its choices."""
        self.draw.begin(self.seed, number)
        return make(self.draw)

    def read(self, number: int) -> list[Event]:
        """Have a warm parser read stream `number`; what it tells."""
        data = self.stream(number)
        limits = self.draw.one(LIMITS)
        return Owner(self.draw.one(self.warm)[limits]).talk([data] if data else [])

    def check(self, number: int, *, in_pieces: bool = False) -> None:
        """Raise `AssertionError` if the readings of stream `number` differ.

        `in_pieces`: cut at random places, and byte by byte, too.
        """
        data, draw = self.stream(number), self.draw
        limits, kept = draw.one(LIMITS), draw.one(self.warm)
        takes = draw.chance() < 0.5
        #: Some come behind other requests on their connection.
        greeting = draw.one(GREETINGS) if draw.chance() < 0.3 else b""
        for cut in self._cuts(data, in_pieces=in_pieces):
            cold = Owner(new_parser(limits), takes=takes, forgets=True).talk(cut)
            warm = Owner(kept[limits], takes=takes)
            if greeting:
                warm.reader.feed(greeting)
                while warm.ready and warm.reader.resume():
                    pass
                assert warm.ready, greeting
                warm.events.clear()
                warm.body = b""
            seen = warm.talk(cut)
            if seen != cold:
                raise AssertionError(
                    f"seed {self.seed}, stream {number}, {limits}, behind {greeting!r}: "
                    f"{cut!r}\nwarm: {seen}\nnew:  {cold}"
                )

    def _cuts(self, data: bytes, *, in_pieces: bool) -> Iterable[list[bytes]]:
        yield [data] if data else []
        if in_pieces:
            yield [*pieces(self.draw, data)]
            yield [data[i : i + 1] for i in range(len(data))]


def main(arguments: list[str]) -> int:
    """Compare for so many seconds. Returns the exit code."""
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if len(arguments) > 1 else secrets.randbelow(1 << 31)
    print(f"streams of seed {seed}, for {seconds:g} seconds", flush=True)
    comparison = Comparison(seed, accelerator.read_head)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            comparison.check(number, in_pieces=number % 10 == 0)
            number += 1
    print(f"{number} streams read alike by parsers that are warm and new")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
