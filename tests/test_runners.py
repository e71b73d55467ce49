"""`bridge.runners`: a runner by its name, with the settings that concern it."""

from __future__ import annotations

import pytest

from bridge.errors import ConfigError
from bridge.runners import make_runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.inline import InlineRunner
from bridge.runners.threads.runner import ThreadRunner


def test_by_name() -> None:
    """W50: each runner has a name; a runner is returned as it is."""
    settings = {"threads": 3, "queue_limit": 5, "queue_timeout": 1.5}
    thread, greenlet = (make_runner(name, **settings) for name in ("thread", "greenlet"))
    assert isinstance(thread, ThreadRunner)
    assert (thread.threads, thread.queue_limit) == (3, 5)
    assert isinstance(greenlet, GreenletRunner)
    assert greenlet.queue_limit == 5
    assert isinstance(make_runner("inline", **settings), InlineRunner)
    assert make_runner(thread) is thread


def test_unknown_name() -> None:
    """W56: an unknown name is an error that says which there are."""
    with pytest.raises(ConfigError, match=r"runner is 'fast'.*thread, greenlet, inline"):
        make_runner("fast")
