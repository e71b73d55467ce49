"""wsgi.input: the semantics of io.BufferedReader, over messages that come in any pieces."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ClientDisconnected
from bridge.wsgi.input import (
    BytesInput,
    WsgiInput,
    needs_length,
    spool_limit,
    spool_limit_without_length,
)

sizes = st.integers(-1, 12) | st.none()
calls = st.lists(
    st.one_of(
        st.just(("read",)),
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), sizes),
        st.sampled_from([("readline",), ("readlines",), ("__next__",), ("list",)]),
    ),
    max_size=8,
)
lines = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\r\n", b"long" * 5]), max_size=12)


def outcome(file: Any, call: tuple[Any, ...]) -> Any:
    if call[0] == "list":
        return list(file)
    try:
        return getattr(file, call[0])(*call[1:])
    except StopIteration:
        return StopIteration


def cut(data: bytes, points: list[int]) -> Iterator[bytes]:
    """`data` in pieces that end at `points`; none is empty."""
    edges = sorted({0, len(data), *(point for point in points if point < len(data))})
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


@given(lines, st.lists(st.integers(0, 80), max_size=10), calls)
def test_like_a_buffered_reader(pieces: list[bytes], points: list[int], calls: Any) -> None:
    """W20: for any bytes, cutting and calls, the same as a BufferedReader over the bytes."""
    data = b"".join(pieces)
    chunks = cut(data, points)
    ours = WsgiInput(lambda: next(chunks, b""))
    oracle = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    whole = BytesInput(data)
    for call in calls:
        expected = outcome(oracle, call)
        assert outcome(ours, call) == expected, call
        assert outcome(whole, call) == expected, call
    assert ours.read() == whole.read() == oracle.read()


@pytest.mark.parametrize(
    ("hint", "count"), [(None, 3), (0, 3), (-1, 3), (1, 1), (2, 2), (4, 3), (99, 3)]
)
def test_readlines_with_a_hint(hint: int | None, count: int) -> None:
    """W20: whole lines, up to the first that goes beyond `hint` bytes; all of them without one."""
    lines = [b"a\n", b"b\n", b"c"]
    for file in (BytesInput(b"".join(lines)), WsgiInput(iter([*lines, b""]).__next__)):
        assert file.readlines(hint) == lines[:count]


@given(st.lists(st.integers(1, 200_000), max_size=4), st.integers(20_000, 150_000))
def test_large_pieces(lengths: list[int], size: int) -> None:
    """W20: pieces and reads larger than any buffer inside."""
    data = b"".join(bytes([index]) * length for index, length in enumerate(lengths))
    chunks = cut(data, [sum(lengths[:index]) for index in range(len(lengths))])
    file = WsgiInput(lambda: next(chunks, b""))
    read = list(iter(lambda: file.read(size), b""))
    assert [len(piece) for piece in read[:-1]] == [size] * (len(read) - 1)
    assert b"".join(read) == data


def failing() -> Callable[[], bytes]:
    chunks = iter([b"one\ntw"])

    def pull() -> bytes:
        for chunk in chunks:
            return chunk
        raise ClientDisconnected("gone")

    return pull


@pytest.mark.parametrize(
    "read",
    [
        lambda file: file.read(),
        lambda file: file.read(100),
        lambda file: file.readlines(),
        lambda file: list(file),
        lambda file: (file.readline(), file.readline()),
        lambda file: b"".join(iter(lambda: file.read(4), b"")),
    ],
)
def test_cut_off(read: Callable[[Any], object]) -> None:
    """W23: where the body is cut off every way of reading raises, again and again, an OSError."""
    file = WsgiInput(failing())
    for _ in range(2):
        with pytest.raises(ClientDisconnected) as caught:
            read(file)
        assert isinstance(caught.value, OSError)


def test_pulls_on_demand() -> None:
    """W21: nothing is pulled before the first read, and no more than a read needs."""
    pulled = []
    chunks = iter([b"one\n", b"two\n", b"three"])

    def pull() -> bytes:
        pulled.append(1)
        return next(chunks, b"")

    file = WsgiInput(pull)
    assert pulled == []
    assert file.read(0) == b""
    assert pulled == []
    assert file.readline() == b"one\n"
    assert len(pulled) == 1
    assert file.read(4) == b"two\n"
    assert len(pulled) == 2


# ------------------------------------------------------------- what is taken whole


@pytest.mark.parametrize(
    ("setting", "can_wait", "limit"),
    [
        (None, True, None),
        (0, True, 0),
        (9, True, 9),
        (None, False, 1024 * 1024),
        (0, False, 1024 * 1024),
        (9, False, 9),
    ],
)
def test_how_much_of_a_whole_body_is_in_memory(
    setting: int | None, can_wait: bool, limit: int | None
) -> None:
    """W25: as much as was said; an app that cannot wait has to have its body whole."""
    assert spool_limit(setting, can_wait=can_wait) == limit


def test_bodies_without_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """W24: they are taken whole if a framework is loaded that reads by Content-Length only."""
    monkeypatch.setattr("bridge.wsgi.input.needs_length", needs_length)  # see tests/conftest.py
    for name in ("django.core.handlers.wsgi", "bottle", "falcon", "cherrypy", "web.webapi"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(sys.modules, "microdot.wsgi", raising=False)
    assert spool_limit_without_length(None) is None
    assert spool_limit_without_length(5) == 5
    monkeypatch.setitem(sys.modules, "bottle", ModuleType("bottle"))
    assert spool_limit_without_length(None) == 1024 * 1024
    assert spool_limit_without_length(5) == 5
