"""Which looks show that one call holds the loop for too long, and which do not."""

from __future__ import annotations

from bridge.loops.watchdog.judge import Held, Judge, Look

#: The limit in these tests, and the time between two looks, in seconds.
LIMIT, PAUSE = 0.1, 0.05


def judged(*looks: tuple[Look, object]) -> list[float]:
    """For how long a call blocks the loop at each look; 0 if it does not."""
    judge = Judge(LIMIT)
    found: list[float] = []
    for look, key in looks:
        held = judge.look(look, key)
        found.append(0 if held is None else round(held.seconds, 3))
    return found


def at(number: int, ran: float = 0.0, waited: float = 0.0, **more: float) -> Look:
    """The look with this number, if each is in time."""
    return Look(number * PAUSE, ran, waited, int(more.pop("turns", 0)), **more)  # type: ignore[arg-type]


def test_a_call_that_sleeps_or_runs_blocks_from_the_limit_on() -> None:
    """R3: it counts from the first look that sees it; a loop that runs no app is idle."""
    sleeping = [(at(n), "call") for n in range(1, 5)]
    assert judged((at(0), None), *sleeping) == [0, 0, 0, 0.1, 0.15]
    running = [(at(n, ran=n * PAUSE), "call") for n in range(1, 5)]
    assert judged((at(0), None), *running) == [0, 0, 0, 0.1, 0.15]


def test_a_call_after_the_other_blocks_nothing() -> None:
    """R3: what is seen at two looks must be the same call."""
    assert judged(*((at(n), f"call {n}") for n in range(9))) == [0] * 9
    calls = ["one", "one", None, "one", "one", "other", "other"]
    assert judged(*((at(n), call) for n, call in enumerate(calls))) == [0] * 7


def test_a_call_that_waits_for_a_processor_is_not_to_blame() -> None:
    """R3: on a machine that is overloaded, only what it has run itself counts."""
    waiting = [(at(n, ran=n * 0.01, waited=n * 0.04), "call") for n in range(1, 8)]
    assert judged((at(0), None), *waiting) == [0] * 8
    unfinished = [(at(n, ran=0, runnable=True), "call") for n in range(1, 8)]
    assert judged((at(0), None), *unfinished) == [0] * 8


def test_a_process_that_stood_still_is_not_to_blame() -> None:
    """R3: SIGSTOP, a suspended machine: the look is late, and nothing has run."""
    late = Look(60.05, 0, 0, late=59.95)
    assert judged((at(0), None), (at(1), "call"), (late, "call")) == [0, 0, 0]


def test_threads_that_hold_the_lock_of_python_are_not_to_blame_the_call() -> None:
    """R3: the loop's thread waits for the lock as long as the thread that looks."""
    starving = [Look(n * 0.3, n * 0.005, 0, n * 60, late=0.25, locked_out=0.25) for n in range(9)]
    assert judged(*((look, "call" if n else None) for n, look in enumerate(starving))) == [0] * 9


def test_a_call_that_sleeps_beside_busy_threads_blocks() -> None:
    """R3: it is not woken while it sleeps; the time by which looks are late does not count."""
    looks = [Look(n * 0.3, 0, 0, n, late=0.24, locked_out=0.24) for n in range(5)]
    found = judged(*((look, "call" if n else None) for n, look in enumerate(looks)))
    assert found == [0, 0, 0, 0.12, 0.18]


def test_a_call_that_sleeps_often_for_a_moment_blocks() -> None:
    """R3: many short queries, one after the other, if no other thread wants the lock."""
    looks = [(at(n, turns=n * 50), "call") for n in range(4)]
    assert judged((at(0), None), *looks[1:]) == [0, 0, 0, 0.1]


def test_a_call_that_lets_no_other_thread_run_is_found_afterwards() -> None:
    """R3: C code that holds the lock: the look is late, and the loop's thread has run meanwhile."""
    judge = Judge(LIMIT)
    judge.look(at(0), None)
    held = judge.look(Look(2.0, 1.9, 0.0, 0, late=1.95, locked_out=1.94), "call")
    assert held == Held("call", 2.0 - 1.9, 1.9, blocks=True, alone=True)


def test_a_look_that_is_late_by_itself_shows_nothing() -> None:
    """R3: it waited for a processor, while the loop's thread ran other calls."""
    assert judged((at(0), None), (Look(0.4, 0.35, 0, 0, late=0.35, locked_out=0.01), "call")) == [
        0,
        0,
    ]
    # Or other threads had the lock.
    assert judged((at(0), None), (Look(0.4, 0.1, 0, 0, late=0.35, locked_out=0.35), "call")) == [
        0,
        0,
    ]


def test_a_turn_of_the_loop_ends_what_blocked_it() -> None:
    """R3: the whole time is told then; what did not block is forgotten."""
    judge = Judge(LIMIT)
    for number in range(4):
        judge.look(at(number), "call")
    ended = judge.turned(at(4), 3.5 * PAUSE)
    assert ended is not None
    assert round(ended.seconds, 3) == 0.175
    assert judge.turned(at(5), 4.5 * PAUSE) is None
    judge.look(at(5), "call")
    assert judge.turned(at(6), 5.5 * PAUSE) is None
    assert judge.look(at(6), "call") is None


def test_a_turn_before_the_first_look() -> None:
    """R3: nothing was seen yet."""
    assert Judge(LIMIT).turned(at(0), 0.0) is None


def test_what_blocks_is_told_until_the_loop_turns() -> None:
    """R3: also if the server's own code is seen meanwhile, or another call of the same turn."""
    judge = Judge(LIMIT)
    for number in range(3):
        held = judge.look(at(number), "call")
    assert held is not None
    assert judge.look(at(3), None) is held
    assert judge.look(at(4), "other") is held
    assert round(held.seconds, 3) == 0.1
