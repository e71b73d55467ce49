"""The face of `bridge.channels`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge import channels


@pytest.mark.parametrize("name", channels.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    """L6: each public name can be imported, and has a docstring."""
    assert getattr(channels, name).__doc__


def test_redis_is_loaded_when_it_is_used() -> None:
    """L6: a layer in memory needs no library and no server."""
    code = "import sys, bridge.channels; print('redis' in sys.modules, 'msgpack' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_a_name_that_is_not_there() -> None:
    """L6: a typing error is an AttributeError that says so."""
    with pytest.raises(AttributeError, match=r"'bridge\.channels' has no attribute 'nothing'"):
        channels.nothing
