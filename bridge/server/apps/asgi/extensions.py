"""The messages of ASGI's extensions of a response, checked (ASGI, "Extensions"; S10)."""

from __future__ import annotations

import os

from bridge.asgi import messages as grammar
from bridge.errors import IllegalMessage
from bridge.http.headers import HOP_BY_HOP
from bridge.http.response_fields import Field, raw_fields
from bridge.loops.descriptors import open_file
from bridge.types import Message

#: Fields that say how a message is to be read: too late behind its body (RFC 9110 §6.5.1).
_NEVER_TRAILERS = HOP_BY_HOP | {b"content-length", b"content-encoding", b"content-type", b"host"}


def trailer_fields(message: Message) -> list[Field]:
    """Return the fields of ``http.response.trailers``. Raises `IllegalMessage`."""
    fields = raw_fields(message.get("headers"))
    for field in fields:
        if field.raw[0] in _NEVER_TRAILERS:
            raise IllegalMessage(f"{field.raw[0]!r} cannot be a trailer field (RFC 9110 §6.5.1)")
    return fields


def hint_fields(message: Message) -> list[Field]:
    """Return the fields of ``http.response.early_hint``. Raises `IllegalMessage`."""
    return raw_fields([(b"link", link) for link in grammar.hint_links(message)])


def open_path(message: Message) -> tuple[int, int]:
    """Open the file of ``http.response.pathsend``; return its descriptor, and its size in bytes.

    The specification wants an absolute path; relative ones, which frameworks pass on as their
    users wrote them, are taken from the working directory, as `open` does.

    Raises `IllegalMessage`, and `OSError` if it is no regular file that can be read.
    """
    path = message.get("path")
    if not isinstance(path, str):
        raise IllegalMessage(f"the path of {grammar.PATHSEND} is {path!r}, and must be a str")
    file = open_file(os.path.abspath(path))
    return file, os.fstat(file).st_size
