"""What tests of the greenlet patch share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.patched import patched


@pytest.fixture(scope="module", autouse=True)
def patched_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """The patch is made for the tests of this module, and taken back after them."""
    with patched():
        yield
