"""What a WSGI app raises, on its way to the ASGI middleware and the host around it (W38)."""

from __future__ import annotations

from bridge.errors import BridgeError
from bridge.log import logger


class Failure:
    """An error of the app, for the side that takes it first: the app or the host."""

    __slots__ = ("_errors",)

    def __init__(self, error: Exception) -> None:
        self._errors = [error]

    def take(self) -> Exception | None:
        """Return the error, to the first caller only; from any thread."""
        try:
            return self._errors.pop()
        except IndexError:
            return None

    def log(self) -> None:
        """Log the error, which the host does not take: it has cancelled, or lost its client."""
        error = self.take()
        if error is not None:
            logger.error("error in the WSGI app, whose client has left", exc_info=error)


class RaisesOn:
    """A `ResponseSink` whose host is told what the app raised, so that it logs that itself.

    The app's side puts an error here, the host's side takes it when the response is over. The host
    may have left before: then the side that finds the error tells of it, and the other does not.
    """

    #: What the app raised, once it has.
    failure: Failure | None = None
    #: The host does not ask for it any more, or is just asking for the last time.
    gone: bool

    def failed(self, error: BaseException) -> bool:
        """ResponseSink: the app raised; True: the host is told of it.

        `SystemExit` and its like would end the host instead.
        """
        if not isinstance(error, Exception):
            return False
        failure = self.failure = Failure(error)
        return not self.gone or failure.take() is None

    def refused(self, error: BridgeError) -> bool:
        """ResponseSink: the host is not told of a full pool."""
        return False
