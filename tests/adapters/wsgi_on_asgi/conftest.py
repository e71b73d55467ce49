"""What the tests of `WsgiToAsgi` share: the runners."""

from __future__ import annotations

import pytest

from tests.adapters.wsgi_on_asgi.asking import RUNNERS


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["thread", "greenlet"])
def waiting_runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
