"""Replies to a WebSocket: which ASGI messages they become, and when (ASGI 1; rule L4).

A reply is a dict with any of ``accept``, ``text``, ``bytes`` and ``close``; one reply may accept,
send and close. What it does depends on the phase of the socket:

==============  =======================================  =========================
reply           while connecting                         while open
==============  =======================================  =========================
accept true     accepts                                  nothing
accept false    refuses with 403, whatever else is said  nothing
data            accepts, and sends; not if it is empty   sends
close           refuses with 403, if nothing accepts     closes with 1000, or the code
==============  =======================================  =========================

After the close every reply is dropped. Pure: no loop, thread or clock; the caller passes replies
one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from bridge.errors import IllegalMessage
from bridge.types import Message

# The phases of a socket.
#: No reply has accepted yet, nor refused.
CONNECTING: Final = 0
#: Accepted.
OPEN: Final = 1
#: Refused, closed, or its client has gone.
CLOSED: Final = 2

_KEYS: Final = frozenset({"accept", "bytes", "close", "text"})

#: The codes below 3000 that may be sent in a close frame (RFC 6455 §7.4.1).
_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class Reply(NamedTuple):
    """A reply that was checked."""

    #: What it says about accepting: yes, no, or nothing.
    accept: bool | None
    data: str | bytes | None
    #: The code to close with; None: it does not close.
    code: int | None

    @property
    def size(self) -> int:
        """Return the size of its data, about in bytes."""
        return 0 if self.data is None else len(self.data)


def check_reply(message: object) -> Reply:
    """Check a reply, whatever the phase. Raises `IllegalMessage` that says what is wrong."""
    if not isinstance(message, dict):
        raise IllegalMessage(f"a reply to a WebSocket is a dict, not {message!r:.200}")
    if not _KEYS.issuperset(message):
        unknown = ", ".join(sorted(map(repr, message.keys() - _KEYS)))
        raise IllegalMessage(
            f"a reply to a WebSocket has {unknown:.200}; allowed are 'accept', 'bytes', 'close' "
            "and 'text'"
        )
    accept = message.get("accept")
    if accept is not None and not isinstance(accept, bool):
        raise IllegalMessage(f"accept is {accept!r:.200}; allowed are true, false and None")
    data = _data(message.get("text"), message.get("bytes"))
    return Reply(accept, data, _close_code(message.get("close")))


def _data(text: object, data: object) -> str | bytes | None:
    """Return what is to be sent. If one of the two is empty, it is the other."""
    if text is not None and not isinstance(text, str):
        raise IllegalMessage(f"text is {type(text).__name__}, and must be str")
    if data is not None and not isinstance(data, bytes | bytearray | memoryview):
        raise IllegalMessage(f"bytes is {type(data).__name__}, and must be bytes")
    if text and data:
        raise IllegalMessage("a reply has text and bytes; send one of them, then the other")
    if text is None or data:
        return None if data is None else bytes(data)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise IllegalMessage(f"text cannot be encoded as UTF-8: {error}") from None
    return text


def _close_code(close: object) -> int | None:
    if close is None or close is False:
        return None
    if close is True:
        return 1000
    if isinstance(close, int) and (close in _CODES or 3000 <= close <= 4999):
        return int(close)
    raise IllegalMessage(
        f"close is {close!r:.200}; allowed are true, false, and a code that may be sent: 1000 to "
        "1003, 1007 to 1014, and 3000 to 4999 (RFC 6455 §7.4)"
    )


class SocketReplies:
    """The replies of one WebSocket. `subprotocol` is what it is accepted with."""

    def __init__(self, subprotocol: str | None = None) -> None:
        self.phase = CONNECTING
        #: The code that it was closed with; 1006 if it was refused. None: not by a reply.
        self.code: int | None = None
        self._subprotocol = subprotocol

    def take(self, reply: Reply) -> Iterable[Message]:
        """Return the ASGI messages that `reply` becomes now."""
        if self.phase == CLOSED:
            return ()
        messages: list[Message] = []
        if self.phase == CONNECTING:
            if reply.accept or (reply.data and reply.accept is None):
                self.phase = OPEN
                messages.append({"type": "websocket.accept", "subprotocol": self._subprotocol})
            elif reply.accept is False or reply.code is not None:
                return self.refuse()
            else:
                return ()
        if reply.data is not None:
            kind = "text" if isinstance(reply.data, str) else "bytes"
            messages.append({"type": "websocket.send", kind: reply.data})
        if reply.code is not None:
            messages.append(self._close(reply.code))
        return messages

    def refuse(self) -> list[Message]:
        """Refuse the handshake: every host answers it with a 403."""
        self.phase = CLOSED
        self.code = 1006
        return [{"type": "websocket.close", "code": 1000}]

    def close(self, code: int) -> list[Message]:
        """Close with `code`, or refuse, if it is not closed: not by a reply."""
        if self.phase == OPEN:
            return [self._close(code)]
        return self.refuse() if self.phase == CONNECTING else []

    def _close(self, code: int) -> Message:
        self.phase = CLOSED
        self.code = code
        return {"type": "websocket.close", "code": code}

    def end(self) -> None:
        """Drop every reply from now on: the client has gone."""
        self.phase = CLOSED
