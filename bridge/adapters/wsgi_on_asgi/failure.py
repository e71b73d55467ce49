"""What a WSGI app raises, on its way to the ASGI middleware and the host around it (W38)."""

from __future__ import annotations

from bridge.errors import BridgeError
from bridge.log import logger


class RaisesOn:
    """A `ResponseSink` whose host is told what the app raised, and so has it in its own log.

    The app's side puts an error here, the host's side takes it when the response is over. The host
    may have left before: whoever then finds the error tells of it, and nobody else does.
    """

    #: What the app raised, until it is taken.
    failure: Exception | None = None
    #: The host does not come for it, or is just coming for the last time.
    gone: bool

    def failed(self, error: BaseException) -> bool:
        """ResponseSink: the app raised; True: the host is told of it.

        `SystemExit` and its like would end the host instead.
        """
        if not isinstance(error, Exception):
            return False
        self.failure = error
        return not self.gone or self.take_failure() is None

    def refused(self, error: BridgeError) -> bool:
        """ResponseSink: the host is not told of a full pool."""
        return False

    def take_failure(self) -> Exception | None:
        """What the app raised, for one caller; from any thread. Set `gone` before the last call."""
        error: Exception | None = self.__dict__.pop("failure", None)
        return error

    def log_failure(self) -> None:
        """The host does not take the error: it has cancelled the request, or lost its client."""
        error = self.take_failure()
        if error is not None:
            logger.error("error in the WSGI app, whose client has left", exc_info=error)
