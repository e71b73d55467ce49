"""Runners: how synchronous code runs. `make_runner` makes one by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from types import FrameType
from typing import Any

from bridge.errors import ConfigError
from bridge.runners.base import Job, Runner, Stats, await_
from bridge.runners.c_parts import load_c_part
from bridge.runners.inline import InlineRunner
from bridge.runners.threads.runner import ThreadRunner

__all__ = ["Job", "Runner", "Stats", "await_", "make_runner", "paused_jobs"]


def _greenlet(**settings: Any) -> Runner:
    # Loads greenlet: only if it is used.
    module = load_c_part(
        "bridge.runners.greenlets.runner", "runner is 'greenlet', which", "choose thread"
    )
    runner: Runner = module.GreenletRunner(settings.get("queue_limit", 1024))
    return runner


def _inline(**settings: Any) -> Runner:
    return InlineRunner()


RUNNERS: dict[str, Callable[..., Runner]] = {
    "thread": ThreadRunner,
    "greenlet": _greenlet,
    "inline": _inline,
}


def make_runner(name: str | Runner, **settings: Any) -> Runner:
    """Return the runner called `name`, not started.

    `settings` are those of `ThreadRunner`; the others use those that concern them. A runner
    is returned as it is. Raises `ConfigError` for an unknown name.
    """
    if isinstance(name, Runner):
        return name
    if name not in RUNNERS:
        raise ConfigError(f"runner is {name!r}, and must be one of: {', '.join(RUNNERS)}")
    return RUNNERS[name](**settings)


def paused_jobs(runner: Runner) -> Iterator[tuple[FrameType, str]]:
    """Yield where each job of `runner` stands that waits outside of any thread, and what for."""
    if type(runner).__name__ == "GreenletRunner":  # loaded only if it is used
        yield from import_module("bridge.runners.greenlets.paused").paused_greenlets(runner)
