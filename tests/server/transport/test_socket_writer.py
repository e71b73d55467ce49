"""The second descriptor of a connection (W25, W39)."""

from __future__ import annotations

import os

import pytest

from bridge.server.transport.socket_writer import SocketWriter


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_wire_without_a_descriptor_leaves_no_noise() -> None:
    """S2: where no descriptor is to be had, that is one OSError, and no second error behind it."""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        SocketWriter(writer)
