"""Coverage-guided fuzzing of what reads bytes from strangers (S3): run by ``scripts/fuzz``.

Each run of bytes is read twice, whole and in pieces that it chooses itself; the two must agree,
and nothing but `RequestError` may come out. A whole head is read by the accelerator if it can be,
pieces by Python alone. libFuzzer keeps what reaches new code.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bridge"]):
    from bridge.errors import RequestError
    from bridge.server.http1.chunked import ChunkedBody
    from bridge.server.http1.parser import HeadParser
    from bridge.server.proxy.forwarded import Forwarded
    from bridge.server.proxy.proxy_protocol import ProxyHeader

from tests.support.corpus import cases

#: Python alone, and with the accelerator, if it is compiled.
HEADS, ACCELERATED = HeadParser(256, 1024, 10), HeadParser(256, 1024, 10)
HEADS.read_plain = None
FORWARDED = Forwarded("127.0.0.1,::1")
#: Where libFuzzer leaves the bytes of a finding.
KEEP = "-artifact_prefix=.venv-fuzz/"


def read_head(pieces: list[bytes]) -> object:
    """What a connection's first head comes to, looked at as the protocol object does."""
    buffer, looked = b"", 0
    heads = ACCELERATED if len(pieces) == 1 else HEADS
    for piece in pieces:
        buffer += piece
        end = buffer.find(b"\r\n\r\n", looked)
        try:
            if end < 0:
                heads.check_partial(buffer, looked)
                looked = max(len(buffer) - 3, 0)
                continue
            head = heads.parse(buffer[: end + 4])
        except RequestError as error:
            first = heads.first_error(buffer[: end + 4]) if end >= 0 else None
            return (first or error).status
        resolve(head.headers)
        return head.method, head.target, tuple(head.headers), head.length, head.close
    return "not whole"


def resolve(headers: list[tuple[bytes, bytes]]) -> None:
    """Read what proxies say, as for a trusted peer."""
    try:
        FORWARDED.resolve(headers, ("127.0.0.1", 1), "http", ("::1", 2))
    except RequestError:
        pass


def read_chunks(pieces: list[bytes]) -> object:
    """What a chunked body comes to, and what follows it."""
    coded, body, rest = ChunkedBody(512), b"", b""
    for piece in pieces:
        if coded.complete:
            rest += piece
            continue
        try:
            some, rest = coded.feed(piece)
        except RequestError as error:
            return error.status
        body += some
    return body, rest, coded.complete


def read_proxy_header(pieces: list[bytes]) -> object:
    """What a PROXY header says, and what follows it."""
    header, said, rest = ProxyHeader(), None, b""
    for piece in pieces:
        if said is not None:
            rest += piece
            continue
        try:
            said = header.feed(piece)
        except RequestError as error:
            return error.status
        rest = said.rest if said is not None else b""
    return said and (said.client, said.server), rest


READERS = (read_head, read_chunks, read_proxy_header)


def once(data: bytes) -> None:
    """One run: the first byte chooses the reader, the second how the rest is cut."""
    if len(data) < 3:
        return
    reader, step, text = READERS[data[0] % len(READERS)], data[1] or 1, data[2:]
    if not text:
        return
    whole = reader([text])
    pieces = reader([text[i : i + step] for i in range(0, len(text), step)])
    # 431 is a matter of when it is noticed: an overlong body may break another rule, too.
    if whole != pieces and 431 not in (whole, pieces):
        raise AssertionError(f"{reader.__name__}: {whole!r} whole, {pieces!r} in pieces")


def seeds(folder: Path) -> None:
    """The corpus as seeds: heads for one reader, bodies for the other."""
    for at, case in enumerate(cases()):
        if len(case.data) < 1000:
            head, _, body = case.data.partition(b"\r\n\r\n")
            (folder / f"{at}-head").write_bytes(b"\x00\x07" + head + b"\r\n\r\n")
            (folder / f"{at}-body").write_bytes(b"\x01\x07" + body)
    (folder / "proxy-1").write_bytes(b"\x02\x07PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nGET")
    (folder / "proxy-2").write_bytes(
        b"\x02\x07\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x09\x00\x0aGET"
    )


def main() -> None:
    """``python -m tests.fuzz.parsers SECONDS``"""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    with tempfile.TemporaryDirectory(prefix="bridge-fuzz-") as folder:
        seeds(Path(folder))
        options = [f"-max_total_time={seconds}", "-max_len=2000", "-timeout=5", KEEP, folder]
        atheris.Setup([sys.argv[0], *options], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
