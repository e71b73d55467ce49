"""When a worker has served enough, is blocked, or has not gone in time (P4, P6)."""

from __future__ import annotations

import logging
from typing import Final

from bridge.errors import pluralize
from bridge.server.clock import TICK
from bridge.server.config.config import Config
from bridge.server.process.fleet.members import BLOCKED, Member, State
from bridge.server.process.fleet.roster import Roster, seconds

#: Seconds of a start after which a line says that it takes long.
SLOW_START: Final = 60.0
#: Seconds in which a worker is new: if it has too much memory by then, all will have.
NEW: Final = 5.0


def judge(roster: Roster, config: Config, now: float) -> None:
    """Look at the time limits of every worker."""
    for member in roster:
        if member.deadline is not None and now >= member.deadline:
            if member.state is not State.KILLED:
                roster.report(logging.ERROR, f"{member.name} has not ended in time: killing it")
                roster.kill(member, now, shows_stack=True)
        elif member.state is State.SERVING:
            if not _kill_if_blocked(roster, member, config, now):
                replace_if_spent(roster, member, config, now)
        elif member.state is State.STARTING and not member.is_slow:
            _mention_slow_start(roster, member, now)


def _kill_if_blocked(roster: Roster, member: Member, config: Config, now: float) -> bool:
    """Kill a worker that has not been heard of for too long; return whether it is so.

    One whose loop turns is heard of once in each `TICK`, so only from then on it is late.
    """
    silent = now - member.heard
    if not config.timeout_worker or silent <= TICK + config.timeout_worker:
        return False
    member.leaving = BLOCKED
    roster.report(
        logging.CRITICAL,
        f"{member.name} is blocked: its event loop has stood still for {seconds(silent)} "
        f"(timeout_worker is {seconds(config.timeout_worker)}); killing it, and starting another",
    )
    roster.kill(member, now, shows_stack=True)
    return True


def replace_if_spent(roster: Roster, member: Member, config: Config, now: float) -> None:
    """Have a worker replaced that has served enough, is too large, or too old."""
    if member.state is not State.SERVING or member.leaving:
        return
    served, age = int(member.beat["served"]), now - member.serving_since
    if served >= member.most_requests:
        leave(roster, member, f"max_requests: {pluralize(served, 'request')} served")
    elif config.max_rss and member.rss is not None and member.rss > config.max_rss:
        is_new = "; a new worker has that much" if age < NEW else ""
        leave(roster, member, f"max_rss: {member.rss / 2**20:.0f} MiB{is_new}")
    elif config.max_lifetime and age > config.max_lifetime:
        leave(roster, member, f"max_lifetime: {seconds(age)} served")


def leave(roster: Roster, member: Member, why: str) -> None:
    """Note that a worker is to be replaced."""
    member.leaving = why
    if member.state is State.SERVING:
        roster.report(
            logging.INFO,
            f"{member.name} is to be replaced ({why}); it serves until another has started",
        )


def _mention_slow_start(roster: Roster, member: Member, now: float) -> None:
    taken = now - member.forked
    if taken > SLOW_START:
        member.is_slow = True
        roster.report(
            logging.WARNING,
            f"{member.name} has been starting for {seconds(taken)}; it is left alone",
        )
