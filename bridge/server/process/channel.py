"""What a supervisor and one of its workers say to each other: JSON lines over a socket pair.

Both ends are non-blocking. When a process dies, the system closes its end: so the channel tells
each side also that the other is gone (P7).

A message is a dict with a key ``type``.
"""

from __future__ import annotations

import json
import socket
from typing import Any, Final, TypeAlias

from bridge.log import logger

Message: TypeAlias = dict[str, Any]

#: Bytes that are read at a time.
_READ_SIZE: Final = 64 * 1024
#: The most bytes that may wait for the other side, or be half read: more is no message of ours.
MOST_WAITING: Final = 4 * 1024 * 1024


class ChannelClosed(Exception):
    """The process at the other end is gone."""


class Channel:
    """One end. `fileno` is ready for reading when a message is there, or the other side is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._read = bytearray()
        self._unsent = bytearray()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Make both ends of a channel; not inheritable by programs that a process runs."""
        ours, theirs = socket.socketpair()
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        """Return the descriptor; -1 when closed."""
        return self._socket.fileno()

    @property
    def waiting(self) -> int:
        """Return the bytes that the other side has not taken yet: call `flush` again."""
        return len(self._unsent)

    def send(self, message: Message) -> None:
        """Send `message`, or keep it if the other side is slow. Raises `ChannelClosed`.

        One that the other side would not take is not sent: the log says so.
        """
        if len(self._unsent) > MOST_WAITING:
            raise ChannelClosed("the other side has read nothing for too long")
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(line) > MOST_WAITING:
            logger.error(
                "a message (%s) has %d bytes, and at most %d are taken: it is not sent",
                message.get("type"),
                len(line),
                MOST_WAITING,
            )
            return
        self._unsent += line
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the other side takes it. Raises `ChannelClosed`."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> list[Message]:
        """Return the messages that have come; raise `ChannelClosed` if the other side is gone.

        What came before the other side went is returned first. A line that is no message is
        dropped.
        """
        is_open = self._fill()
        *lines, rest = self._read.split(b"\n")
        self._read = rest
        messages = [message for line in lines if (message := _parse(bytes(line))) is not None]
        if not messages and not is_open:
            raise ChannelClosed("the other process has ended")
        return messages

    def _fill(self) -> bool:
        """Read what has come; return whether the other side is still there."""
        try:
            while data := self._socket.recv(_READ_SIZE):
                self._read += data
                if len(self._read) > MOST_WAITING:
                    return b"\n" in self._read  # then these first, and more at the next call
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _parse(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None
