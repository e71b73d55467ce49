"""Pauses before a worker is started again."""

from __future__ import annotations

from bridge.server.process.fleet.backoff import MOST, Backoff


def test_each_failure_doubles_the_pause() -> None:
    """P1: 0.5 s, 1 s, 2 s and so on, at most half a minute."""
    backoff, now, pauses = Backoff(), 100.0, []
    for _ in range(8):
        pauses.append(backoff.note_failure(now))
        now = backoff.until
    assert pauses == [0.5, 1, 2, 4, 8, 16, MOST, MOST]


def test_several_failures_at_once_count_as_one() -> None:
    """All workers may crash of the same request; the pause is that of one."""
    backoff = Backoff()
    assert backoff.is_over(7)
    backoff.note_failure(7)
    assert not backoff.is_over(7.4)
    assert backoff.note_failure(7.25) == 0.25
    assert backoff.is_over(7.5)
    assert backoff.note_failure(7.5) == 1


def test_after_success_the_pauses_begin_anew() -> None:
    """A worker that crashes once a day waits half a second each time."""
    backoff = Backoff()
    for now in (1, 2, 4):
        backoff.note_failure(now)
    backoff.reset()
    assert backoff.is_over(4)
    assert backoff.note_failure(5) == 0.5
