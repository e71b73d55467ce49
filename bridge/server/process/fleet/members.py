"""The workers as their supervisor sees them, and what the fleet wants to be done (P1 to P7)."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from bridge.server.config.config import Config
from bridge.server.process.channel import Message


class State(Enum):
    """How far a worker has come; the values are for people, and for `ctl`."""

    #: It is forked, or about to be; it imports the app, and its lifespan starts.
    STARTING = "starting"
    #: Its lifespan is up; it is held, and accepts nothing.
    STARTED = "started"
    SERVING = "serving"
    #: It was told to go, and has a deadline.
    RETIRING = "retiring"
    #: SIGKILL has been sent, or will be as soon as its stack is known.
    KILLED = "killed"


#: Those that serve, or may serve one day.
ALIVE: Final = (State.STARTING, State.STARTED, State.SERVING)

#: Why a worker leaves that was killed since it hung.
BLOCKED: Final = "blocked"

#: The figures of a worker that it sends with each beat.
BEAT_FIELDS: Final = ("served", "connections", "websockets", "busy", "lag")


@dataclass(eq=False, slots=True)
class Member:
    """One worker. Times are those of the fleet's caller."""

    slot: int
    generation: int
    forked: float
    #: 0: it is about to be forked.
    pid: int = 0
    state: State = State.STARTING
    #: When it began to serve, if it does.
    serving_since: float = 0.0
    #: When it last gave a sign of life.
    heard: float = 0.0
    #: When it is killed if it has not gone; None: it may take as long as it likes.
    deadline: float | None = None
    #: The last of what it has said of itself: `BEAT_FIELDS`.
    beat: dict[str, float] = field(default_factory=lambda: dict.fromkeys(BEAT_FIELDS, 0))
    #: What it has counted, if figures are kept.
    figures: dict[str, Any] | None = None
    #: Bytes of memory, if that is measured.
    rss: int | None = None
    #: The requests after which it is replaced.
    most_requests: float = float("inf")
    #: The worker that goes when this one has started.
    replaces: Member | None = None
    #: Why it is to be replaced; empty: it is not.
    leaving: str = ""
    #: Why it cannot start, and the exit code for that.
    error: str = ""
    failure: int = 0
    told_to_stop: bool = False
    #: It has been said that its start takes long.
    is_slow: bool = False

    @property
    def name(self) -> str:
        """What it is called in the log."""
        return f"worker {self.pid}" if self.pid else f"the worker in slot {self.slot}"

    @property
    def was_told_to_end(self) -> bool:
        """Whether it has ended, or was killed, since it was to go; one that hung was not."""
        killed = self.state is State.KILLED and self.leaving != BLOCKED
        return self.told_to_stop or killed

    def is_lost(self, now: float) -> bool:
        """Return whether it was killed, and not even that has ended it: there is no more to do."""
        return self.state is State.KILLED and self.deadline is not None and now >= self.deadline

    def note_failure(self, message: Message) -> None:
        """Note that it cannot start: it is about to end, and is counted when it has ended."""
        code = message.get("code")
        self.failure = code if isinstance(code, int) and code > 0 else 1
        self.error = str(message.get("error") or "it cannot start, and gave no reason")

    def note_beat(self, message: Message) -> None:
        """Take what it says of itself; what is no number is left out."""
        for key in BEAT_FIELDS:
            value = message.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.beat[key] = value
        figures = message.get("figures")
        if isinstance(figures, dict):
            self.figures = figures


# ------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Fork:
    """Start this worker with these settings, unless it has left the fleet meanwhile."""

    member: Member
    config: Config


@dataclass(frozen=True)
class Tell:
    """Send a message."""

    member: Member
    message: Message


@dataclass(frozen=True)
class Terminate:
    """Send SIGTERM: it cannot be told in another way while it imports the app."""

    member: Member


@dataclass(frozen=True)
class Kill:
    """Send SIGKILL; `shows_stack`: log first what it does, if that can be found out."""

    member: Member
    shows_stack: bool


@dataclass(frozen=True)
class Gone:
    """It has ended: free what belongs to it, and keep what it has counted. `why`: for figures."""

    member: Member
    why: str


@dataclass(frozen=True)
class Announce:
    """The first worker serves: say what it serves, and where."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Reloaded:
    """A reload is over; `error` says why the old version stays, empty: it does not."""

    error: str = ""


@dataclass(frozen=True)
class Report:
    """Log a line."""

    level: int
    text: str


@dataclass(frozen=True)
class Finish:
    """All workers are gone: exit with this code; `error` says why it is not 0, if that is known."""

    code: int
    error: str = ""


Action: TypeAlias = Fork | Tell | Terminate | Kill | Gone | Announce | Reloaded | Report | Finish


def describe_exit(status: int) -> str:
    """Return how a process has ended: `status` is its exit code, or minus the signal's number."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = " (by the system for want of memory, or by somebody)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
