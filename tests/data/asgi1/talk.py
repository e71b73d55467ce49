"""A talk with a server, step by step: what is sent, which messages it becomes, what is answered.

`Talk.run` takes steps and returns them again, with what has come of each. The recorder and the
tests both use it, so it runs on Python 3.7 and imports nothing but the standard library. Steps:

``["client", bytes]``
    Bytes that the client sends.
``["client frame", {"opcode", "payload", "fin", "rsv", "masked"}]``
    A WebSocket frame that it sends; all but the first may be left out. A close frame has ``code``
    and ``reason`` in place of a payload.
``["client ends"]``, ``["client closes"]``
    It closes its half of the connection, or all of it.
``["message", channel, message]``
    A message that a consumer gets.
``["reply", number, message]``
    A reply, on the reply channel with this number, counted from 1 in the order of the messages.
``["response", {...}]``, ``["interim", {...}]``
    A response of the server, or a 1xx one before it.
``["server frame", {...}]``, ``["server closes"]``
    A WebSocket frame of the server; the end of the connection, and nothing before it.

What the server does is in a step's place if it is something else: ``["response", "nothing"]``,
``["response", "the server closes"]``, ``["message", "an answer: 400"]``. The steps from there on
are not taken, and end with ``"not reached"``; but replies are given and messages awaited all the
same if it is not a message that is missing. A talk ends with ``["client closes"]``, if not by a
step of its own. ``["afterwards", channel, message]`` are messages that nobody waited for.
"""

from __future__ import annotations

import queue
import select
import socket
import time

OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
_NAMES = {number: name for name, number in OPCODES.items()}
_MASK = b"\x12\x34\xab\xcd"

#: Fields that say which server has answered, when, and how the message is framed on this one
#: connection (RFC 9110, section 7.6.1). What they say of the framing is in `framing` and `length`.
OF_THE_SERVER = frozenset(
    b"date server x-powered-by connection keep-alive transfer-encoding content-length".split()
)

NOT_REACHED = "not reached"
#: The kinds of steps that need the connection.
ON_SOCKET = (
    "client", "client frame", "client ends", "response", "interim", "server frame", "server closes"
)  # fmt: skip


# ------------------------------------------------------------- JSON


