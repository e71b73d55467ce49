"""A WebSocket client: each message comes back, and a close with 1012 says to come back."""

from __future__ import annotations

from time import monotonic

from bench.load.deploys.clients import Board, Client

#: A mask of zeros changes nothing (RFC 6455, section 5.3): frames are made and compared as bytes.
MASKED = 0x80
MASK = bytes(4)
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
#: Service restart; going away.
COME_BACK = (1012, 1001)


def _frame(first: int, payload: bytes) -> bytes:
    """A client's frame of at most 125 bytes."""
    return bytes((first, MASKED | len(payload))) + MASK + payload


class SocketClient(Client):
    """Says something, waits until it comes back, and so on."""

    def __init__(self, board: Board, path: str, pause: float) -> None:
        super().__init__(board, "messages", None, pause)
        self.path = path
        self.open = False
        #: The message that has to come back; kept over a restart.
        self.text = b""

    def send(self) -> None:
        """Begin the handshake, or say the next message."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.board.stopping:
            self.leave()
            return
        if not self.used:
            self.open = False
            self.data = b""
            self._begin(
                b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n" % self.path.encode()
            )
            return
        self.text = self.text or b"message %d" % self.board.number()
        self.wanted = bytes((TEXT, len(self.text))) + self.text
        self._begin(_frame(TEXT, self.text))

    def _begin(self, data: bytes) -> None:
        self.begun = monotonic()
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if data == self.wanted and self.open and not self.data:
            self._echoed()
            return
        self.data += data
        if not self.open:
            self._read_handshake()
        if self.open:
            self._read_frames()

    def _read_handshake(self) -> None:
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self.fail("status", repr(head[:200]))
            return
        self.head, self.data, self.open = head + end, rest, True
        self.begun, self.used = 0.0, 1
        self.send()

    def _read_frames(self) -> None:
        while len(self.data) >= 2 and len(self.data) >= (size := 2 + self.data[1]):
            frame, self.data = self.data[:size], self.data[size:]
            if frame == self.wanted and self.begun:
                self._echoed()
            elif frame[0] == PING:
                self.transport.write(_frame(PONG, frame[2:]))
            elif frame[0] == CLOSE:
                self._closed(frame)
                return
            else:
                self.fail("WebSocket", f"{frame!r} came, not {self.wanted!r}")
                return

    def _echoed(self) -> None:
        self.board.outcome.answers[self.what] += 1
        self.begun, self.text = 0.0, b""
        self.send_later()

    def _closed(self, frame: bytes) -> None:
        """Close, too; come back if that is what the code says."""
        code = int.from_bytes(frame[2:4], "big")
        self.begun = self.begun or self.opened
        if code in COME_BACK:
            self.board.outcome.restarted += 1
        else:
            self._note("WebSocket", f"closed with {code}: {frame[4:]!r}")
        self.begun, self.last = 0.0, True
        self.transport.write(_frame(CLOSE, frame[2:4]))
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """A WebSocket must not end without saying so."""
        if self.open and not self.last:
            self.begun = self.begun or self.opened
            self._note("WebSocket", "ended" if error is None else repr(error))
            self.begun, self.last = 0.0, True
        self.open = False
        super().connection_lost(error)
