"""Turn what a WSGI app returns into chunks (PEP 3333, "Buffering and Streaming"; W31, W35)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

#: Iterators over what is in memory already: there is no waiting for their next item.
IN_MEMORY_ITERATORS: Final[tuple[type, ...]] = (type(iter([])), type(iter(())))


def as_chunks(result: Any) -> tuple[Iterator[Any], bool]:
    """Return an iterator over what an app returned, and whether it has one chunk only.

    Chunks that are in memory already are joined. Raises `TypeError` for a str or bytes, which would
    be sent character by character, and whatever the result's own ``__iter__`` raises.
    """
    if type(result) is list or type(result) is tuple:
        return _joined(result)
    if isinstance(result, (bytes, str)):
        raise TypeError(f"the app returned {type(result).__name__}; return a list of bytes: [body]")
    single = hasattr(result, "__len__") and len(result) == 1
    iterator = iter(result)
    if iterator is not result and type(iterator) in IN_MEMORY_ITERATORS:
        # A response object that has all its chunks in memory, but no length, such as Django's.
        return _joined(iterator)
    return iterator, single


def _joined(chunks: Iterable[Any]) -> tuple[Iterator[bytes], bool]:
    body = b"".join([chunk if type(chunk) is bytes else check_chunk(chunk) for chunk in chunks])
    return (iter([body]), True) if body else (iter([]), False)


def check_chunk(chunk: Any) -> bytes:
    """Return `chunk` as plain bytes. Raises `TypeError` if it is not bytes."""
    if isinstance(chunk, bytes):
        return bytes(chunk)
    raise TypeError(
        f"the app's body has {chunk!r:.60}, of type {type(chunk).__name__}; PEP 3333 wants bytes"
    )
