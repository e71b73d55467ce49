"""How a socket is tried without blocking the loop, and waited for, in a greenlet (G6).

A call is tried first. If it would block (it returns None, or raises BlockingIOError), its socket is
waited for, and the call is tried again: another greenlet may have been faster. How a try is kept
from blocking depends on the call and on the timeout:

| timeout | the descriptor | `recv`, `recv_into`, `send` | other calls |
| --- | --- | --- | --- |
| None | blocks | the system's call itself (`nonblocking.c`) | with the flag MSG_DONTWAIT |
| > 0 | does not block, but the method waits first | the same | with the timeout 0 (`at_once`) |
| 0 | does not block | the method; it is never waited for | the same |

Where `nonblocking.c` is not compiled, its calls are made with the timeout 0, too.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, TypeVar

from bridge.runners.greenlets.descriptors import wait_ready
from bridge.runners.greenlets.worker import Worker, current_worker

T = TypeVar("T")

# Plain numbers, which are quicker than those of `socket`.
#: A flag: the call does not block, whatever the descriptor does.
NOW: Final = int(socket.MSG_DONTWAIT)
#: A flag: the call waits until all is there.
ALL: Final = int(socket.MSG_WAITALL)

_poll: Final = select.poll
get_timeout: Final = _socket.socket.gettimeout
set_timeout: Final = _socket.socket.settimeout
get_descriptor: Final = _socket.socket.fileno
#: The family and the kind of a socket as plain numbers.
family_of: Final[Callable[[socket.socket], int]] = vars(_socket.socket)["family"].__get__
kind_of: Final[Callable[[socket.socket], int]] = vars(_socket.socket)["type"].__get__


def deadline_of(timeout: float | None) -> float | None:
    """When a call that begins now has to be over; None: never."""
    return None if timeout is None else monotonic() + timeout


def wait_for(
    worker: Worker, sock: socket.socket, events: int, deadline: float | None = None
) -> None:
    """Wait until `sock` is ready. Raises TimeoutError when the time is up, OSError if it closes."""
    left = None if deadline is None else max(0.0, deadline - monotonic())
    if not wait_ready(worker, ((get_descriptor(sock), events),), left):
        raise TimeoutError("timed out")


def is_ready(sock: socket.socket, events: int) -> bool:
    """Whether `sock` is ready now."""
    waiting = _poll()
    waiting.register(get_descriptor(sock), events)
    return bool(waiting.poll(0))


def at_once(sock: socket.socket, function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function(sock, *arguments)`` with a timeout of 0, which is then as it was."""
    timeout = get_timeout(sock)
    set_timeout(sock, 0)
    try:
        return function(sock, *arguments)
    finally:
        if timeout != 0 and get_descriptor(sock) >= 0:
            set_timeout(sock, timeout)


def blocks(sock: socket.socket) -> bool:
    """Whether the descriptor of `sock` blocks, which the timeout does not tell for sure."""
    return os.get_blocking(get_descriptor(sock))


def tried(
    sock: socket.socket,
    events: int,
    attempt: Callable[..., T | None],
    original: Callable[..., T],
    *arguments: Any,
) -> T:
    """Return what `attempt` does, called with `sock` and `arguments`; wait when it would block.

    If the app has made the socket non-blocking, it is the `original` method that is called. So it
    is outside of the app's own code, which may not wait, after a first try.
    """
    timeout = get_timeout(sock)
    if timeout == 0:
        return original(sock, *arguments)
    try:
        result = attempt(sock, *arguments)
        if result is not None:
            return result
    except BlockingIOError:
        pass
    worker = current_worker()
    if worker is None:
        return original(sock, *arguments)
    refuse_to_wait(sock, timeout)
    deadline = deadline_of(timeout)
    while True:
        wait_for(worker, sock, events, deadline)
        try:
            result = attempt(sock, *arguments)
            if result is not None:
                return result
        except BlockingIOError:
            pass


def refuse_to_wait(sock: socket.socket, timeout: float | None) -> None:
    """Raise BlockingIOError if `sock` has no timeout and yet does not block.

    Then the descriptor was changed without the socket, and its methods do not wait.
    """
    if timeout is None and not blocks(sock):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