def to_json(value):
    """Return `value` with bytes as ``{"b": latin-1 text}``, long runs as such, tuples as lists."""
    if isinstance(value, (bytes, str)):
        text = value if isinstance(value, str) else value.decode("latin-1")
        key = "b" if isinstance(value, bytes) else "s"
        if len(text) > 200 and text == text[0] * len(text):
            return {key: text[0], "times": len(text)}
        return {key: text} if key == "b" else value
    if isinstance(value, dict):
        return {key: to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    return value


def from_json(value):
    """Return what `to_json` was given, but for the tuples."""
    if isinstance(value, dict):
        if isinstance(value.get("b"), str):
            return value["b"].encode("latin-1") * value.get("times", 1)
        if isinstance(value.get("s"), str):
            return value["s"] * value["times"]
        return {key: from_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [from_json(each) for each in value]
    return value


# ------------------------------------------------------------- frames


def encode_frame(frame):
    """Return the bytes of a client's frame (RFC 6455, section 5.2)."""
    payload = frame.get("payload", b"")
    if "code" in frame:
        payload = frame["code"].to_bytes(2, "big") + frame.get("reason", "").encode()
    first = (0x80 if frame.get("fin", True) else 0) | frame.get("rsv", 0)
    masked = frame.get("masked", True)
    size, bit = len(payload), 0x80 if masked else 0
    head = bytes([first | OPCODES[frame["opcode"]]])
    if size < 126:
        head += bytes([bit | size])
    elif size < 0x10000:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    return head + _MASK + bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(payload))


# ------------------------------------------------------------- what the server sends


class Ended(Exception):
    """The server has closed the connection; `rest` is what it had sent of the thing expected."""

    def __init__(self, rest):
        super().__init__(rest)
        self.rest = rest


class Reader:
    """Reads responses and frames from a socket whose timeout bounds each wait."""

    def __init__(self, sock):
        self._sock = sock
        self._data = b""

    def _more(self):
        try:
            data = self._sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Ended(self._data)
        self._data += data

    def _exactly(self, size):
        while len(self._data) < size:
            self._more()
        data, self._data = self._data[:size], self._data[size:]
        return data

    def _line(self):
        while b"\r\n" not in self._data:
            self._more()
        line, _, self._data = self._data.partition(b"\r\n")
        return line

    def next_thing(self):
        """Return what can be read now, in words; empty if nothing is here."""
        if not self._data and not select.select([self._sock], [], [], 0)[0]:
            return ""
        try:
            if not self._data:
                self._more()
        except Ended:
            return "the server closes"
        if self._data.startswith(b"HTTP/1."):
            return "an answer: " + self._data[9:12].decode()
        return "a frame"

    def end(self):
        """Read up to the end of the connection, and return what came before it."""
        try:
            while True:
                self._more()
        except Ended:
            rest, self._data = self._data, b""
            return rest

    def response(self, method):
        """Read a response with its body, or the head of a 1xx one."""
        version, _, rest = self._line().partition(b" ")
        status, _, reason = rest.partition(b" ")
        fields, framing = [], {}
        line = self._line()
        while line:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name in OF_THE_SERVER:
                framing[name] = value
            else:
                fields.append([name, value])
            line = self._line()
        length = framing.get(b"content-length")
        response = {
            "version": version.decode("latin-1"),
            "status": int(status),
            "reason": reason.decode("latin-1"),
            "fields": fields,
            "length": None if length is None else int(length),
        }
        if int(status) < 200:
            return response
        if method == b"HEAD" or int(status) in (204, 304):
            return dict(response, framing="none", body=b"")
        if framing.get(b"transfer-encoding") == b"chunked":
            return dict(response, framing="chunked", body=self._chunks())
        if length is not None:
            return dict(response, framing="length", body=self._exactly(int(length)))
        return dict(response, framing="close", body=self.end())

    def _chunks(self):
        body = b""
        size = int(self._line(), 16)
        while size:
            body += self._exactly(size)
            self._line()
            size = int(self._line(), 16)
        while self._line():
            pass
        return body

    def frame(self):
        """Read a frame."""
        first, size = self._exactly(2)
        if size == 126:
            size = int.from_bytes(self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self._exactly(8), "big")
        payload = self._exactly(size)
        frame = {"opcode": _NAMES.get(first & 0x0F, str(first & 0x0F)), "fin": bool(first & 0x80)}
        if first & 0x70:
            frame["rsv"] = first & 0x70
        if frame["opcode"] == "close":
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            return dict(frame, code=code, reason=payload[2:].decode())
        return dict(frame, payload=payload)


# ------------------------------------------------------------- the talk


class Talk:
    """One connection to the server at `port`, and the consumers' `side` of it.

    ``side.next(timeout)`` gives the next message, ``(channel, message)``, or raises `queue.Empty`;
    ``side.reply(name, message)`` sends a reply. `patience` is how long to wait, in seconds, for
    what a step expects; `grace` is how long to wait for a message if the server has answered.
    """

    def __init__(self, port, side, patience, grace):
        self._side = side
        self._port = port
        self._patience = patience
        self._grace = grace
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._own_port = self._sock.getsockname()[1]
        self._reader = Reader(self._sock)
        self._method = b"GET"
        self._channels = []

    def run(self, steps):
        """Take the steps, and close the connection; the steps, and what has come of each."""
        told, skipped = [], ()
        for step in steps:
            if step[0] in skipped:
                told.append([*step, NOT_REACHED])
                continue
            try:
                told.append([step[0], *self._take(step)])
                continue
            except queue.Empty as reason:
                instead, skipped = str(reason) or "nothing", (*ON_SOCKET, "message", "reply")
            except socket.timeout:  # noqa: UP041, on Python 3.7 it is no TimeoutError
                instead, skipped = "nothing", ON_SOCKET
            except (Ended, ConnectionError) as end:
                instead, skipped = "the server closes", ON_SOCKET
                if getattr(end, "rest", b""):
                    told.append(["cut off", end.rest])
            told.append([step[0], instead])
        if self._sock.fileno() >= 0:
            self._sock.close()
            told.append(["client closes"])
        return told

    def _take(self, step):
        """Take one step; what is told of it."""
        kind, *given = step
        if kind == "client":
            self._method = given[0].lstrip().split(b" ")[0]
            self._sock.sendall(given[0])
        elif kind == "client frame":
            self._sock.sendall(encode_frame(given[0]))
        elif kind == "client ends":
            self._sock.shutdown(socket.SHUT_WR)
        elif kind == "client closes":
            self._sock.close()
        elif kind == "reply":
            self._side.reply(self._channels[given[0] - 1], given[1])
        else:
            return self._expect(kind)
        return given

    def _expect(self, kind):
        if kind == "message":
            return self._message()
        if kind in ("response", "interim"):
            return [self._reader.response(self._method)]
        if kind == "server frame":
            return [self._reader.frame()]
        if kind == "server closes":
            rest = self._reader.end()
            return [rest] if rest else []
        raise ValueError(kind)

    def _message(self):
        deadline = time.monotonic() + self._patience
        instead = ""
        while True:
            try:
                return self.told(*self._side.next(0.02))
            except queue.Empty:
                pass
            if not instead and self._sock.fileno() >= 0:
                instead = self._reader.next_thing()
                if instead:
                    deadline = min(deadline, time.monotonic() + self._grace)
            if time.monotonic() > deadline:
                raise queue.Empty(instead or "nothing")

    def told(self, channel, message):
        """Return a message in the words of the talk: names of reply channels, and ports."""
        message = dict(message)
        name = message.get("reply_channel")
        if name is not None:
            if name not in self._channels:
                self._channels.append(name)
            message["reply_channel"] = f"reply channel {self._channels.index(name) + 1}"
        ports = {self._port: "the server's port", self._own_port: "the client's port"}
        for key in ("client", "server"):
            if message.get(key):
                host, port = message[key]
                message[key] = [host, ports.get(port, port)]
        return [channel, message]
