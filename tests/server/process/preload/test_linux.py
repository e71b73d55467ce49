"""What Linux does for a supervisor and its templates."""

from __future__ import annotations

import os
import sys

import pytest

from bridge.errors import ConfigError
from bridge.server.process.preload import linux
from tests.support.preloading import run


def test_orphans_are_adopted() -> None:
    """P11: the child of a child that has ended becomes a child."""
    run(
        """
        from bridge.server.process.preload.linux import adopt_orphans
        adopt_orphans()
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            if not os.fork():
                os.read(reading, 1)
            os._exit(0)
        assert os.waitpid(between, 0)[0] == between
        os.write(writing, b"x")
        assert os.wait()[1] == 0
        adopt_orphans(False)
        """
    )


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """P11: it says what to do instead."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match=r"needs Linux \(this is darwin\); leave it out"):
        linux.adopt_orphans()


def test_a_process_ends_with_its_parent() -> None:
    """P7: also if that has ended before it could say so."""
    run(
        """
        from bridge.server.process.preload.linux import end_with
        child = os.fork()
        if not child:
            end_with(os.getppid())
            end_with(os.getpid())  # no parent of its own
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


def test_what_the_system_does_not_know_is_an_error() -> None:
    """No order to it is lost without a word."""
    with pytest.raises(OSError, match="prctl"):
        linux._control(-1, os.getpid())
