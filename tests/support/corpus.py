"""The corpus of raw requests: tests/wire/requests/corpus/*.txt.

A case is a name, the bytes of one connection, and what the server may do about them::

    --- two equal Content-Length fields
    POST / HTTP/1.1\\r\\n
    Host: x\\r\\n
    Content-Length: 5\\r\\n
    Content-Length: 5\\r\\n
    \\r\\n
    hello
    => 400

The ends of the lines in the file mean nothing: what is sent is written with Python's escapes, and
``{a*300}`` is 300 times ``a``. The bytes are followed by FIN. Then each ``=>`` is one answer, in
order: ``=> 200 POST /up hello`` is what an echo app saw (method, target, body; what is beyond ASCII
in the target as ``\\xff``), any other is a status, with ``|`` between those that are allowed. After
the last one the connection is closed without another byte. No ``=>`` at all: closed without an
answer. Lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.raw import Response, parse_responses

FOLDER = Path(__file__).resolve().parents[1] / "wire" / "requests" / "corpus"

_REPEAT = re.compile(r"\{(.+?)\*([0-9]+)\}")


@dataclass(frozen=True)
class Case:
    """One connection: what is sent, and the answers that are allowed."""

    topic: str
    name: str
    data: bytes
    answers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.topic}: {self.name}"

    @property
    def methods(self) -> list[str]:
        """The methods of the requests that are answered, as far as the answers name them."""
        words = (answer.split(" ") for answer in self.answers)
        return [word[1] if len(word) > 1 else "GET" for word in words]

    def read(self, sent: bytes) -> list[Response]:
        """What the server sent, read strictly."""
        return parse_responses(sent, self.methods)

    def check(self, sent: bytes) -> None:
        """Raise `AssertionError` unless `sent` is what the case allows."""
        responses = self.read(sent)
        got = [outcome(response) for response in responses]
        assert len(got) == len(self.answers), f"{self}: {got}, expected {self.answers}"
        for outcome_, allowed in zip(got, self.answers, strict=True):
            if allowed.startswith("200 "):
                assert outcome_ == allowed, f"{self}: {got}, expected {self.answers}"
            else:
                statuses = [part.strip() for part in allowed.split("|")]
                assert outcome_ in statuses, f"{self}: {got}, expected {self.answers}"
        for response in responses:
            if response.status >= 400:
                assert response.closes, f"{self}: {response.status} without Connection: close"


def outcome(response: Response) -> str:
    """A response in the words of the corpus."""
    saw = response.value(b"x-saw")
    if saw is None:
        return str(response.status)
    return f"{response.status} {saw.decode('ascii', 'backslashreplace')}"


def cases() -> Iterator[Case]:
    """All cases, in the order of the files."""
    for path in sorted(FOLDER.glob("*.txt")):
        yield from _parse(path.stem, path.read_text("utf-8"))


def _parse(topic: str, text: str) -> Iterator[Case]:
    for part in text.split("\n--- ")[1:]:
        name, _, rest = part.partition("\n")
        data, answers = [], []
        for line in rest.splitlines():
            if line.startswith("=> "):
                answers.append(line[3:].rstrip(" "))  # as the ends of fields are
            elif line and not line.startswith("#"):
                data.append(line)
        yield Case(topic, name, _bytes("".join(data)), tuple(answers))


def _bytes(text: str) -> bytes:
    text = _REPEAT.sub(lambda match: match[1] * int(match[2]), text)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")
