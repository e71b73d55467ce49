"""Frames between bytes and messages (RFC 6455 §5, RFC 7692): these rules stand here only.

Nearly every frame that comes is a whole message: final, unfragmented, not compressed. Those are
parsed here directly, as are pings and the close frame, which may stand between the fragments of a
message and do not count to it. All others (fragments, compressed messages, and whatever breaks a
rule) go through the Sans-I/O protocol of `websockets`, which knows the rules and makes the
answers. It gets them one whole frame at a time, so the two never disagree on where one begins.

Both sides are served: the server and the ASGI adapter read masked frames and send unmasked ones;
the WSGI adapter is the client of the app behind it, and does the opposite (RFC 6455 §5.3).

Pure: no I/O, no loop, no clock. Bytes go in by `feed`, messages come out of `next_message`, and
what is to be written in answer comes out of `data_to_send`.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Final, TypeAlias

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side

from bridge.errors import IllegalMessage
from bridge.limits import MIN_UNCOPIED

try:
    from websockets.speedups import apply_mask
except ImportError:  # it was installed without a compiler
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

#: The bit of a frame's second byte that says that its payload is masked.
_MASKED: Final = 0x80

# The first bytes of control frames that keep the rules.
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A
_CONTROLS: Final = frozenset((_CLOSE, _PING, _PONG))

#: Headers of frames with at most 125 bytes of payload, by their length.
_SHORT: Final = {first: [bytes((first, size)) for size in range(126)] for first in (TEXT, BINARY)}

_OPCODES: Final = {TEXT: Opcode.TEXT, BINARY: Opcode.BINARY}

_Utf8 = getincrementaldecoder("utf-8")

#: A message that came: text, bytes, or the peer's close frame.
Received: TypeAlias = str | bytes | Close
#: A frame to be written: in one piece, or header and payload if these are not worth a copy.
Encoded: TypeAlias = bytes | tuple[bytes, bytes]


def frame_header(first: int, size: int) -> bytes:
    """Return the header of an unmasked frame of `size` bytes of payload (RFC 6455 §5.2)."""
    if size < 126:
        return _SHORT[first][size]
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")


#: The most frames without a message that are parsed before others have their turn.
_TURN = 500


class Frames:
    """The frames of one WebSocket, both ways.

    `protocol` is open, and says which side this is. `max_message` and `max_frame` are bytes of
    payload, 0: any.
    """

    #: Nothing more comes out of `next_message`, and the transport is to be closed when
    #: `data_to_send` has left: both sides have sent a close frame, or the peer broke a rule.
    closed = False
    #: `next_message` has given up its turn: there may be more in what came.
    has_more = False
    #: `data_to_send` has something.
    has_data_to_send = False
    #: The peer's close code and reason.
    close_received: Close | None = None

    def __init__(self, protocol: Protocol, max_message: int, max_frame: int) -> None:
        self._protocol = protocol
        self._max_message = max_message
        self._max_frame = max_frame
        # The peer masks its frames if it is the client.
        masked = protocol.side is Side.SERVER
        #: The longest frame that `parse_single` takes, header included; 0: none.
        self._short = 6 + min(125, max_frame or 125, max_message or 125) if masked else 0
        self._mask_bit = _MASKED if masked else 0
        #: A frame that is sent is more than a header and the payload.
        self._encodes_fully = bool(protocol.extensions) or not masked
        #: What came and was not parsed yet; begins with a frame's first byte.
        self._buffer = bytearray()
        #: The message whose fragments come in: what is here of it, and what it is.
        self._parts: bytearray | None = None
        self._is_text = self._is_deflated = False
        #: Checks text that is not whole; so many bytes of the frame in the buffer were checked.
        self._utf8 = _Utf8()
        self._checked = 0

    # --------------------------------------------------------- in

    @property
    def close_sent(self) -> Close | None:
        """Return our close code and reason; None before we have sent them."""
        return self._protocol.close_sent

    @property
    def closed_with(self) -> Close:
        """Return the code and reason of the close: the peer's, or ours if it broke a rule."""
        close = self.close_received or self.close_sent
        assert close is not None
        return close

    def parse_single(self, data: bytes) -> str | bytes | None:
        """Return the message if `data` is exactly one short plain one; None: `feed` it.

        The fast path of a server: no buffer, no loop over frames.
        """
        size = len(data)
        if 6 <= size <= self._short and data[1] == 0x80 | size - 6 and self._parts is None:
            first = data[0]
            if first in _WHOLE and not self._buffer and not self.closed:
                payload = apply_mask(data[6:], data[2:6])
                if first == BINARY:
                    return payload
                try:
                    return payload.decode()
                except UnicodeDecodeError:
                    pass
        return None

    def feed(self, data: bytes) -> None:
        """Take bytes in; when the WebSocket is closed they are dropped."""
        if not self.closed:
            self._buffer += data

    def next_message(self) -> Received | None:
        """Return the next message; None if more bytes or a turn are wanted, or nothing follows."""
        buffer, mask_bit, left = self._buffer, self._mask_bit, _TURN
        self.has_more = False
        while len(buffer) >= 2 and not self.closed:
            if not left:
                self.has_more = True
                break
            left -= 1
            size = buffer[1] & 0x7F
            start = 2
            if size > 125:
                start = 4 if size == 126 else 10
                if len(buffer) < start:
                    break
                size = int.from_bytes(buffer[2:start], "big")
            if mask_bit:
                start += 4
            first = buffer[0]
            if not self._check_limits(first, size):
                break
            if len(buffer) < start + size:
                if len(buffer) > start:
                    self._check_part(first, start)
                break
            message = self._take(first, start, start + size)
            if message is not None:
                return message
        return None

    def _check_limits(self, first: int, size: int) -> bool:
        """Return whether to wait for the frame; refuse it now if it breaks a rule or a limit."""
        whole = len(self._parts or b"") + size
        if self._buffer[1] & _MASKED != self._mask_bit:
            wrong = "frame is not masked" if self._mask_bit else "frame is masked"
            self.fail(CloseCode.PROTOCOL_ERROR, wrong)
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
        return not self.closed

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
        part: bytes | bytearray = buffer[start + self._checked :]
        if self._mask_bit:
            mask, turn = buffer[start - 4 : start], self._checked % 4
            part = apply_mask(part, mask[turn:] + mask[:turn])
        self._checked += len(part)
        try:
            self._utf8.decode(part)
        except UnicodeDecodeError as error:
            self._fail_text(error)

    def _take(self, first: int, start: int, end: int) -> Received | None:
        """Take the frame at the buffer's start; return the message that it completes, else None."""
        buffer = self._buffer
        checked, self._checked = self._checked, 0
        if first not in _CONTROLS and (first not in _WHOLE or self._parts is not None):
            frame = bytes(buffer[:end])
            del buffer[:end]
            return self._take_with_protocol(frame, checked)
        payload: bytes | bytearray = buffer[start:end]
        if self._mask_bit:
            payload = apply_mask(payload, buffer[start - 4 : start])
        del buffer[:end]
        if first == TEXT:
            try:
                return payload.decode()
            except UnicodeDecodeError as error:
                self._fail_text(error)
        elif first == BINARY:
            return bytes(payload)
        elif first == _CLOSE:
            return self._take_close(payload)
        elif first == _PING:
            self._protocol.send_pong(payload)
            self.has_data_to_send = True
        return None

    def _take_close(self, payload: bytes | bytearray) -> Close | None:
        """Answer the peer's close. In the middle of a message, that message is dropped."""
        try:
            close = self.close_received = Close.parse(payload)
        except ProtocolError as error:
            self.fail(CloseCode.PROTOCOL_ERROR, str(error))
            return None
        except UnicodeDecodeError as error:
            self._fail_text(error)
            return None
        if self.close_sent is None:
            if close.code == CloseCode.NO_STATUS_RCVD:
                self._protocol.send_close()
            else:
                self._protocol.send_close(close.code, close.reason)
        self._end()
        return close

    def _take_with_protocol(self, data: bytes, checked: int) -> Received | None:
        """Have the protocol take one whole frame; `checked` bytes of its text were checked."""
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
            return self._join(frame, checked)
        except UnicodeDecodeError as error:
            self._fail_text(error)
            return None

    def _join(self, frame: Frame, checked: int) -> str | bytes | None:
        """Add a fragment, or take a compressed message; return it when it is whole, else None.

        Raises `UnicodeDecodeError`.
        """
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

    def _fail_text(self, error: UnicodeDecodeError) -> None:
        self.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")

    def fail(self, code: int, reason: str) -> None:
        """Break off, with a close frame (RFC 6455 §7.1.7); `reason` is for the peer."""
        self._protocol.fail(code, reason)
        self._end()

    def _end(self) -> None:
        self.has_data_to_send = self.closed = True
        self._buffer.clear()
        self._parts = None

    # --------------------------------------------------------- out

    def data_to_send(self) -> bytes:
        """Return what is to be written now: pongs, and the close frame that ends the WebSocket."""
        self.has_data_to_send = False
        return b"".join(self._protocol.data_to_send())

    def encode(self, text: object, data: object) -> Encoded:
        """Encode a whole message as a frame: either `text` or bytes-like `data`, the other is None.

        Raises `IllegalMessage`.
        """
        if data is None:
            if not isinstance(text, str):
                raise _no_payload(text, data)
            try:
                first, payload = TEXT, text.encode()
            except UnicodeEncodeError as error:
                raise IllegalMessage(f"text cannot be encoded as UTF-8: {error}") from None
        elif text is None and isinstance(data, (bytes, bytearray, memoryview)):
            first, payload = BINARY, bytes(data)
        else:
            raise _no_payload(text, data)
        if self._encodes_fully:
            return self._encode_fully(_OPCODES[first], payload)
        size = len(payload)
        if size < 126:
            return _SHORT[first][size] + payload
        if size < MIN_UNCOPIED:
            return frame_header(first, size) + payload
        return frame_header(first, size), payload

    def _encode_fully(self, opcode: Opcode, payload: bytes) -> bytes:
        """Encode a frame that is masked, or compressed, or both."""
        frame = Frame(opcode, payload)
        return frame.serialize(mask=not self._mask_bit, extensions=self._protocol.extensions)

    def ping(self) -> bytes:
        """Encode a ping."""
        return Frame(Opcode.PING, b"").serialize(mask=not self._mask_bit)

    def close(self, code: object, reason: object = "") -> bytes:
        """Encode the close frame, if none was sent; the caller drops messages that come after it.

        With a `code` of None it gives no reason. Raises `IllegalMessage`.
        """
        if not (code is None or isinstance(code, int)) or not isinstance(reason, str):
            raise IllegalMessage(
                f"close code {code!r} and reason {reason!r:.200} must be an int and a str"
            )
        if self.close_sent is None:
            try:
                self._protocol.send_close(code if code is None else int(code), reason)
            except (ProtocolError, UnicodeEncodeError) as error:
                raise IllegalMessage(
                    f"close code {code!r} with reason {reason!r:.200}: {error} "
                    "(RFC 6455 §7.4, §5.5)"
                ) from None
        return self.data_to_send()


def _no_payload(text: object, data: object) -> IllegalMessage:
    return IllegalMessage(
        f"websocket.send has text {type(text).__name__} and bytes {type(data).__name__}; one of "
        "them must be given: text must be str, bytes must be bytes"
    )
