"""What both suites of the same answers use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from tests.conftest import StartHost
from tests.support.exchanges import EXCHANGES, Answer, Client
from tests.support.hosts import Command
from tests.support.validated import complaints

Talk: TypeAlias = Callable[[Command, str], list[Answer]]


@pytest.fixture
def talk(shared_host: StartHost) -> Talk:
    """``talk(command, exchange)``: the answers; the validator must have found nothing.

    Some hosts close a connection after an error or an unread body; ours has no reason to.
    """

    def run(command: Command, exchange: str) -> list[Answer]:
        host = shared_host(command)
        said = host.log_size()
        client = Client(host.address, host.port)
        try:
            answers = EXCHANGES[exchange](client)
        finally:
            client.close()
        assert not complaints(host.log(said))
        assert client.reopened == 0 or host.name != "bridge"
        return answers

    return run
