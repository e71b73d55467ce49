"""What an app returns, as chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.wsgi.chunks import as_chunks, check_chunk


class Bytes(bytes):
    """A subclass, as some frameworks have it."""


class Sized:
    """A response object that knows how many chunks it has."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks


class InMemory:
    """A response object as Django's: its iterator is a list's."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)


def generator(*chunks: Any) -> Iterator[Any]:
    yield from chunks


@pytest.mark.parametrize(
    ("result", "chunks", "single"),
    [
        ([b"one"], [b"one"], True),
        ([b"a", b"b", b"c"], [b"abc"], True),
        ((b"a", b"", b"c"), [b"ac"], True),
        ([Bytes(b"a"), b"b"], [b"ab"], True),
        ([], [], False),
        ([b"", b""], [], False),
        (InMemory(b"a", b"b"), [b"ab"], True),
        (InMemory(), [], False),
        (Sized(b"a"), [b"a"], True),
        (Sized(b"a", b"b"), [b"a", b"b"], False),
        (generator(b"a", b"b"), [b"a", b"b"], False),
        (iter([b"a", b"b"]), [b"a", b"b"], False),
        ({b"a": 1}, [b"a"], True),
    ],
)
def test_chunks(result: Any, chunks: list[bytes], single: bool) -> None:
    """W31 W35: what is in memory is one chunk; everything else comes as it is made."""
    iterator, is_single = as_chunks(result)
    assert (list(iterator), is_single) == (chunks, single)


def test_nothing_is_taken_early() -> None:
    """W31: a generator is not asked for its first chunk before there is a reader."""
    source = generator(b"a", b"b")
    iterator, _ = as_chunks(source)
    assert iterator is source


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (b"body", r"the app returned bytes; return a list of bytes: \[body\]"),
        (Bytes(b"body"), "the app returned Bytes"),
        ("body", "the app returned str"),
        (["text"], "the app's body has 'text', of type str; PEP 3333 wants bytes"),
        ((1,), "the app's body has 1, of type int"),
        (None, "not iterable"),
    ],
)
def test_no_chunks(result: Any, words: str) -> None:
    """W30: text, and bytes that would be iterated byte by byte, are refused."""
    with pytest.raises(TypeError, match=words):
        as_chunks(result)


def test_checked() -> None:
    """W30: a chunk of a subclass is sent as plain bytes."""
    assert type(check_chunk(Bytes(b"x"))) is bytes
    with pytest.raises(TypeError, match="of type bytearray"):
        check_chunk(bytearray(b"x"))
