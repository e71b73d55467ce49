"""What is known of one worker."""

from __future__ import annotations

import pytest

from bridge.server.process.fleet.members import Member, State, describe_exit


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-11, "was killed by SIGSEGV"),
        (-9, "was killed by SIGKILL (by the system for want of memory, or by somebody)"),
        (-77, "was killed by signal 77"),
    ],
)
def test_how_a_process_has_ended(status: int, text: str) -> None:
    """An operator reads at once what happened, and what the likely cause is."""
    assert describe_exit(status) == text


def test_the_name_of_a_worker_is_its_pid() -> None:
    """Before it has one, its slot."""
    member = Member(2, 1, 0.0)
    assert member.name == "the worker in slot 2"
    member.pid = 77
    assert member.name == "worker 77"


def test_what_a_worker_says_of_itself() -> None:
    """Numbers are taken, anything else is left out."""
    member = Member(0, 1, 0.0)
    member.note_beat({"type": "beat", "served": 3, "lag": 0.5, "busy": True, "websockets": "1"})
    assert member.beat == {"served": 3, "connections": 0, "websockets": 0, "busy": 0, "lag": 0.5}
    assert member.figures is None
    member.note_beat({"type": "beat", "figures": {"requests": {}}})
    assert member.figures == {"requests": {}}


@pytest.mark.parametrize(("said", "code"), [(3, 3), ("3", 1), (None, 1), (0, 1), (-1, 1)])
def test_why_a_worker_cannot_start(said: object, code: int) -> None:
    """A code that is none counts as any failure."""
    member = Member(0, 1, 0.0)
    member.note_failure({"type": "failed", "code": said})
    assert (member.failure, member.error) == (code, "it cannot start, and gave no reason")
    member.note_failure({"type": "failed", "code": said, "error": "no database"})
    assert member.error == "no database"


def test_a_process_that_even_sigkill_does_not_end_is_lost() -> None:
    """Nothing waits for it any longer."""
    member = Member(0, 1, 0.0, deadline=5.0)
    assert not member.is_lost(6.0)
    member.state = State.KILLED
    assert not member.is_lost(4.9)
    assert member.is_lost(5.0)
    member.deadline = None
    assert not member.is_lost(6.0)
