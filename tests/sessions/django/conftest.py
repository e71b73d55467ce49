"""Django, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.django_project import forget_all, project


@pytest.fixture(scope="module")
def a_project() -> Iterator[None]:
    """A project with sessions and users."""
    with project():
        yield


@pytest.fixture(autouse=True)
def nothing_left(a_project: None) -> None:
    """No session and no user at the start of a test."""
    forget_all()
