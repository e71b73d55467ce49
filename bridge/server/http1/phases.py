"""The phases of a connection: what comes in is read up to `DISCARDING`, and not after it.

    IDLE -> HEAD -> BODY -> ANSWERING -> IDLE        a request with a body, and its response
    BODY -> DISCARDING -> IDLE                       answered before the body was whole
    any -> CLOSING -> CLOSED                         the last bytes leave
    ANSWERING -> HANDED_OVER                         a WebSocket has the transport now

They are small numbers, for they are compared whenever bytes come.
"""

from __future__ import annotations

from typing import Final

#: The header of a proxy comes in, before anything else.
PROXY_HEADER: Final = 0
#: Nothing has come of the next request.
IDLE: Final = 1
#: A head comes in, or waits to be read.
HEAD: Final = 2
#: The body of a request comes in; its app may run.
BODY: Final = 3
#: The rest of a body comes in that nobody reads: the response has left (W26).
DISCARDING: Final = 4
#: The request is whole, or has failed, and its response is not over; what comes now is kept.
ANSWERING: Final = 5
#: What was written leaves, and what comes is thrown away.
CLOSING: Final = 6
#: The transport has another protocol.
HANDED_OVER: Final = 7
#: The transport is closed.
CLOSED: Final = 8
