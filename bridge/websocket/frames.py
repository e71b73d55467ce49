"""Frames between bytes and messages (RFC 6455 §5, RFC 7692).

Nearly every frame that comes is a whole message: final, unfragmented, not compressed. Those are
known by heart here, as are pings and the close frame, which may stand between the fragments of a
message and do not count to it. All others (fragments, compressed messages, and whatever breaks a
rule) go through the Sans-I/O protocol of `websockets`, which knows the rules and makes the
answers. It gets them one whole frame at a time, so the two never disagree on where one begins.

Pure: no I/O, no loop, no clock. Bytes go in by `feed`, messages come out of `next`, and what is
to be written in answer comes out of `take_answers`.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Final, TypeAlias

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.server import ServerProtocol

from bridge.errors import IllegalMessage

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler was there when it was installed
    from websockets.utils import apply_mask

# The first bytes of frames that are whole messages.
TEXT: Final = 0x81
BINARY: Final = 0x82
_WHOLE: Final = frozenset((TEXT, BINARY))

# The bits of a frame's first byte.
_FINAL: Final = 0x80
_DEFLATED: Final = 0x40
_CONTROL: Final = 0x08
_TEXT: Final = 0x01
_CONTINUATION: Final = 0x00

# The first bytes of control frames, where they are as they must be.
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A
_CONTROLS: Final = frozenset((_CLOSE, _PING, _PONG))

#: Heads of whole frames of at most 125 bytes, by their length.
_SHORT: Final = {first: [bytes((first, size)) for size in range(126)] for first in (TEXT, BINARY)}

_Utf8 = getincrementaldecoder("utf-8")

#: A message that came: text, bytes, or the client's farewell.
Received: TypeAlias = str | bytes | Close


def head_of(first: int, size: int) -> bytes:
    """The head of an unmasked frame with `size` bytes of payload (RFC 6455 §5.2)."""
    if size < 126:
        return _SHORT[first][size]
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


#: The most frames that make no message, and are looked at before others have their turn.
_TURN = 500


class Frames:
    """The frames of one WebSocket, both ways.

    `max_message` and `max_frame` are bytes of payload, 0: any.
    """

    #: The end was received, or sent: nothing more comes out of `next`, and the transport is to
    #: be closed when the answers have left.
    over = False
    #: `next` has given up its turn: there may be more in what came.
    behind = False
    #: `take_answers` has something.
    answers = False
    #: The client's close code and reason.
    close_received: Close | None = None

    def __init__(self, protocol: ServerProtocol, max_message: int, max_frame: int) -> None:
        self._protocol = protocol
        self._max_message = max_message
        self._max_frame = max_frame
        #: The longest frame that `whole` takes, head included.
        self._short = 6 + min(125, max_frame or 125, max_message or 125)
        self.compressed = bool(protocol.extensions)
        #: What came and was not looked at yet; begins with a frame's first byte.
        self._buffer = bytearray()
        #: The message whose fragments come in: what is here of it, and what it is.
        self._parts: bytearray | None = None
        self._is_text = self._is_deflated = False
        #: Checks text that is not whole; `_checked` bytes of the frame in the buffer were.
        self._utf8 = _Utf8()
        self._checked = 0

    # --------------------------------------------------------- in

    @property
    def close_sent(self) -> Close | None:
        """Our close code and reason."""
        return self._protocol.close_sent

    def whole(self, data: bytes) -> str | bytes | None:
        """The message, where `data` is just one short plain one; else None: `feed` it.

        This is the common way, without the general one.
        """
        size = len(data)
        if 6 <= size <= self._short and data[1] == 0x80 | size - 6 and self._parts is None:
            first = data[0]
            if first in _WHOLE and not self._buffer and not self.over:
                payload = apply_mask(data[6:], data[2:6])
                if first == BINARY:
                    return payload
                try:
                    return payload.decode()
                except UnicodeDecodeError:
                    pass
        return None

    def feed(self, data: bytes) -> None:
        """Take bytes in; at the end of the connection they are dropped."""
        if not self.over:
            self._buffer += data

    def next(self) -> Received | None:
        """The next message; None where more bytes are wanted, or a turn, or nothing may follow."""
        buffer, left = self._buffer, _TURN
        self.behind = False
        while len(buffer) >= 2 and not self.over:
            if not left:
                self.behind = True
                break
            left -= 1
            size = buffer[1] & 0x7F
            start = 6
            if size > 125:
                start = 8 if size == 126 else 14
                if len(buffer) < start - 4:
                    break
                size = int.from_bytes(buffer[2 : start - 4], "big")
            first = buffer[0]
            if not self._bears(first, size):
                break
            if len(buffer) < start + size:
                if len(buffer) > start:
                    self._check_part(first, start)
                break
            message = self._take(first, start, start + size)
            if message is not None:
                return message
        return None

    def _bears(self, first: int, size: int) -> bool:
        """Whether to wait for the frame; where it breaks a rule or a limit, it is refused now."""
        whole = len(self._parts or b"") + size
        if not self._buffer[1] & 0x80:
            self.fail(CloseCode.PROTOCOL_ERROR, "frame is not masked")
        elif first & _CONTROL:
            if size > 125:
                self.fail(CloseCode.PROTOCOL_ERROR, "control frame is too long")
        elif first & ~_FINAL == _DEFLATED | _CONTINUATION:
            # Only a message's first frame can say that it is compressed (RFC 7692 §6).
            self.fail(CloseCode.PROTOCOL_ERROR, "reserved bits must be 0")
        elif self._max_frame and size > self._max_frame:
            text = f"frame has {size} bytes, limit is {self._max_frame}"
            self.fail(CloseCode.MESSAGE_TOO_BIG, text)
        elif self._max_message and whole > self._max_message:
            text = f"message has {whole} bytes or more, limit is {self._max_message}"
            self.fail(CloseCode.MESSAGE_TOO_BIG, text)
        return not self.over

    def _check_part(self, first: int, start: int) -> None:
        """Refuse text that is wrong already, however its frame goes on (RFC 6455 §8.1)."""
        buffer = self._buffer
        if self._parts is None:
            if first & ~_FINAL != _TEXT:
                return
            if not self._checked:
                self._utf8.reset()
        elif first & ~_FINAL != _CONTINUATION or not self._is_text or self._is_deflated:
            return
        mask, turn = buffer[start - 4 : start], self._checked % 4
        part = apply_mask(buffer[start + self._checked :], mask[turn:] + mask[:turn])
        self._checked += len(part)
        try:
            self._utf8.decode(part)
        except UnicodeDecodeError as error:
            self._not_utf8(error)

    def _take(self, first: int, start: int, end: int) -> Received | None:
        """The message that the frame at the buffer's begin completes."""
        buffer = self._buffer
        checked, self._checked = self._checked, 0
        known = first in _CONTROLS or (first in _WHOLE and self._parts is None)
        if not known:
            frame = bytes(buffer[:end])
            del buffer[:end]
            return self._through_protocol(frame, checked)
        payload = apply_mask(buffer[start:end], buffer[start - 4 : start])
        del buffer[:end]
        if first == TEXT:
            try:
                return payload.decode()
            except UnicodeDecodeError as error:
                self._not_utf8(error)
        elif first == BINARY:
            return payload
        elif first == _CLOSE:
            return self._take_close(payload)
        elif first == _PING:
            self._protocol.send_pong(payload)
            self.answers = True
        return None

    def _take_close(self, payload: bytes) -> Close | None:
        """The client closes. It may in the middle of a message, which is dropped then."""
        try:
            close = self.close_received = Close.parse(payload)
        except ProtocolError as error:
            self.fail(CloseCode.PROTOCOL_ERROR, str(error))
            return None
        except UnicodeDecodeError as error:
            self._not_utf8(error)
            return None
        if self.close_sent is None:
            if close.code == CloseCode.NO_STATUS_RCVD:
                self._protocol.send_close()
            else:
                self._protocol.send_close(close.code, close.reason)
        self._end()
        return close

    def _through_protocol(self, data: bytes, checked: int) -> Received | None:
        """Have the protocol take one whole frame; `checked` bytes of its text were looked at."""
        protocol = self._protocol
        protocol.receive_data(data)
        if protocol.parser_exc is not None:
            self._end()
            return None
        (frame,) = protocol.events_received()
        assert isinstance(frame, Frame)
        if self._parts is None:
            self._is_text = frame.opcode is Opcode.TEXT
            self._is_deflated = bool(data[0] & _DEFLATED)
        try:
            return self._data(frame, checked)
        except UnicodeDecodeError as error:
            self._not_utf8(error)
            return None

    def _data(self, frame: Frame, checked: int) -> str | bytes | None:
        """A fragment, or a whole message that was compressed. Raises `UnicodeDecodeError`."""
        parts, data = self._parts, frame.data
        if parts is None:
            if frame.fin:
                return bytes(data).decode() if self._is_text else bytes(data)
            parts = self._parts = bytearray()
            if not checked:
                self._utf8.reset()
        if self._is_text:
            self._utf8.decode(data[checked:], frame.fin)
        parts += data
        if not frame.fin:
            return None
        self._parts = None
        return parts.decode() if self._is_text else bytes(parts)

    # --------------------------------------------------------- what breaks a rule

    def _not_utf8(self, error: UnicodeDecodeError) -> None:
        self.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")

    def fail(self, code: int, reason: str) -> None:
        """Break off, with a close frame (RFC 6455 §7.1.7); `reason` is for the client."""
        self._protocol.fail(code, reason)
        self._end()

    def _end(self) -> None:
        self.answers = self.over = True
        self._buffer.clear()
        self._parts = None

    # --------------------------------------------------------- out

    def take_answers(self) -> bytes:
        """What the protocol wants written."""
        self.answers = False
        return b"".join(self._protocol.data_to_send())

    def compress(self, first: int, payload: bytes) -> bytes:
        """A whole message as a compressed frame."""
        protocol = self._protocol
        if first == TEXT:
            protocol.send_text(payload)
        else:
            protocol.send_binary(payload)
        return b"".join(protocol.data_to_send())

    def ping(self) -> bytes:
        """A ping's frame."""
        self._protocol.send_ping(b"")
        return b"".join(self._protocol.data_to_send())

    def close(self, code: int, reason: str) -> bytes:
        """The close frame; data that comes after it is dropped. Raises `IllegalMessage`."""
        try:
            self._protocol.send_close(code, reason)
        except (ProtocolError, TypeError, AttributeError) as error:
            raise IllegalMessage(
                f"close code {code!r} with reason {reason!r:.200}: {error} (RFC 6455 §7.4, §5.5)"
            ) from None
        return b"".join(self._protocol.data_to_send())
